"""Finds the packages: `programs/` is installed as `ipo_prompts.programs`: nothing generic lands in site-packages.

`package/` is `ipo_prompts` itself: a folder of that name here would hide the installed package from what runs in a
checkout.
"""

from setuptools import find_packages, setup

FOLDERS = ("signatures", "programs", "metrics", "experiments")
below = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])

setup(
    packages=["ipo_prompts", *(f"ipo_prompts.{name}" for name in below)],
    package_dir={"ipo_prompts": "package", **{f"ipo_prompts.{folder}": folder for folder in FOLDERS}},
)
