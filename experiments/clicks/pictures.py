"""Load the two programs to compare, and find the pictures to ask about.

The pictures are the sealed test of a run, or pictures that the user names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ipo_prompts.experiments.clicks.drawing import Named, TwoPrograms, name_pictures
from ipo_prompts.experiments.data import Item, load_data
from ipo_prompts.experiments.data.assemble import group_of
from ipo_prompts.experiments.data.check import faults
from ipo_prompts.experiments.data.dataset import UNLABELLED
from ipo_prompts.experiments.data.load import TABLES
from ipo_prompts.experiments.data.sources import SOURCES
from ipo_prompts.experiments.data.sources.folder import find_pictures
from ipo_prompts.experiments.run.advice import commands_to_test
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.openings import DIGITS
from ipo_prompts.experiments.run.plan import SPLIT_SEED, data_of, draw_for
from ipo_prompts.experiments.run.prepared import digest_of, drawn_before, drawn_in
from ipo_prompts.experiments.run.reading import config_of
from ipo_prompts.experiments.run.result import RESULT, load_result
from ipo_prompts.metrics.device import AUTO
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.offsets import PriorOffsets, Refitted, class_weights
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier


def programs_of_run(run: Path, data: str | None, device: str = AUTO) -> TwoPrograms:
    """Return the question about a run: is the chosen template better than the initial template?

    Args:
        run: the run directory.
        data: the pictures to ask about; None for the sealed test of the run.
        device: the device of the CLIP.

    Raises:
        InputError: the folder has no finished run of a classification, the pictures have changed since the run, or the
            run was begun elsewhere and needs `--trust`.
    """
    if not (run / RESULT).is_file():
        raise InputError(
            f"{run} is no finished run, and a single program has no rival; name a run directory, or two "
            "programs and their pictures: ipo label ONE TWO --data SPEC."
        )
    result, config = load_result(run), config_of(run, using=("clip", "data"))
    if result.reward.unit != "pictures":
        raise InputError(
            f"the run in {run} was made for {result.reward.unit}, but `ipo label` asks what single pictures show; name "
            "a run of a classification."
        )
    if result.untested and result.template == result.initial_template:
        raise InputError(
            f"the run in {run} kept the initial template, so there is nothing to compare; compare it with its rival: "
            f"{commands_to_test(result, run, config.data)[0]}."
        )
    chosen = None if data is None else pictures_of(data)  # before the slow loading of the CLIP, because it may fail
    found = TemplateClassifier.from_file(run, device=device)
    found.pictures = None  # the question is about words alone, not about a blended head
    initial = TemplateClassifier(found.clip, found.class_names, result.initial_template)
    initial.background = found.background
    store, pictures = FeatureStore(found.clip), data_of(config)
    drawn = draw_for(pictures, config)
    try:
        pictures, drawn = drawn_before(pictures, drawn, run)
    except InputError:  # a search picture is gone
        if data is None or isinstance(found.offsets, PriorOffsets):
            raise
    used = (*drawn.search, *drawn.selection)
    initial.offsets = found.offsets  # both have the same offsets, so that the gain is due to the words alone
    if isinstance(found.offsets, PriorOffsets):
        initial.offsets = _prior(initial, used, store)
    names = ("the initial template", "the found template")
    if chosen is None:
        if result.sealed.digest != digest_of(store, drawn, drawn.test, drawn.new_test):
            raise InputError(
                f"the pictures of {config.data} or their class names (such as those of classes.yaml) are not those "
                f"that {run} was tested on; restore them, or name others with --data SPEC."
            )
        told = (
            f"{result.data.name} that were not searched on"
            if result.untested
            else f"the sealed test of {result.data.name}"
        )
        return TwoPrograms((initial, found), drawn.test, told, names)
    given, name = chosen
    known = drawn_in(run)
    seen = {*known.search, *known.selection} if known else {content[:DIGITS] for content in _contents(store, used)}
    kept = [item for item, content in zip(given, _contents(store, given), strict=True) if content[:DIGITS] not in seen]
    if not kept:
        raise InputError(
            f"all pictures of {data} are search or selection pictures of {run}, so they can show nothing; name others."
        )
    return TwoPrograms((initial, found), kept, name, names, len(given) - len(kept))


def two_programs(first: Path, second: Path, data: str | None, device: str = AUTO) -> TwoPrograms:
    """Return the question about two programs with the same classes: is the second program better than the first?

    Args:
        first: the run directory or file of the first program.
        second: the run directory or file of the second program.
        data: the pictures to ask about.
        device: the device of the CLIPs.

    Raises:
        InputError: `data` is None, there are no pictures, or a program cannot be loaded.
    """
    if data is None:
        raise InputError("two programs need pictures that neither was searched on; name them with --data SPEC.")
    items, name = pictures_of(data)
    one = TemplateClassifier.from_file(first, device=device)
    other = TemplateClassifier.from_file(second, device=device)
    return TwoPrograms((one, other), items, name, (str(first), str(second)))


def pictures_of(data: str) -> tuple[Sequence[Item], str]:
    """Return the pictures to ask about, and the name of the folder or data set that they are from.

    Args:
        data: a folder or a data set. All pictures of a folder are used. Of a data set only the test pictures are used;
            all pictures are used if it is a table without labels.

    Raises:
        InputError: there are no pictures.
    """
    if os.path.isdir(data):  # noqa: PTH112 - pathlib raises where a name is too long
        found = [Picture.from_path(file) for file in find_pictures(Path(data))]
        if not found:
            raise InputError(f"there are no pictures in {data}; name another folder with --data.")
        return [Item(picture, UNLABELLED, picture.name) for picture in found], Path(data).name
    kind, _, rest = data.partition(":")
    table = SOURCES[kind].gather(rest, labelled=False) if kind in TABLES else None
    if table and not table.passed_over:
        return [Item(row.picture, UNLABELLED, group_of(row)) for row in table.rows], table.name
    drawn = load_data(data, seed=SPLIT_SEED)
    if not drawn.test:
        raise InputError(f"{drawn.name} has no test pictures; name a folder of pictures with --data.")
    return drawn.test, drawn.name


def named_by_both(question: TwoPrograms) -> tuple[TwoPrograms, Named]:
    """Let both programs name the pictures. A picture that cannot be read is left out, and named on stderr.

    Returns:
        The question without the pictures that cannot be read, and the named pictures.

    Raises:
        InputError: no picture can be read, or the programs have different classes.
    """
    progress = Ui(0, quiet=False).pictures("unlabelled")
    try:
        return question, name_pictures(question, progress)
    except InputError:
        found = faults([item.picture for item in question.items])
        kept = [item for item, fault in zip(question.items, found, strict=True) if fault is None]
        if not kept or len(kept) == len(question.items):
            raise
    for fault in filter(None, found):
        print(f"left out: {printable(fault)}", file=sys.stderr)
    question = question._replace(items=kept)
    return question, name_pictures(question, progress)


def _contents(store: FeatureStore, items: Sequence[Item]) -> list[str]:
    """Return the digest of the bytes of each picture. It does not depend on the background of the picture."""
    return [one.partition("|")[0] for one in store.contents([item.picture for item in items])]


def _prior(program: TemplateClassifier, items: Sequence[Item], store: FeatureStore) -> PriorOffsets:
    """Return prior offsets for a program, fitted in the way in which a run fits them to its own template."""
    features = store.encode([item.picture for item in items])
    labels = np.array([item.label for item in items], dtype=np.int64)
    return Refitted(features, class_weights(labels)).settled(program.clip, program.class_embeddings())
