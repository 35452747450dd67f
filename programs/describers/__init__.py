"""How a multimodal language model describes pictures."""
