"""Make text of others, such as file names and servers' errors, safe to print."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_IGNORED = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point of Unicode 17, DerivedCoreProperties.txt: what is shown as nothing."""
_BLANK = frozenset("\u2800\U0001d159\U00013441\U00013442")
"""Characters that are drawn empty: the Braille pattern without dots, the null notehead, blanks of hieroglyphs."""


def invisible(text: str) -> str | None:
    """Return the first character that nobody sees, or that steers the rest: a control, filler or blank; or None.

    Spaces are none of them.

    >>> invisible("a photo"), invisible("a\\u3164b") == "\\u3164"
    (None, True)
    """
    return next((one for one in text if _is_invisible(one)), None)


def _is_invisible(one: str) -> bool:
    if one in _BLANK or unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return True
    return not one.isascii() and any(first <= ord(one) <= last for first, last in _IGNORED)


def several(texts: Sequence[str], most: int = 5) -> str:
    """List the first texts, and say how many more there are.

    >>> several(["cat", "dog", "bus"]), several(["cat", "dog", "bus"], most=1)
    ('cat, dog, bus', 'cat and 2 more')
    """
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def printable(text: str) -> str:
    """Escape characters that would move a terminal's cursor or turn a line's direction.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
