"""Finds the packages: `programs/` is installed as `ipo.programs`, so that nothing generic lands in site-packages.

`package/` is `ipo` itself. A folder of that name here would hide the installed package from what runs in a checkout.
"""

from setuptools import find_packages, setup

FOLDERS = ("signatures", "programs", "metrics", "experiments")
below = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])

setup(
    packages=["ipo", *(f"ipo.{name}" for name in below)],
    package_dir={"ipo": "package", **{f"ipo.{folder}": folder for folder in FOLDERS}},
)
