"""What turns a template into a number: the frozen CLIP, picture features, the reward, statistics. No LLM, no DSPy."""
