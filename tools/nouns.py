"""Makes `metrics/nouns.xz`, the nouns of WordNet 3.0, and the file's notice, from Debian's package `wordnet-base`.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python -m tools.nouns wordnet/usr/share/wordnet

The same files give the same bytes. `metrics/nouns.py` reads the file and says what is in it.
"""

from __future__ import annotations

import lzma
import sys
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parents[1] / "metrics"
UP = ("@", "@i")
"""Pointers to a hypernym: from a kind of thing, and from a single thing with a proper name."""
_NOTICE = """# Notice

`nouns.xz` is made of WordNet 3.0 by `tools/nouns.py`: of its nouns the numbers, words, how often each was tagged in
texts, hypernyms and irregular plurals. Definitions and all else were left out. WordNet's licence:

"""


def main(folder: Path) -> None:
    """Write both files."""
    (DATA / "nouns.xz").write_bytes(lzma.compress(table(folder).encode(), preset=9 | lzma.PRESET_EXTREME))
    header = [line.split(maxsplit=1) for line in _lines(folder / "data.noun") if line.startswith("  ")]
    licence = "\n".join("" if len(line) < 2 else line[1].rstrip() for line in header)
    (DATA / "NOTICE.md").write_text(f"{_NOTICE}{licence}\n")


def table(folder: Path) -> str:
    """Return the columns one after the other, which compresses best."""
    synsets = [line.partition(" | ")[0].split() for line in _lines(folder / "data.noun") if not line.startswith("  ")]
    place = {fields[0]: i for i, fields in enumerate(synsets)}
    senses, counts = _senses(folder), _counts(folder)
    numbers: list[str] = []
    words: list[str] = []
    used: list[str] = []
    above: list[str] = []
    for i, (number, file, _, many, *rest) in enumerate(synsets):
        own = [(rest[2 * k], int(rest[2 * k + 1], 16)) for k in range(int(many, 16))]
        pointers = rest[2 * len(own) + 1 :]
        up = [place[pointers[k + 1]] for k in range(0, len(pointers), 4) if pointers[k] in UP]
        numbers.append(str(int(number) - int(synsets[i - 1][0]) if i else int(number)))
        words.append(",".join(word for word, _ in own))
        tagged = (counts.get(f"{word.lower()}%1:{file}:{unique:02d}::", 0) for word, unique in own)
        ranks = (senses[word.lower(), number] for word, _ in own)
        used.append(",".join(f"{rank}:{count}" if count else rank for rank, count in zip(ranks, tagged, strict=True)))
        above.append(",".join(str(i - one) for one in up))
    irregular = [line.replace(" ", "\t", 1) for line in _lines(folder / "noun.exc")]
    return "\f".join("\n".join(column) for column in (numbers, words, used, above, irregular))


def _senses(folder: Path) -> dict[tuple[str, str], str]:
    """Return word and synset → the number of this sense among the word's senses, from 1; "" for a single sense."""
    found: dict[tuple[str, str], str] = {}
    for line in _lines(folder / "index.noun"):
        if not line.startswith("  "):
            word, *fields = line.split()
            own = fields[-int(fields[1]) :]
            found |= {(word, number): str(rank + 1) if len(own) > 1 else "" for rank, number in enumerate(own)}
    return found


def _counts(folder: Path) -> dict[str, int]:
    """Return how often each sense was tagged."""
    return {key: int(count) for key, _, count in (line.split() for line in _lines(folder / "cntlist.rev"))}


def _lines(file: Path) -> Iterator[str]:
    yield from file.read_text("utf-8").splitlines()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
