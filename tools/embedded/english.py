"""What the text tower learns of English, kept in one folder: texts, the teacher's embeddings, and the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from tools.embedded import teacher, words
from tools.embedded.drawings import Drawing, names
from tools.embedded.language import EPOCHS, Interpreter, Lesson, learn
from tools.embedded.model import build
from tools.embedded.sentences import PLAIN, sentences, taught
from tools.embedded.tokens import CompactTokenizer

SEED: Final = 0


@dataclass(frozen=True)
class English:
    """Lessons with the teacher's embeddings, and a text tower that has learnt the first lesson.

    Attributes:
        tokenizer: the tower's tokenizer, over everything that the lessons and captions can hold.
        sentences: words, words in captions, and captions of anything.
        plain: the photo of every word.
        taught: texts that hold only what images teach.
        names: names of concepts, classes and groups, which captions use.
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
        """Return a new interpreter, which knows no tower before its first `refit`."""
        return Interpreter(self.taught.rows, self.taught.vectors)


def make(folder: Path, drawings: list[Drawing], epochs: int = EPOCHS) -> None:
    """Ask the teacher about all texts, and teach a text tower: ``texts.json``, ``NAME.npy`` and ``tower.pt``.

    ``folder`` holds what `words.fetch` put there, and in ``folder/teacher`` what `teacher.fetch` did.
    """
    texts = _texts(*_vocabulary(folder, drawings))
    (folder / "texts.json").write_text(json.dumps(texts), "utf-8")
    for name, lines in texts.items():
        np.save(folder / f"{name}.npy", teacher.encode(folder / "teacher", lines))
    tokenizer = make_tokenizer(folder, drawings)
    torch.manual_seed(SEED)
    model = build(tokenizer)
    learn(model, _lesson(folder, "sentences", tokenizer), SEED, epochs)
    torch.save(model.text.state_dict(), folder / "tower.pt")


def load(folder: Path, drawings: list[Drawing]) -> English:
    """Read what `make` wrote."""
    named, common, _ = _vocabulary(folder, drawings)
    tokenizer = make_tokenizer(folder, drawings)
    sentences, plain, taught = (_lesson(folder, name, tokenizer) for name in ("sentences", "plain", "taught"))
    tower = torch.load(folder / "tower.pt", weights_only=True)
    return English(tokenizer, sentences, plain, taught, named, common, tower)


def make_tokenizer(folder: Path, drawings: list[Drawing]) -> CompactTokenizer:
    """Return the tokenizer over names and all words of the list in ``folder``."""
    return CompactTokenizer([word for part in _vocabulary(folder, drawings) for word in part])


def _texts(named: Sequence[str], common: Sequence[str], known: Sequence[str]) -> dict[str, list[str]]:
    return {
        "sentences": sentences(named, common, known),
        "plain": [PLAIN.format(word) for word in (*common, *known)],
        "taught": taught(named),
    }


def _lesson(folder: Path, name: str, tokenizer: CompactTokenizer) -> Lesson:
    texts = json.loads((folder / "texts.json").read_text("utf-8"))[name]
    return Lesson([tokenizer.encode(text) for text in texts], np.load(folder / f"{name}.npy"))


def _vocabulary(folder: Path, drawings: list[Drawing]) -> tuple[list[str], list[str], list[str]]:
    """Return the names that captions can hold, the common words and the other known words."""
    common = words.read(folder / "node_modules", words.COMMON)
    known = sorted(set(words.read(folder / "node_modules", words.KNOWN)) - set(common))
    return names(drawings), common, known
