"""How pictures are described: by a multimodal language model, or by the frozen CLIP itself."""

BY_CLIP = ("clip", "clip-greedy", "fit")
"""The describers that ask no language model, by name."""
