"""Ways to search: one file each."""
