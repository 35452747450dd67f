"""The protocols of the field: the classes that a method learns, and the test images that it is scored on.

- base-to-new: learn the first half of the classes; test each half against its own classes (Zhou et al., 2022).
- few-shot: learn and test all classes.
- cross-dataset: learn all classes of one data set; test other data sets with their own classes, nothing adapted.
- domain-generalization: as cross-dataset, but the other data sets show classes of the source in another style.
- cross-clip: learn all classes with one CLIP; test the learnt text with other CLIPs on the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ipo_prompts.experiments.compare.methods import (
    Absent,
    Fitted,
    FittedEmbeddings,
    FittedLogits,
    Templates,
    classifying,
)
from ipo_prompts.experiments.data import DataSet, load_data
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.plan import SPLIT_SEED, Plan, TestSet, draw_for
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.clip import Clip, check_name
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward, Score, by_embeddings
from ipo_prompts.metrics.template import as_read

ProtocolName = Literal["base-to-new", "cross-dataset", "domain-generalization", "few-shot", "cross-clip"]
TO_DATA = ("cross-dataset", "domain-generalization")
"""The protocols whose targets are data sets."""


def own_tests(planned: Plan) -> list[TestSet]:
    """Return the test sets of the data set that is learnt: `test`, and in base-to-new `new`."""
    drawn, split = planned.drawn, planned.data.split
    tests = [TestSet("test", drawn.test, drawn.class_names, split)]
    if drawn.new_test:
        tests.append(TestSet("new", drawn.new_test, drawn.new_class_names, split))
    return tests


def other_tests(protocol: str, planned: Plan, targets: Sequence[str], config: RunConfig) -> list[TestSet]:
    """Return the further test sets of a protocol.

    Args:
        protocol: one of `ProtocolName`.
        planned: the plan of the cell: what is learnt.
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
        # the same images with each CLIP
        return [replace(own_tests(planned)[0], name=name, clip=name) for name in targets]
    if protocol in TO_DATA:
        return _of_other_data(protocol, planned.data, targets, config)
    if targets:
        raise InputError("few-shot and base-to-new test on the data set that is learnt; leave the targets out.")
    return []


def _of_other_data(protocol: str, source: DataSet, targets: Sequence[str], config: RunConfig) -> list[TestSet]:
    """Return a test set for each other data set.

    For domain-generalization, their classes must be among those of the source: ImageNet-A and -R have 200 of
    ImageNet's 1,000.
    """
    if not targets:
        raise InputError("cross-dataset and domain-generalization test on other data sets; name them as targets.")
    others = [load_data(spec, seed=SPLIT_SEED, clean=config.names != "as-is") for spec in targets]
    names = [source.name, "source", "test", *(other.name for other in others)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two data sets are called {twice!r}; source and targets must be different data sets.")
    # A run reads the names of its classes anew, and the targets have the names that all methods share.
    known = {as_read(str(name)) for name in (*source.typed, *source.class_names)}
    for other in others if protocol == "domain-generalization" else []:
        strange = next((name for name in other.class_names if as_read(name) not in known), None)
        if strange is not None:
            raise InputError(
                f"domain-generalization needs classes of {source.name}, and {other.name} has the class {strange!r}; "
                "use cross-dataset for other classes."
            )
    return [TestSet(one.name, one.test, one.class_names, one.split) for one in others]


def laid_out(config: RunConfig) -> Plan:
    """Load and draw the data of a method that is no run. No image is opened, and no language model is looked for.

    Raises:
        InputError: the data set is missing, or there are too few classes or images.
    """
    source = load_data(config.data, seed=SPLIT_SEED, task=config.task, **config.about_data)
    return Plan(config, source, draw_for(source, config), None, None)


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
