"""The arguments and examples that `IPO.compile` takes, and the program that it returns."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import dspy
import numpy as np
from pydantic import ValidationError

from ipo_prompts.metrics.errors import InputError, did_you_mean, input_error
from ipo_prompts.metrics.images import to_image
from ipo_prompts.metrics.registry import check_members, own_name
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.running import Searched
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Strategy, own_strategy

# The arguments of `IPO(…)`. Each argument is checked when it is given. A message says in one sentence what is wrong.


NOT_HERE = {
    "metric": "IPO takes reward= and no metric=: a metric judges one answer, a reward scores a template on all "
    "images at once; leave it out for accuracy, or write your own as ipo docs own-reward shows.",
    "lm_api_base": "IPO takes an address in the model: lm=dspy.LM('PROVIDER/NAME', api_base='http://HOST/v1').",
}
"""Arguments that IPO does not take, and what to write."""


def kind(thing: Any) -> str:
    """Return a few words that say what an object is, for messages."""
    if isinstance(thing, str):
        return f"the text {thing!r}"
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__


def code_of(thing: Any) -> str:
    """Return what tells the code of an object or a function from other code of the same name.

    IPO's own classes go by their name alone, so that a newer IPO resumes a search.
    """
    made = thing if inspect.isroutine(thing) else type(thing)
    if made.__module__.startswith("ipo_prompts."):
        return made.__name__
    source = f"{made.__module__}.{made.__qualname__}"
    with suppress(OSError, TypeError):  # typed in a console, or written in C
        source = inspect.getsource(made)
    return f"{made.__name__} {hashlib.sha256(source.encode()).hexdigest()[:12]}"


def check_arguments(reward: Any, lm: Any, describer: Any) -> None:
    """Refuse arguments that are no reward, language model or describer.

    Raises:
        InputError: says what to give.
    """
    if isinstance(reward, type):
        raise InputError(f"reward= takes an object, not {kind(reward)}; make one of it.")
    if reward is not None:
        check_members(reward, ["class_names", "problem", "examples", "score"], f"reward={kind(reward)}", "own-reward")
    if not isinstance(lm, (dspy.BaseLM, str, type(None))):
        raise InputError(
            f"lm= takes a dspy.LM or a name as on the command line, not {kind(lm)}; write "
            "lm=dspy.LM('openai/gpt-4o-mini', temperature=1.0), or leave it out to use the language model of the "
            "context, if there is one."
        )
    if describer is not None and (isinstance(describer, type) or not callable(describer)):
        raise InputError(f"describer= takes an ImageDescriber or a callable of your own, not {kind(describer)}.")


def as_strategy(given: Any) -> Callable[[], Strategy] | dict[str, Any] | list[str]:
    """Return what a strategy is made of: a dictionary with its name and settings, a list of templates, or a class.

    Raises:
        InputError: the argument is no strategy, and does not name one.
    """
    if isinstance(given, (dict, str)):
        if name := own_name(given):
            raise InputError(f"strategy= of IPO takes a class, not its name {name!r}; import it and give the class.")
        return STRATEGIES.complete(given)
    if isinstance(given, (list, tuple)):
        return list(given)
    if isinstance(given, type):
        own_strategy(given, f"the strategy {given.__name__}")
    elif not callable(given):
        raise InputError(
            f"strategy= takes a class, of which each search makes an object, not {kind(given)}; give the class."
        )
    return cast("Callable[[], Strategy]", given)


def as_settings(taker: type, given: SearchSettings | None, changes: dict[str, Any]) -> SearchSettings:
    """Return the settings of a search, with changes. Error messages also list the arguments of the class `taker`.

    Raises:
        InputError: a change is no setting (the message names the nearest one), or its value has the wrong kind.
    """
    unknown = next((name for name in changes if name not in SearchSettings.model_fields), None)
    if unknown in NOT_HERE:
        raise InputError(NOT_HERE[unknown])
    if unknown is not None:
        own = [name for name in inspect.signature(taker).parameters if name != "keywords"]
        known = [*own, *SearchSettings.model_fields]
        raise InputError(
            f"IPO has no setting {unknown!r}{did_you_mean(unknown, known)}; there are: {', '.join(known)}."
        )
    before = given.model_dump(include=set(SearchSettings.model_fields), exclude_unset=True) if given else {}
    try:
        return SearchSettings(**{**before, **changes})
    except ValidationError as error:
        raise input_error(error, "the settings of IPO") from error


# The examples of `compile`. Two examples are the same if their contents are. No example may stand in both sets.


def with_images(given: Sequence[Any]) -> list[dspy.Example]:
    """Return copies of examples, with each `image` as a `LazyImage`. Examples without an image are returned unchanged.

    Raises:
        InputError: something is no `dspy.Example`, or an image is of an unknown kind.
    """
    other = next((example for example in given if not isinstance(example, dspy.Example)), None)
    if other is not None:
        raise InputError(f"trainset and valset hold dspy.Example(image=…, label=…), not {kind(other)}.")
    return [e.copy(image=to_image(e.image)) if "image" in e else e for e in given]


def check_apart(trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example]) -> None:
    """Refuse examples that stand in both sets: examples that were searched on cannot measure what the search gained.

    Two examples with an `image` are the same if their images are the same. Two examples without an `image` are the
    same if all their fields are the same.

    Raises:
        InputError: says how many stand in both sets.
    """
    searched = set(_identities(trainset))
    both = sum(identity in searched for identity in _identities(valset))
    if both:
        raise InputError(
            f"{both} of the {len(valset)} examples in valset stand in trainset too; give each image to one of the "
            "two sets, as images that were searched on cannot measure the gain, or leave valset= out."
        )


def examples_digest(examples: Sequence[dspy.Example]) -> str:
    """Return the SHA-256 of the contents of examples, in their order. It is the same in every process."""
    held = partial(_held, opaque=lambda value: type(value).__name__)
    texts = [f"{_image(example)} {held(example)}" for example in examples]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _identities(examples: Sequence[dspy.Example]) -> list[str]:
    return [_image(example) or _held(example, opaque=id) for example in examples]


def _image(example: dspy.Example) -> str | None:
    """Return the digest of an example's image; None for an example without an image."""
    return example.image.content() if "image" in example else None


