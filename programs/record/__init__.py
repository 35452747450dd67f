"""The journal of a run, its scores, and what is kept out of it. All is on disk before it is used."""
