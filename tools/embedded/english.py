"""What the text tower learns of English, kept in one folder: texts, what the teacher says of them, and the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from tools.embedded import teacher, words
from tools.embedded.drawings import Picture
from tools.embedded.language import EPOCHS, Interpreter, Lesson, learn
from tools.embedded.model import build
from tools.embedded.sentences import PLAIN, sentences, taught
from tools.embedded.tokens import CompactTokenizer

SEED: Final = 0


@dataclass(frozen=True)
class English:
    """A vocabulary, lessons with what the teacher says of them, and a text tower that has learnt the first.

    Attributes:
        sentences: words, words in captions, and captions of anything.
        plain: the photo of every word.
        taught: texts that hold nothing but what pictures teach.
        names: of concepts, classes and groups, which captions use.
        common: words that everybody uses.
        tower: the state of the text tower.
    """

    tokenizer: CompactTokenizer
    sentences: Lesson
    plain: Lesson
    taught: Lesson
    names: list[str]
    common: list[str]
    tower: dict[str, Any]

    def interpreter(self) -> Interpreter:
        """A fresh one; its tower is fitted with `refit`."""
        return Interpreter(self.taught.rows, self.taught.vectors)


def make(folder: Path, pictures: list[Picture], epochs: int = EPOCHS) -> None:
    """Ask the teacher about all texts, and teach a text tower: ``texts.json``, ``NAME.npy`` and ``tower.pt``.

    ``folder`` holds what `teacher.fetch` and `words.fetch` put there.
    """
    vocabulary = _vocabulary(folder, pictures)
    texts = _texts(*vocabulary)
    (folder / "texts.json").write_text(json.dumps(texts), "utf-8")
    for name, lines in texts.items():
        np.save(folder / f"{name}.npy", teacher.encode(folder / "teacher", lines))
    tokenizer = CompactTokenizer([word for part in vocabulary for word in part])
    torch.manual_seed(SEED)
    model = build(tokenizer)
    learn(model, _lesson(folder, "sentences", tokenizer), SEED, epochs)
    torch.save(model.text.state_dict(), folder / "tower.pt")


def load(folder: Path, pictures: list[Picture]) -> English:
    """Read what `make` wrote."""
    vocabulary = _vocabulary(folder, pictures)
    tokenizer = CompactTokenizer([word for part in vocabulary for word in part])
    sentences, plain, taught = (_lesson(folder, name, tokenizer) for name in ("sentences", "plain", "taught"))
    tower = torch.load(folder / "tower.pt", weights_only=True)
    return English(tokenizer, sentences, plain, taught, vocabulary[0], vocabulary[1], tower)


def _texts(names: Sequence[str], common: Sequence[str], known: Sequence[str]) -> dict[str, list[str]]:
    return {
        "sentences": sentences(names, common, known),
        "plain": [PLAIN.format(word) for word in (*common, *known)],
        "taught": taught(names),
    }


def _lesson(folder: Path, name: str, tokenizer: CompactTokenizer) -> Lesson:
    texts = json.loads((folder / "texts.json").read_text("utf-8"))[name]
    return Lesson([tokenizer.encode(text) for text in texts], np.load(folder / f"{name}.npy"))


def _vocabulary(folder: Path, pictures: list[Picture]) -> tuple[list[str], list[str], list[str]]:
    """The names that captions use, the common words and the other known ones."""
    common = words.read(folder / "node_modules", words.COMMON)
    known = sorted(set(words.read(folder / "node_modules", words.KNOWN)) - set(common))
    return sorted({n for p in pictures for n in (p.concept, p.label, p.group.split("-")[0])}), common, known
