"""What each word does, laid out for reading: the template cut at its words, and changed templates beside it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ipo_prompts.experiments.explain.model import WordChange
from ipo_prompts.metrics.template import SLOT

STRONG, MIDDLE = 0.05, 0.02
"""Changes of the value from which a word is coloured strongly and less strongly."""


@dataclass(frozen=True)
class Piece:
    """A piece of a template; `change` is what happens without it on `n` units, None for what was not removed alone."""

    text: str
    change: WordChange | None = None
    n: int = 0

    @property
    def tone(self) -> str:
        """The class that colours it: it helps where the value falls without it, by more than one unit is worth."""
        if self.change is None:
            return ""
        change = self.change.value.change
        strength = 3 if abs(change) >= STRONG else 2 if abs(change) >= MIDDLE else 1
        side = "help" if change < 0 else "harm"
        tone = "same-1" if self.n * abs(change) < 1.5 else f"{side}-{strength}"
        return tone + (" clear" if self.change.significant else "")


@dataclass(frozen=True)
class Edit:
    """A run of text that two templates share, or that only one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


def layers(template: str, changes: Sequence[WordChange], n: int) -> list[list[Piece]]:
    """Draw those changes on the template that are removals with a valid span, measured on n units.

    Returns:
        Lines of pieces. Every line spells the whole template; spans that overlap are on different lines, short ones
        first, so that the first line shows the words and the others show phrases.
    """
    spans = [
        (change.span[0], change.span[1], change)
        for change in changes
        if change.kind == "remove" and change.span and 0 <= change.span[0] < change.span[1] <= len(template)
    ]
    lines: list[list[tuple[int, int, WordChange]]] = []
    for span in sorted(spans, key=lambda span: (span[1] - span[0], span[0])):
        free = (line for line in lines if all(span[1] <= other[0] or other[1] <= span[0] for other in line))
        if (line := next(free, None)) is None:
            lines.append(line := [])
        line.append(span)
    return [_pieces(template, sorted(line, key=lambda span: span[0]), n) for line in lines]


def _pieces(template: str, spans: Sequence[tuple[int, int, WordChange]], n: int) -> list[Piece]:
    pieces, at = [], 0
    for start, end, change in spans:
        if at < start:
            pieces.append(Piece(template[at:start]))
        pieces.append(Piece(template[start:end], change, n))
        at = end
    if at < len(template):
        pieces.append(Piece(template[at:]))
    return pieces


def edits(before: str, after: str) -> list[Edit]:
    """Say how one template becomes another, word by word."""
    old, new = (re.findall(rf"{re.escape(SLOT)}|\w+|\s+|[^\w\s]", text) for text in (before, after))
    found: list[Edit] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(Edit("same", "".join(old[i:j])))
            continue
        if i < j:
            found.append(Edit("removed", "".join(old[i:j])))
        if k < m:
            found.append(Edit("added", "".join(new[k:m])))
    return found
