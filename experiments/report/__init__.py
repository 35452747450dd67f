"""`report.html`: a run as a page that a person reads, made from the files of its run directory and nothing else."""
