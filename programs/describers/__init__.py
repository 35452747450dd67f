"""How pictures are described: by a multimodal language model, or by the frozen CLIP itself."""
