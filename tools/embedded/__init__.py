"""Rebuilds the embedded CLIP and its pictures from npm icon packages.

Run ``python -m tools.embedded --work DIR``.
"""