def _held(example: dspy.Example, opaque: Callable[[Any], object]) -> str:
    """Return the fields of an example as JSON. `opaque(value)` stands for a value that JSON cannot hold."""

    def plain(value: Any) -> object:
        if isinstance(value, np.ndarray):  # features and masks: many numbers
            return [str(value.dtype), value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
        return value.tolist() if hasattr(value, "tolist") else opaque(value)

    return json.dumps(dict(example.items()), default=plain, skipkeys=True, sort_keys=True)


# A program with a classifier inside: how the classifier is found, and how the optimised copy is made.


Program = TypeVar("Program", bound=dspy.Module)
"""A `TemplateClassifier`, or a larger program with one inside."""
LEFT = ("candidate_programs", "trial_logs", "search", "usage", "named")
"""The attributes that a compile sets on its program."""


def classifier_in(program: Any) -> tuple[str, TemplateClassifier]:
    """Return the name and the object of the only classifier in a program. The classifier may be the program itself.

    Raises:
        InputError: there is no classifier, or there are several.
    """
    if isinstance(program, TemplateClassifier):
        return "self", program
    parts = program.named_predictors() if isinstance(program, dspy.Module) else []
    found = [(name, part) for name, part in parts if isinstance(part, TemplateClassifier)]
    if len(found) == 1:
        return found[0]
    if found:
        name = found[0][0]
        raise InputError(
            f"IPO optimises one template at a time, and {kind(program)} has the classifiers "
            f"{' and '.join(name for name, _ in found)}; compile each by itself, as in "
            f"program.{name} = ipo.compile(program.{name}, trainset=…)."
        )
    how = "give TemplateClassifier(clip, class_names), or a program that holds one"
    raise InputError(f"IPO optimises the template of a TemplateClassifier, not {kind(program)}; {how}.")


def compiled(student: Program, found: Searched, scale: Scale) -> Program:
    """Return a copy of a program with the chosen template.

    Its attributes `candidate_programs` and `trial_logs`, usual in DSPy, hold the templates that were tried. A
    classifier inside a larger program has the attributes, too; its `candidate_programs` are classifiers.
    """
    plain: Any = student.deepcopy()
    parts: tuple[Any, ...] = (plain, classifier_in(plain)[1])
    for part in parts:  # otherwise each copy would hold the attributes that an earlier compile set
        for name in LEFT:
            vars(part).pop(name, None)
    result = found.result
    program: Any = _with_template(plain, result.choice.template)
    classifier: Any = classifier_in(program)[1]
    if found.named and found.named.renamed:
        classifier.rename(found.named.class_names)
    tried = [
        {
            "score": 100 * entry.value if scale.percent else entry.value,
            "program": _with_template(plain, entry.template),
            "loss": entry.loss,
        }
        for entry in result.history.ranked()
    ]
    left: dict[str, Any] = {"search": result, "usage": found.ledger.roles, "named": found.named}
    left["trial_logs"] = {step.number: step.record() for step in result.steps}
    alone = [{**one, "program": classifier_in(one["program"])[1]} for one in tried]
    for part, candidates in ((classifier, alone), (program, tried)):
        vars(part).update(left, candidate_programs=candidates)
    program._compiled = True
    return cast("Program", program)


def _with_template(student: Program, template: str) -> Program:
    program = cast("Program", student.deepcopy())
    classifier_in(program)[1].set_template(template)
    return program
