"""What is asked of a language model, as DSPy signatures: of describers in one file, for proposals in two."""
