"""The protocols of the field: the classes that a method learns, and the sealed test pictures that it is scored on.

- base-to-new: learn the first half of the classes; test each half against its own classes (Zhou et al., 2022).
- few-shot: learn and test all classes.
- cross-dataset: learn all classes of one data set; test other data sets with their own classes, nothing adapted.
- domain-generalization: as cross-dataset, but the other data sets show classes of the source in another style.
- cross-clip: learn all classes with one CLIP; test the learnt text with other CLIPs on the same pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ipo_prompts.experiments.compare.methods import (
    Absent,
    Fitted,
    FittedEmbeddings,
    FittedLogits,
    Templates,
    classifying,
)
from ipo_prompts.experiments.data import DataSet, Draw, Item, load_data
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.plan import SPLIT_SEED, draw_for
from ipo_prompts.experiments.run.prepared import labelled_contents
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.clip import Clip, check_name
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward, Score, by_embeddings
from ipo_prompts.metrics.template import as_read
from ipo_prompts.programs.scoring import units_of

ProtocolName = Literal["base-to-new", "cross-dataset", "domain-generalization", "few-shot", "cross-clip"]
TO_DATA = ("cross-dataset", "domain-generalization")
"""The protocols whose targets are data sets."""


@dataclass(frozen=True)
class TestSet:
    """Sealed test pictures and the classes that compete on them.

    Attributes:
        name: the name of the test set in the cell's scores.
        items: the pictures, labelled from 0 within `class_names`.
        class_names: the names of the classes in label order.
        data: the data set of the pictures.
        clip: the name of the CLIP to test with; None takes the cell's CLIP.
    """

    name: str
    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    data: DataSet
    clip: str | None = None


def test_sets(protocol: str, drawn: Sequence[TestSet], targets: Sequence[str], config: RunConfig) -> list[TestSet]:
    """Return the test sets of a protocol.

    Args:
        protocol: one of `ProtocolName`.
        drawn: the test sets of the data set that is learnt: `test`, or `base` and `new` in base-to-new.
        targets: the targets of the grid: data sets, or CLIPs for cross-clip.
        config: the settings that all methods share.

    Raises:
        InputError: the targets are impossible.
    """
    if protocol == "cross-clip":
        if not targets:
            raise InputError("cross-clip tests templates with other CLIPs; name the CLIPs as targets.")
        for name in targets:
            check_name(name)
        return [replace(drawn[0], name=name, clip=name) for name in targets]  # the same pictures with each CLIP
    if protocol in TO_DATA:
        return _of_other_data(protocol, drawn[0], targets, config)
    if targets:
        raise InputError("few-shot and base-to-new test on the data set that is learnt; leave the targets out.")
    return list(drawn)


def _of_other_data(protocol: str, test: TestSet, targets: Sequence[str], config: RunConfig) -> list[TestSet]:
    """Return the test set `source`, then a test set for each other data set.

    For domain-generalization, their classes must be among those of the source: ImageNet-A and -R have 200 of
    ImageNet's 1,000.
    """
    if not targets:
        raise InputError("cross-dataset and domain-generalization test on other data sets; name them as targets.")
    others = [load_data(spec, seed=SPLIT_SEED, clean=config.names != "as-is") for spec in targets]
    names = [test.data.name, "source", *(other.name for other in others)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two data sets are called {twice!r}; source and targets must be different data sets.")
    known = {as_read(name) for name in test.data.class_names}
    for other in others if protocol == "domain-generalization" else []:
        strange = next((name for name in other.class_names if as_read(name) not in known), None)
        if strange is not None:
            raise InputError(
                f"domain-generalization needs classes of {test.data.name}, and {other.name} has the class {strange!r}; "
                "use cross-dataset for other classes."
            )
    return [replace(test, name="source"), *(TestSet(one.name, one.test, one.class_names, one) for one in others)]


def laid_out(
    protocol: str, data: str, targets: Sequence[str], config: RunConfig
) -> tuple[DataSet, Draw, list[TestSet]]:
    """Load the data sets of a cell. No picture is opened.

    Returns:
        The data set to learn from, the pictures that were drawn from it, and the test sets.

    Raises:
        InputError: a data set is missing, or there are too few classes or pictures; see also `test_sets`.
    """
    source = load_data(
        data,
        seed=SPLIT_SEED,
        task=config.task,
        **config.about_data,
    )
    drawn = draw_for(source, config)
    tests = [TestSet("test", drawn.test, drawn.class_names, source)]
    if config.classes == "base-to-new":
        new = TestSet("new", drawn.new_test, drawn.new_class_names, source)
        tests = [replace(tests[0], name="base"), new]
    return source, drawn, test_sets(protocol, tests, targets, config)


def carried_over(fitted: Fitted, clip: Clip) -> Fitted:
    """Return the templates that a method learnt with one CLIP, for use with another CLIP.

    Raises:
        Absent: the method learnt something else than text; only text can be used with another CLIP.
    """
    if not isinstance(fitted, Templates):
        raise Absent("it is no text alone, and only text can be carried over to another CLIP")
    return replace(fitted, clip=clip)


def score_of(fitted: Fitted, reward: Reward, encoded: Encoded) -> Score:
    """Return the score of a fitted classifier on encoded units, among the reward's classes.

    Raises:
        Absent: the reward can score only single templates and the classifier is something else, or the classifier
            cannot handle these classes.
    """
    if isinstance(fitted, FittedLogits):
        units = encoded.units
        return classifying(reward).score_logits("", fitted.logits(reward.class_names), units)  # type: ignore[arg-type]
    if isinstance(fitted, FittedEmbeddings) and (hook := by_embeddings(reward)):
        classes = fitted.embeddings_of(hook.names_in(encoded.units))
        return hook.score_embeddings([""], [classes], encoded.units)[0]
    if fitted.templates is None or len(fitted.templates) > 1:
        raise Absent("this reward scores single templates only")
    return reward.score([fitted.templates[0]], encoded.units)[0]


def totals(score: Score) -> dict[str, Any]:
    """Return `value`, `loss` and `n` of a score, rounded as in `result.json`."""
    return {"value": round(score.value, 6), "loss": round(score.loss, 6), "n": score.n}


def tested(fitted: Fitted, test: TestSet, reward: Reward, encoded: Encoded) -> dict[str, Any]:
    """Score a fitted classifier on test pictures that are encoded already.

    Returns:
        - `value`, `loss`, `n`: see `totals`.
        - `classes`: the number of classes that compete.
        - `hits`: a text with `0` or `1` for each unit; or instead `values`: a number for each unit.
        - `labels`: the class of each unit, or None.
        - `draws`: a number for each unit, the same for all variants of one picture, or None.
        - `split`: see `DataSet.split`.

    Raises:
        Absent: see `score_of`.
    """
    found = score_of(fitted, reward, encoded)
    drawn = encoded.sampling(found.n)
    units = units_of(found)
    return {
        **totals(found),
        "classes": len(test.class_names),
        ("hits" if isinstance(units, str) else "values"): units,
        "labels": None if drawn.classes is None else drawn.classes.tolist(),
        "draws": None if drawn.draws is None else drawn.draws.tolist(),
        "split": test.data.split,
    }


def picture_ids(items: Sequence[Item]) -> str:
    """Return a digest of the pictures: of their content, labels and order."""
    return hashlib.sha256(json.dumps(labelled_contents(items)).encode()).hexdigest()
