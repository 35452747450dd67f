"""What a template must be, written from its definition and not from our validator: what the soak judges by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import open_clip
import regex

SEEN = regex.compile(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]|\p{Zs}")
UNSEEN = regex.compile(r"\p{Default_Ignorable_Code_Point}|\u2800")


class Oracle:
    """Says what is wrong with scored templates.

    Args:
        class_names: what fills the slot.
        count: returns the length of a text in tokens, uncut; at most `context` fit.
    """

    def __init__(self, class_names: Sequence[str], count: Any, context: int) -> None:
        self._names = [name.replace("_", " ") for name in class_names]
        self._count, self._context = count, context
        self._bpe = open_clip.SimpleTokenizer()  # type: ignore[no-untyped-call,unused-ignore]

    def faults(self, templates: Sequence[str]) -> list[str]:
        """Return what is wrong."""
        found = [f"{template!r}: {fault}" for template in templates for fault in self._faults(template)]
        plain = [re.sub(r"\s+", " ", template.lower()).strip(" .!?,;:") for template in templates]
        return found + (["one template twice"] if len(set(plain)) < len(plain) else [])

    def _faults(self, template: str) -> Iterator[str]:
        before, *after = template.split("<CLASS>")
        around = " ".join([before, *after])
        if not after:
            yield "no slot"
        if len(template) > 300:
            yield "too long"
        for one in template:
            if not SEEN.fullmatch(one) or UNSEEN.fullmatch(one):
                yield f"U+{ord(one):04X} is not seen"
        if "<" in around and ">" in around[around.index("<") :]:
            yield "markup"
        for name in self._names:
            text = template.replace("<CLASS>", name)
            if self._count(text) > self._context:
                yield f"cut with {name!r}"
            control = {self._bpe.sot_token_id, self._bpe.eot_token_id}
            if control & set(self._bpe.encode(text)):
                yield "control tokens of the text tower"
