"""Rebuilds the embedded CLIP and its pictures from npm icon packages.

Run ``python -m ipo.experiments.embedded.recipe --work DIR``.
"""
