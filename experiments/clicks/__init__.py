"""Verdicts by clicks: a page that asks which of two templates is right where they disagree, and what answers show.

`pictures.py` finds the pictures and programs, `drawing.py` draws what is asked, `report/label_page.py` makes the page,
and `verifying.py` reads the answers.
"""
