"""Verdicts by clicks: a page shows pictures that two templates label differently, and asks which template is right.

The answers give a verdict. `pictures.py` finds the pictures and programs, `drawing.py` draws the questions,
`report/label_page.py` makes the page, and `verifying.py` reads the answers.
"""
