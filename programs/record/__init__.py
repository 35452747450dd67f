"""The journal of a run, its scores, and the secrets kept out of it. Everything is on disk before it is used."""
