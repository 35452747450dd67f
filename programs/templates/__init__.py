"""Templates in a search: their history, their admission, the vocabularies they are made of, and the search settings."""
