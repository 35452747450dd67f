"""The protocols of the field: the classes a method learns from, and the sealed test pictures it is tested on.

- base-to-new: learn the first half of the classes; test each half against its own classes (Zhou et al., 2022).
- few-shot: learn and test all classes.
- cross-dataset: learn all classes of one data set; test others with their own classes, nothing adapted.
- domain-generalization: the same, where the others hold classes of the source in another guise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipo.experiments.compare.evaluation import TestSet
from ipo.experiments.data import DataSet, Draw
from ipo.experiments.run.config import RunConfig
from ipo.experiments.run.plan import draw_for
from ipo.metrics.errors import InputError

Protocol = Callable[[DataSet, Sequence[DataSet], RunConfig], tuple[Draw, list[TestSet]]]
"""From the data sets and the settings to the pictures drawn and the test sets. No picture is opened.

Raises:
    InputError: too few classes or pictures, targets that the protocol does not take or that are missing, two data sets
        of one name, or a class of a target that a shift of the source cannot have.
"""


def base_to_new(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[TestSet]]:
    """Learn the base classes; test sets `base` and `new`, each against its own classes."""
    _no_targets(targets, "base-to-new")
    drawn = draw_for(source, config)
    return drawn, [
        TestSet("base", drawn.test, drawn.class_names, source),
        TestSet("new", drawn.new_test, drawn.new_class_names, source),
    ]


def few_shot(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[TestSet]]:
    """Learn all classes; test set `test`."""
    _no_targets(targets, "few-shot")
    drawn = draw_for(source, config)
    return drawn, [TestSet("test", drawn.test, drawn.class_names, source)]


def cross_dataset(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[TestSet]]:
    """Learn all classes of the source; test sets `source` and one for each target, with the target's own classes."""
    if not targets:
        raise InputError("cross-dataset and domain-generalization test on other data sets; name them as targets.")
    drawn = draw_for(source, config)
    names = [source.name, "source", *(target.name for target in targets)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two data sets are called {twice!r}; source and targets must be different data sets.")
    others = [TestSet(target.name, target.test, target.class_names, target) for target in targets]
    return drawn, [TestSet("source", drawn.test, drawn.class_names, source), *others]


def domain_generalization(source: DataSet, targets: Sequence[DataSet], config: RunConfig) -> tuple[Draw, list[TestSet]]:
    """As `cross_dataset`, where the targets' classes are the source's or some of them (ImageNet-A and -R have 200)."""
    known = {name.replace("_", " ").casefold() for name in source.class_names}
    for target in targets:
        strange = next((name for name in target.class_names if name.replace("_", " ").casefold() not in known), None)
        if strange is not None:
            raise InputError(
                f"domain-generalization needs classes of {source.name}, and {target.name} has the class {strange!r}; "
                "use cross-dataset for other classes."
            )
    return cross_dataset(source, targets, config)


PROTOCOLS: dict[str, Protocol] = {
    "base-to-new": base_to_new,
    "cross-dataset": cross_dataset,
    "domain-generalization": domain_generalization,
    "few-shot": few_shot,
}


def _no_targets(targets: Sequence[DataSet], protocol: str) -> None:
    if targets:
        raise InputError(f"{protocol} tests on the data set that it learns from; leave the targets out.")
