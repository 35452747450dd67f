"""What is on disk before it is used: the journal of a run, its scores, and what is kept out of it."""
