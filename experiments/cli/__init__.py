"""The commands of `ipo`: their options, their help and what they do. `app.py` puts them together."""
