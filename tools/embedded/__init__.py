"""Rebuilds the demo CLIP and its images from npm icon packages.

From a checkout, with ``pip install -e .[embedded]`` and npm: ``python -m tools.embedded --work DIR``.
"""
