"""Which columns of a `datasets` table hold the picture and the label, found by their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.data.sources.labels import NAME_COLUMN
from ipo_prompts.experiments.data.sources.table import IMAGE_COLUMNS
from ipo_prompts.metrics.errors import InputError

_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "class", NAME_COLUMN)


@dataclass(frozen=True)
class Columns:
    """The columns that are read.

    Attributes:
        image: holds encoded pictures, or their paths.
        label: holds class numbers or names.
        names: the class names of a `ClassLabel`, in label order; None for other labels.
        named: whether a column `class_name` holds the names of the numbers in `label`.
    """

    image: str
    label: str
    names: tuple[str, ...] | None = None
    named: bool = False


def find_columns(features: Mapping[str, Any], where: str, *, paths: bool = False) -> Columns:
    """Find the columns; of several of one type, the one with a usual name is taken.

    Args:
        features: column → its type.
        where: the table's name in messages.
        paths: without a column of pictures, one of text that a `csv:` may have holds their paths.

    Raises:
        InputError: none or several fit; the message lists the columns.
    """
    from datasets import ClassLabel

    pictures = [name for name, kind in features.items() if _is_image(name, kind)]
    texts = [name for name in IMAGE_COLUMNS if _dtype(features.get(name)) in ("string", "large_string")]
    if texts and not pictures and not paths:
        raise InputError(f"the column {texts[0]} of {where} holds text, not pictures; take data with the pictures in.")
    image = _pick(pictures or texts[:1], _IMAGE_NAMES, features, where, "image")
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    if classes:
        label = _pick(classes, _LABEL_NAMES, features, where, "label")
        return Columns(image, label, tuple(features[label].names))
    plain = [name for name in _LABEL_NAMES if _dtype(features.get(name)).removeprefix("large_") in _LABEL_TYPES]
    if not plain:
        raise _none("label", features, where)
    label = plain[0]
    numbers = "int" in _dtype(features[label])
    return Columns(image, label, named=numbers and NAME_COLUMN in plain)


_LABEL_TYPES = frozenset(["string", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))])


def _dtype(kind: Any) -> str:
    return str(getattr(kind, "dtype", ""))


def _is_image(name: str, kind: Any) -> bool:
    from datasets import Image

    if isinstance(kind, Image):
        return True
    if isinstance(kind, Mapping):
        return set(kind) == {"bytes", "path"}
    return name in _IMAGE_NAMES and _dtype(kind) in ("binary", "large_binary")


def _pick(found: list[str], usual: tuple[str, ...], features: Mapping[str, Any], where: str, what: str) -> str:
    if not found:
        raise _none(what, features, where)
    best = found if len(found) == 1 else [name for name in usual if name in found]
    if best:
        return best[0]
    raise InputError(
        f"{where} has several {what} columns ({', '.join(found)}); keep one, or call the right one {what}."
    )


def _none(what: str, features: Mapping[str, Any], where: str) -> InputError:
    return InputError(f"{where} has no {what} column; its columns are: {', '.join(features)}.")
