"""What every part of a search knows of templates: those tried, which may come in, what they are made of, settings."""
