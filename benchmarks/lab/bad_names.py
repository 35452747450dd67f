"""Bad names for classes, as people give them to folders: by rules that do not know how names are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipo_prompts.metrics.nouns import synsets

RULED = ("plurals", "brackets", "years", "separators")
"""The kinds of names that the rule should correct."""
KINDS = ("right", *RULED, "synonyms")
_PLURALS = {"mouse": "mice", "fish": "fish", "scissors": "scissors", "glasses": "glasses", "grapes": "grapes"}
_BEHIND = ("(all)", "(2)", "[new]", "(photos)")
_YEARS = ("_2019", "-2021", "_v2", ".2020")


def called(kind: str, right: Sequence[str]) -> tuple[str, ...]:
    """Return the names of one of `KINDS` for classes with these right names, all different."""
    if kind == "right":
        return tuple(right)
    if kind == "plurals":
        return tuple(map(plural, right))
    if kind == "brackets":
        return tuple(f"{name} {_BEHIND[i % len(_BEHIND)]}" for i, name in enumerate(right))
    if kind == "years":
        return tuple(plural(name).replace(" ", "_") + _YEARS[i % len(_YEARS)] for i, name in enumerate(right))
    if kind == "separators":
        return tuple(f"{i:03}.{name.title().replace(' ', '_' * (i % 2))}" for i, name in enumerate(right, 1))
    return synonyms(right)


def plural(name: str) -> str:
    """Return the plural of a name."""
    if name in _PLURALS:
        return _PLURALS[name]
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def synonyms(names: Sequence[str]) -> tuple[str, ...]:
    """Return another word for the first meaning of each name; itself where WordNet has none."""
    meaning = {word.text: number for number, one in synsets().items() for word in one.words if word.sense == 1}
    others = [[word.text for word in synsets()[meaning[name]].words] if name in meaning else [] for name in names]
    return _distinct((next((word for word in own if word not in names), "") for own in others), names)


def _distinct(wanted: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return what is wanted, or the right name where that is empty or taken."""
    found: list[str] = []
    for name, own in zip(wanted, names, strict=True):
        found.append(name if name and name not in (*found, *names) else own)
    return tuple(found)
