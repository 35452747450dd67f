"""Class names with synonyms: what a class is called in prompts, and what else it is called.

A class name is plain text. One with synonyms is text as well, its first name, so that it is passed on, shown and
compared like any other; where texts are encoded, or words looked for, all names of the class are asked for here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from ipo_prompts.metrics.errors import InputError


class ClassName(str):
    """The first name of a class, with its synonyms; equal to the plain text of its first name.

    >>> sign = ClassName("road sign", ["traffic sign"])
    >>> sign == "road sign", sign.synonyms
    (True, ('traffic sign',))
    """

    synonyms: tuple[str, ...]

    def __new__(cls, name: str, synonyms: Iterable[str] = ()) -> ClassName:
        """Make it of its first name and the others.

        Raises:
            InputError: the synonyms are one text, whose letters would be taken for them.
        """
        if isinstance(synonyms, str):
            raise InputError(f"the synonyms of {name!r} are a list of names; write [{synonyms!r}].")
        made = super().__new__(cls, name)
        made.synonyms = tuple(synonyms)
        return made


def named(names: Sequence[str]) -> str:
    """Return a class of all its names, the first one first; plain text where there is one.

    >>> type(named(["cat"])), named(["sofa", "couch"])
    (<class 'str'>, 'sofa')
    """
    return ClassName(names[0], names[1:]) if len(names) > 1 else names[0]


def names_of(class_name: str) -> tuple[str, ...]:
    """Return all names of a class, the first one first.

    >>> names_of(named(["sofa", "couch"])), names_of("cat")
    (('sofa', 'couch'), ('cat',))
    """
    return (str(class_name), *class_name.synonyms) if isinstance(class_name, ClassName) else (class_name,)


def every_name(class_names: Iterable[str]) -> list[str]:
    """Return all names of all classes, class by class.

    >>> every_name(["cat", named(["sofa", "couch"])])
    ['cat', 'sofa', 'couch']
    """
    return [name for class_name in class_names for name in names_of(class_name)]


def have_synonyms(class_names: Sequence[str]) -> bool:
    """Whether any class has several names."""
    return any(isinstance(name, ClassName) for name in class_names)


def written(class_names: Sequence[str]) -> list[str | list[str]]:
    """Return classes as JSON has them: a name, or the list of names where there are several.

    >>> written(["cat", named(["sofa", "couch"])])
    ['cat', ['sofa', 'couch']]
    """
    return [list(names) if len(names := names_of(name)) > 1 else str(name) for name in class_names]


def refuse_synonyms(class_names: Sequence[str], why: str) -> None:
    """Refuse classes with synonyms where they cannot be used; `why` begins the sentence.

    Raises:
        InputError: names the first such class.
    """
    several = next((name for name in class_names if isinstance(name, ClassName)), None)
    if several is not None:
        raise InputError(
            f"{why}, and the class {str(several)!r} has synonyms ({', '.join(map(repr, several.synonyms[:3]))}); "
            "leave them out of classes.yaml, or of class_names."
        )


def tidy(name: str) -> str:
    """Return one spelling for the two that Unicode allows ("é" as one character or as two, which macOS writes)."""
    return unicodedata.normalize("NFC", name).strip()


def as_read(name: str) -> str:
    """Return what is equal for class names that read the same in a prompt.

    >>> as_read("Hot_Dog") == as_read("hot  dog")
    True
    """
    return " ".join(tidy(name).replace("_", " ").split()).casefold()


def usable(class_names: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of a classifier, which are texts. Two may have one name, as in CLIP's list for ImageNet.

    Raises:
        InputError: they are none at all, one text, or no texts; a name is empty, or a synonym that of another name too.
    """
    if isinstance(class_names, str) or not isinstance(class_names, Iterable):
        raise InputError(f"the class names are a list of texts, such as ['cat', 'dog'], not {class_names!r}.")
    classes = tuple(class_names)
    if not classes:
        raise InputError("there are no class names; a classifier needs one at least, such as ['cat', 'dog'].")
    owner: dict[str, int] = {}
    for label, class_name in enumerate(classes):
        for name in names_of(class_name):
            if not isinstance(name, str):
                raise InputError(f"the class name {name!r} is no text; write it as '{name}'.")
            if not as_read(name):
                raise InputError(f"the class {label} (counted from 0) has an empty name; write what it is called.")
            if (read := as_read(name)) in owner and have_synonyms([class_name, classes[owner[read]]]):
                raise InputError(
                    f"the class name {name!r} reads as another does: it stands for {str(class_name)!r} and for "
                    f"{str(classes[owner[read]])!r}; remove one, or join the classes."
                )
            owner[read] = label
    return classes
