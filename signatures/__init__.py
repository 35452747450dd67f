"""The questions to language models, as DSPy signatures."""
