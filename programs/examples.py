"""The examples of a `compile`: read alike in any form, told apart by what they hold, and never in both sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import dspy

from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.programs.given_pictures import to_picture


def with_pictures(given: Sequence[Any]) -> list[dspy.Example]:
    """Return copies of examples whose `image`, where they have one, is a `Picture`.

    Raises:
        InputError: something else than a `dspy.Example`, or an image of an unknown kind.
    """
    other = next((example for example in given if not isinstance(example, dspy.Example)), None)
    if other is not None:
        kind = f"the class {other.__name__}" if isinstance(other, type) else type(other).__name__
        raise InputError(f"trainset and valset hold dspy.Example(image=…, label=…), not {kind}.")
    return [e.copy(image=to_picture(e.image)) if "image" in e else e for e in given]


def check_apart(trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example], clip: Clip) -> None:
    """Refuse examples that stand in both sets: what was searched on cannot measure what the search gained.

    An example with an `image` is its picture, whatever else it holds; any other is all that it holds.

    Raises:
        InputError: it says how many do.
    """
    searched = set(_identities(trainset, clip))
    both = sum(identity in searched for identity in _identities(valset, clip))
    if both:
        raise InputError(
            f"{both} of the {len(valset)} examples in valset stand in trainset too; give each picture to one of them, "
            "as what was searched on cannot measure the gain, or leave valset= out."
        )


def digest(examples: Sequence[dspy.Example], clip: Clip) -> str:
    """Return what tells sets of examples apart, in another process too: SHA-256 of all that they hold, in order."""
    pairs = zip(_pictures(examples, clip), examples, strict=True)
    texts = [f"{picture} {_held(example, opaque=_kind)}" for picture, example in pairs]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _identities(examples: Sequence[dspy.Example], clip: Clip) -> list[str]:
    pairs = zip(_pictures(examples, clip), examples, strict=True)
    return [picture or _held(example, opaque=id) for picture, example in pairs]


def _pictures(examples: Sequence[dspy.Example], clip: Clip) -> list[str | None]:
    """Return the digest of each example's picture; None where it has none."""
    # The store hashes each file once: the reward's own look at the same pictures comes after and finds it there.
    contents = iter(FeatureStore(clip).contents([example.image for example in examples if "image" in example]))
    return [next(contents).partition("|")[0] if "image" in example else None for example in examples]


def _held(example: dspy.Example, opaque: Callable[[Any], object]) -> str:
    """Return what an example holds as text; `opaque` stands for each value that has none."""

    def plain(value: Any) -> object:
        return value.tolist() if hasattr(value, "tolist") else opaque(value)

    return json.dumps(dict(example.items()), default=plain, skipkeys=True, sort_keys=True)


def _kind(value: Any) -> str:
    return type(value).__name__
