"""Class names of tables, where a label is a name, or a number whose name is in another column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ipo_prompts.metrics.errors import InputError

NAME_COLUMN = "class_name"


def numbered_names(pairs: Iterable[tuple[object, str]], where: str) -> tuple[str, ...]:
    """Return the class names in the order of their numbers.

    Args:
        pairs: label and class name of each row.
        where: the table's name in messages.

    Raises:
        InputError: a label is not a whole number, labels have a gap, or a label has two names, or a name two labels.

    >>> numbered_names([("1", "dog"), ("0", "cat"), ("1", "dog")], "the table")
    ('cat', 'dog')
    """
    names: dict[int, str] = {}
    for label, name in pairs:
        if not is_number(label):
            raise InputError(
                f"{where} has the label {label!r} beside a column {NAME_COLUMN}, where labels are numbers from 0; "
                f"number them or take the column {NAME_COLUMN} out."
            )
        known = names.setdefault(int(str(label)), name)
        if known != name:
            raise InputError(f"{where} calls the label {label} both {known!r} and {name!r}; give it one name.")
    gaps = sorted(set(range(max(names, default=-1) + 1)) - set(names))
    if gaps or min(names, default=0) < 0:
        missing = gaps[0] if gaps else min(names)
        raise InputError(f"the labels in {where} must run from 0 without gaps (see label {missing}); renumber them.")
    ordered = tuple(names[number] for number in sorted(names))
    twice = Counter(ordered).most_common(1)
    if twice and twice[0][1] > 1:
        raise InputError(f"{where} has two labels with the name {twice[0][0]!r}; rename one or join them.")
    return ordered


def refuse_numbers(labels: Sequence[object], where: str) -> None:
    """Refuse labels that are all numbers: CLIP reads names.

    Raises:
        InputError: says which column to add.
    """
    if labels and all(is_number(label) for label in labels):
        raise InputError(
            f"the labels in {where} are numbers and CLIP reads names; "
            f"add a column {NAME_COLUMN} or write names as labels."
        )


def is_number(label: object) -> bool:
    """Whether a label is a whole number, as text or as a number."""
    return str(label).strip().removeprefix("-").isdecimal()
