"""From a template to a number: the frozen CLIP, image features, rewards, statistics. No language model, no DSPy."""
