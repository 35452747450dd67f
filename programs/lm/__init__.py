"""Language model backends: litellm names, the in-process local model, recording, budget and replay."""
