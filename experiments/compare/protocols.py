"""The protocols of the field: the classes a method learns from, and the sealed test pictures it is tested on.

- base-to-new: learn the first half of the classes; test each half against its own classes (Zhou et al., 2022).
- few-shot: learn and test all classes.
- cross-dataset: learn all classes of one data set; test others with their own classes, nothing adapted.
- domain-generalization: the same, where the others hold classes of the source in another guise.
- cross-clip: learn all classes with one CLIP; test what was learnt with others, as text, on the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipo_prompts.experiments.compare.evaluation import TestSet
from ipo_prompts.experiments.data import DataSet, Draw, load_data
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.plan import SPLIT_SEED, draw_for
from ipo_prompts.metrics.clip import check_name
from ipo_prompts.metrics.errors import InputError

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


def cross_clip(source: DataSet, clips: Sequence[str], config: RunConfig) -> tuple[Draw, list[TestSet]]:
    """Learn all classes of the source; a test set for each CLIP, with the same pictures and classes."""
    if not clips:
        raise InputError("cross-clip tests templates with other CLIPs; name the CLIPs as targets.")
    drawn = draw_for(source, config)
    return drawn, [TestSet(name, drawn.test, drawn.class_names, source, clip=name) for name in clips]


PROTOCOLS: dict[str, Protocol] = {
    "base-to-new": base_to_new,
    "cross-dataset": cross_dataset,
    "domain-generalization": domain_generalization,
    "few-shot": few_shot,
}
"""Those that test on data sets."""
CROSS_CLIP = "cross-clip"
NAMES = (*PROTOCOLS, CROSS_CLIP)


def laid_out(
    protocol: str, data: str, targets: Sequence[str], config: RunConfig
) -> tuple[DataSet, Draw, list[TestSet]]:
    """Load the data sets of a cell; return the source, the pictures drawn and the test sets. No picture is opened.

    Raises:
        InputError: see `Protocol`; or a data set that is not there, or a CLIP that cannot be.
    """
    source = load_data(
        data, seed=SPLIT_SEED, task=config.task, background=config.background, class_names=config.class_names
    )
    if protocol == CROSS_CLIP:
        for name in targets:
            check_name(name)
        return source, *cross_clip(source, targets, config)
    others = [load_data(spec, seed=SPLIT_SEED, background=config.background) for spec in targets]
    return source, *PROTOCOLS[protocol](source, others, config)


def _no_targets(targets: Sequence[DataSet], protocol: str) -> None:
    if targets:
        raise InputError(f"{protocol} tests on the data set that it learns from; leave the targets out.")
