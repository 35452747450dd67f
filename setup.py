"""Finds the packages: `programs/` is installed as `ipo.programs`, so that nothing generic lands in site-packages."""

from setuptools import find_packages, setup

FOLDERS = ("signatures", "programs", "metrics", "experiments")

setup(
    packages=[f"ipo.{name}" for name in find_packages(include=[pattern for f in FOLDERS for pattern in (f, f"{f}.*")])],
    package_dir={f"ipo.{folder}": folder for folder in FOLDERS},
)
