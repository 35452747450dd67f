"""Banks of phrases that templates are made of without a language model.

*shipped* says how pictures can look ("a line drawing of a <CLASS>."): `phrases.yaml`. *general* is the most frequent
adjectives and nouns of English by a rule that looks at no picture and no CLIP, without the words that the embedded CLIP
was taught for operations: `general.yaml`, made by `tools/general_bank.py`. *none* has no phrase.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from ipo_prompts.metrics.template import TokenCounter, names_class, too_long

BankName = Literal["shipped", "general", "none"]
_FILES = {"shipped": "phrases.yaml", "general": "general.yaml"}


@dataclass(frozen=True)
class Phrase:
    """One way pictures can look: its words, their group (what they are about), the form (a template with PHRASE)."""

    text: str
    group: str
    form: str

    @property
    def template(self) -> str:
        """The template that names this look.

        >>> Phrase("etching", "medium", "a PHRASE of a <CLASS>.").template
        'an etching of a <CLASS>.'
        """
        return re.sub(r"\ba (?=[aeiou]|x-ray)", "an ", self.form.replace("PHRASE", self.text))


@dataclass(frozen=True)
class PhraseBank:
    """Phrases and the bare template that they are compared with."""

    phrases: tuple[Phrase, ...]
    bare: str

    @classmethod
    @cache
    def load(cls, name: BankName = "shipped") -> PhraseBank:
        """Read a bank once."""
        if name == "none":
            return cls((), cls.load().bare)
        content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(_FILES[name]).read_text(encoding="utf-8"))
        return cls(
            tuple(
                Phrase(words, group["name"], group["form"]) for group in content["groups"] for words in group["phrases"]
            ),
            content["bare"],
        )

    def usable(self, class_names: Sequence[str], tokens: TokenCounter | None = None) -> tuple[Phrase, ...]:
        """Leave out the phrases that name a class and, where tokens count, those that do not fit the context."""
        naming = _naming(self.phrases, tuple(class_names))
        return tuple(
            phrase
            for phrase in self.phrases
            if phrase not in naming
            and (tokens is None or too_long(phrase.template, class_names or [""], tokens) is None)
        )


@lru_cache(maxsize=8)
def _naming(phrases: tuple[Phrase, ...], class_names: tuple[str, ...]) -> frozenset[Phrase]:
    """Return the phrases that name a class; kept, as each step of a search asks, and a thousand names take seconds."""
    # Name by name: the patterns of a thousand names are more than are kept compiled.
    return frozenset(phrase for name in class_names for phrase in phrases if names_class(phrase.text, name))
