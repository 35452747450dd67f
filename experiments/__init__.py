"""What is run with the programs: data sets, runs, tracking, the command line."""
