"""How many names of folders are read as captions write them: three lists of 100 names.

The right names of the first list were written by hand before the rule, which read 87 of them; the rule was then
corrected on this list. The second list was written before the corrections, and judged them once: the rule without them
read 80, and with them 77. The corrections of spaces and hyphens, which made the difference, were dropped.

The third list has 33 names of public data sets, and 67 as people type them: with filing words, versions, and words that
look like these. It was written before it was read. The rule then read 57; with filing words and words written together
it read 79. It was not corrected on this list, but the same person wrote both and knew the misread names. So the lists
tell a loss, and say little about names of another kind.

A content word is lost if a word of the right name stands in the name of the folder, but neither this word nor its
singular in the name that was read.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

from ipo_prompts.experiments.data.dataset import DataSet
from ipo_prompts.experiments.data.names import read_codes, read_names
from ipo_prompts.metrics.nouns import singulars
from ipo_prompts.metrics.template import as_read

LISTS = ("folder-names.csv", "folder-names-2.csv", "folder-names-3.csv")
TABLES = [Path(__file__).parent / "lab" / name for name in LISTS]


class Read(NamedTuple):
    """A folder, the names of some folders beside it, its name as it was read, and its right name."""

    folder: str
    beside: list[str]
    found: str
    right: str

    @property
    def equal(self) -> bool:
        """Whether a CLIP reads both names the same."""
        return as_read(self.found) == as_read(self.right)

    @property
    def lost(self) -> set[str]:
        """The words of the right name that were in the folder's name and are not in the name that was read."""
        found = as_read(self.found).replace(" ", "")  # `back_pack` may be read as one word
        words = _words(self.right) & _words(self.folder)
        return {word for word in words if not any(one in found for one in (word, *singulars(word)))}


def _words(name: str) -> set[str]:
    return {*re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())}


def read_all(table: Path) -> list[Read]:
    """Read all names of a table."""
    found = []
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            typed, beside = row["folder"], row["siblings"].split(";")
            data = DataSet("folders", (typed, *beside), "", train=(), val=(), test=(), variants=False)
            codes, _ = read_codes(data, ())
            name = codes.get(typed) or read_names(data.class_names)[0][0]
            found.append(Read(typed, beside, name, row["right"]))
    return found


def main() -> None:
    """Print, for each list, the counts and the names that are read otherwise, as one JSON line."""
    for table in TABLES:
        every = read_all(table)
        others = {one.folder: [one.found, one.right] for one in every if not one.equal}
        lost = sorted(word for one in every for word in one.lost)
        counts = {"list": table.stem, "names": len(every), "equal": len(every) - len(others)}
        print(json.dumps({**counts, "lost": lost, "others": others}))


if __name__ == "__main__":
    main()
