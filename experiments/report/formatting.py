"""How numbers and foreign text look on the page."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

_SHOWN_AS_THEY_ARE = "\n\t"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what has no form of its own: controls, bidirectional marks, half pairs, line separators."""


def visible(value: Any) -> Any:
    """Replace every character that would act instead of being seen by its number, such as `[U+202E]`.

    Jinja calls it on everything that the page prints, before escaping, so that no text can turn the line around it,
    hide in it, or fail to be written.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(
        f"[U+{ord(char):04X}]" if unicodedata.category(char) in _HIDDEN and char not in _SHOWN_AS_THEY_ARE else char
        for char in value
    )


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """Format a number with a real minus sign; what is not finite is unknown."""
    if not math.isfinite(value):
        return "unknown"
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    if float(text.replace(",", "")) == 0:  # no "-0.0", and no sign before nothing
        text = text.lstrip("+-")
    return text.replace("-", "−")


def capital(text: str) -> str:
    """Begin a text with a capital, unless it has some of its own, as mIoU has."""
    return text[:1].upper() + text[1:] if text.islower() else text


def percent(fraction: float) -> str:
    """Format a value."""
    return f"{number(100 * fraction, 1)}\N{NO-BREAK SPACE}%"


def whole_percent(fraction: float) -> str:
    """Format a probability."""
    return f"{number(100 * fraction, 0)}\N{NO-BREAK SPACE}%"


def points(fraction: float) -> str:
    """Format a difference of values, in percentage points, without the unit."""
    return number(100 * fraction, 1, sign=True)


def nats(value: float) -> str:
    """Format a loss."""
    return number(value, 3)


def nats_change(value: float) -> str:
    """Format a difference of losses."""
    return number(value, 3, sign=True)


def percents(ends: tuple[float, float]) -> str:
    """Format the interval of a value."""
    return f"[{number(100 * ends[0], 1)},\N{NO-BREAK SPACE}{number(100 * ends[1], 1)}]"


def interval(ends: tuple[float, float] | None, shown: Callable[[float], str] = points) -> str:
    """Format the interval of a difference, of values unless `shown` formats another number."""
    return "not bounded" if ends is None else f"[{shown(ends[0])},\N{NO-BREAK SPACE}{shown(ends[1])}]"


def nats_interval(ends: tuple[float, float] | None) -> str:
    """Format the interval of a difference of losses."""
    return interval(ends, nats_change)


def unbroken(text: str) -> str:
    """Keep a p-value, a percentage, an interval and a number of points on one line each."""
    spaced = r"(?<=\bp) (?=[=<])|(?<=[=<]) (?=\d)|(?<=\d) (?=%|points\b)|(?<=\d,) (?=[+-]?[\d.]+\])"
    return re.sub(spaced, "\N{NO-BREAK SPACE}", text)


def p_value(p: float) -> str:
    """Format a p-value with its relation, `= 0.0123` or `< 0.0001`."""
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}" if math.isfinite(p) else "unknown"


def duration(seconds: float) -> str:
    """Format a time."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
