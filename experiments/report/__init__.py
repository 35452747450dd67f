"""`report.html`: a page about a run for people to read. It is made from the files of the run directory alone."""
