"""Verdicts by clicks: a page asks which of two templates is right where they disagree; the answers give a verdict.

`pictures.py` finds the pictures and programs, `drawing.py` draws the questions, `report/label_page.py` makes the page,
and `verifying.py` reads the answers.
"""
