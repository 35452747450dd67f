"""What `IPO(…)` takes: each argument is checked when it is given, and what is wrong is said in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import dspy
from pydantic import ValidationError

from ipo_prompts.metrics.errors import InputError, input_error, speaking_to
from ipo_prompts.metrics.nearest import did_you_mean
from ipo_prompts.metrics.own_class import own_name
from ipo_prompts.programs.lm.connect import models_in
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.search import Earlier, SearchResult
from ipo_prompts.programs.settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Strategy
from ipo_prompts.programs.strategies.given import GivenTemplates

DESCRIBERS = ("clip", "clip-greedy", "none")
"""Describers with a name: they need no language model."""
NO_METRIC = (
    "a metric judges one answer, a reward scores a template on all pictures at once; leave it out for accuracy, or "
    "write your own as docs/your-own-reward.md shows."
)


def kind(thing: Any) -> str:
    """Return what something is, for messages."""
    if isinstance(thing, str):
        return f"the text {thing!r}"
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__


def check_arguments(reward: Any, lm: Any, describer: Any, lm_context: Any) -> None:
    """Refuse what is no reward, language model, describer or number of tokens.

    Raises:
        InputError: says what to give.
    """
    if reward is not None:
        _check_members("reward", reward, ("class_names", "problem", "examples", "score"), "your-own-reward")
    if not isinstance(lm, (dspy.BaseLM, str, type(None))):
        raise InputError(
            f"lm= takes a dspy.LM or a name as on the command line, not {kind(lm)}; write "
            "lm=dspy.LM('openai/gpt-4o-mini', temperature=1.0), or leave it out for the one of the context, if there "
            "is one."
        )
    own = callable(describer) and not isinstance(describer, type)
    if not (describer is None or describer in DESCRIBERS or own):
        raise InputError(
            f"describer= takes {', '.join(map(repr, DESCRIBERS))}, an ImageDescriber or an Interrogator, not "
            f"{kind(describer)}."
        )
    if lm_context is not None and (type(lm_context) is not int or lm_context < 1):
        raise InputError(f"lm_context is a number of tokens, such as 8192, and not {lm_context!r}.")


def as_strategy(given: Any) -> Strategy | dict[str, Any]:
    """Return a strategy, or the choice of one: that is not made before the language model is known.

    Raises:
        InputError: it is neither.
    """
    if isinstance(given, (dict, str)):
        if name := own_name(given):
            raise InputError(f"strategy= of IPO takes a strategy, not its name {name!r}; import it and make one.")
        return STRATEGIES.complete(given)
    if isinstance(given, (list, tuple)):
        return GivenTemplates(given)
    _check_members("strategy", given, ("ask",), "strategies")
    return cast("Strategy", given)


def as_settings(taker: type, given: SearchSettings | None, changes: dict[str, Any]) -> SearchSettings:
    """Return the settings of a search with changes; `taker` has arguments of its own, for messages.

    Raises:
        InputError: a change is no setting (the nearest is named), or has a value of the wrong kind.
    """
    if "metric" in changes:
        raise InputError(f"IPO takes reward= and no metric=: {NO_METRIC}")
    unknown = next((name for name in changes if name not in SearchSettings.model_fields), None)
    if unknown is not None:
        own = [name for name in inspect.signature(taker).parameters if name != "keywords"]
        known = [*own, *SearchSettings.model_fields]
        raise InputError(
            f"IPO has no setting {unknown!r}{did_you_mean(unknown, known)}; there are: {', '.join(known)}."
        )
    try:
        return SearchSettings(**{**(given.model_dump(exclude_unset=True) if given else {}), **changes})
    except ValidationError as error:
        raise input_error(error, "the settings of IPO") from error


def as_earlier(given: Any) -> Earlier | None:
    """Return what a search goes on from: a compiled program, or its search; None for nothing.

    Raises:
        InputError: it is neither.
    """
    found = getattr(given, "search", given)
    if not isinstance(found, (SearchResult, type(None))):
        raise InputError(
            f"earlier= takes what IPO.compile returned, or its search, not {kind(given)}; a saved program has none."
        )
    return None if found is None else Earlier.of(found)


def named(thing: Any) -> str | None:
    """Name a strategy or a describer, with the language models that it holds."""
    if thing is None or isinstance(thing, str):
        return thing
    return " with ".join([kind(thing), *(lm.model for lm in models_in(thing))])


def open_log(folder: Path) -> Journal:
    """Open a journal; what it says is said to those in Python."""
    with speaking_to("compile"):
        return Journal(folder)


def _check_members(what: str, thing: Any, members: Sequence[str], page: str) -> None:
    """Refuse something that lacks a member, or is the class and no object of it."""
    if isinstance(thing, type):
        raise InputError(f"{what}= takes an object, not {kind(thing)}; make one of it.")
    missing = [name for name in members if not hasattr(thing, name)]
    if missing and what == "reward" and callable(thing):
        raise InputError(f"reward= takes a reward, and a function is none: {NO_METRIC}")
    if missing:
        raise InputError(f"the {what} has no {', '.join(missing)}, and is {kind(thing)}; see docs/{page}.md.")
