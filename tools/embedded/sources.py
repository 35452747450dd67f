"""Which icon packages the images come from, and under which licence.

The packages that CLIPs are trained on are in ``sources.csv``; the held-back images come from the packages of
``held_back.csv``, which no CLIP has met. Every package allows redistribution with attribution. Two well-known
sets are missing on purpose: OpenMoji and EmojiOne 1 are share-alike (CC-BY-SA).
"""

import csv
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EMOJI_DATA: Final = "emojibase-data"
EMOJI_DATA_VERSION: Final = "17.0.0"
ALLOWED_LICENCES: Final = frozenset({"MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-3.0", "CC0-1.0", "ISC", "OFL-1.1"})


@dataclass(frozen=True)
class Source:
    """One npm package of images.

    ``family`` groups packages that draw a concept with the same shape: two
    images of one family must never land in two parts of the data.
    ``kind`` decides the caption's style words: "emoji", "icon" or "glyph" (monochrome).
    """

    package: str
    version: str
    family: str
    kind: str
    licence: str
    author: str
    url: str

    @property
    def name(self) -> str:
        """The name of the package without its scope, as used in image ids."""
        return self.package.split("/")[-1]


def _read(name: str) -> tuple[Source, ...]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return tuple(Source(**row) for row in csv.DictReader(file))


SOURCES: Final = _read("sources.csv")
HELD_BACK: Final = _read("held_back.csv")


def fetch(folder: Path, sources: tuple[Source, ...] = SOURCES) -> None:
    """Installs the pinned packages into ``folder/node_modules``.

    Raises:
        FileNotFoundError: npm is missing.
        subprocess.CalledProcessError: the registry refused.
        ValueError: a package has a licence that is not on our list or not the one stated.
    """
    refused = [s.package for s in sources if s.licence not in ALLOWED_LICENCES]
    if refused:
        raise ValueError(f"licence not allowed: {refused}; allowed are {sorted(ALLOWED_LICENCES)}")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [f"{s.package}@{s.version}" for s in sources]
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder)]
    subprocess.run([*command, *wanted, f"{EMOJI_DATA}@{EMOJI_DATA_VERSION}"], check=True)
    for source in sources:
        check_licence(folder / "node_modules" / source.package, source.licence)


def check_licence(package: Path, wanted: str) -> None:
    """Compares what the installed package states with the licence that NOTICE.md will give.

    Raises:
        ValueError: it states another one.
    """
    info = package / "info.json"
    if info.exists():
        found = json.loads(info.read_text("utf-8"))["license"]["spdx"]
    else:
        found = json.loads((package / "package.json").read_text("utf-8"))["license"]
    if found != wanted:
        raise ValueError(f"{package.name} says licence {found!r}, we expect {wanted!r}")
