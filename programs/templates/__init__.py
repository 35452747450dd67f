"""Templates in a search: their history, their admission, the vocabularies for them, and the settings of a search."""
