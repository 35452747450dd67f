"""Record a run: its journal and its scores, without secrets. Every event is on disk before it is used."""
