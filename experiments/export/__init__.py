"""Export a program to a form that another tool can run: `targets.py` has the forms, `base.py` what all share."""
