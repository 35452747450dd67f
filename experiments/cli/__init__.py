"""The commands of `ipo`, each with its options and help. `app.py` puts the commands together."""
