"""From a template to a number: the frozen CLIP, picture features, rewards, statistics. No language model, no DSPy."""
