"""What is asked of a language model, as DSPy signatures: one file per question. All prompt text lives here."""
