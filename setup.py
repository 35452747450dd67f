"""Finds the packages: `programs/` is installed as `ipo_prompts.programs`: nothing generic lands in site-packages.

`package/` is `ipo_prompts` itself: a folder of that name here would hide the installed package from what runs in a
checkout. The pages in `docs/` are installed with it, for `ipo docs`.
"""

from setuptools import find_packages, setup

FOLDERS = ("signatures", "programs", "metrics", "experiments")
below = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])
names = {"ipo_prompts": "package", **{f"ipo_prompts.{folder}": folder for folder in (*FOLDERS, "docs")}}

setup(packages=["ipo_prompts", "ipo_prompts.docs", *(f"ipo_prompts.{name}" for name in below)], package_dir=names)
