"""The end of a run without labels: what each template would change, side by side, and nothing called an accuracy.

Two things can be had without labels, and neither is tested by that: words that fit, and the mean picture taken off,
which needs no words. Both name all pictures, so that people see how much is at stake; which of them is right is what
`ipo label` asks.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.run.files import write_json, write_text
from ipo_prompts.experiments.run.result import Glimpse, RunResult, SuggestedName, Untested
from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.clock import optional
from ipo_prompts.metrics.errors import several
from ipo_prompts.metrics.pictures import Picture, short_name, thumbnail

if TYPE_CHECKING:  # a page that is written of a finished run loads no model
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.experiments.run.plan import Prepared
    from ipo_prompts.experiments.run.searching import SearchedRun
    from ipo_prompts.metrics.arrays import Floats
    from ipo_prompts.metrics.reward import Reward
    from ipo_prompts.programs.classifier import TemplateClassifier

LABELS = "labels.csv"
"""Every picture with the class that the chosen template names."""
PROGRAM, MEAN_OFF = "program.json", "mean-off.json"
"""The program of the run, and that of the initial template with the mean picture taken off."""
BLOCK = 8192
"""Pictures whose logits are in memory at once."""


def look(prepared: Prepared, searched: SearchedRun, program: TemplateClassifier, folder: Path, ui: Ui) -> Untested:
    """Name all pictures by the chosen template and its rivals, and write what they are called.

    Args:
        prepared, searched: of the run.
        program: the classifier with the chosen template.
        folder: the run directory, which gets `LABELS` and `MEAN_OFF`.
        ui: shows the progress.

    Raises:
        InputError: a picture cannot be read.
    """
    from dspy.utils.saving import get_dependency_versions

    from ipo_prompts.metrics.classification import fitted_on
    from ipo_prompts.metrics.fit import Fit
    from ipo_prompts.programs.classifier import TemplateClassifier

    config, data, reward = prepared.config, prepared.plan.data, prepared.reward
    pictures = [item.picture for item in data.train]
    features = prepared.store.encode(pictures, ui.pictures("all"))
    initial = TemplateClassifier(prepared.clip, reward.class_names, config.initial_template)
    rival = TemplateClassifier(prepared.clip, reward.class_names, config.initial_template)
    rival.offsets = fitted_on("mean", prepared.search.units).settled(prepared.clip, rival.class_embeddings())
    rival.background = program.background
    found, before, off = (_named(one, features) for one in (program, initial, rival))
    write_text(folder / LABELS, _table([picture.name for picture in pictures], found, reward.class_names))
    metadata = {"dependency_versions": get_dependency_versions()}
    write_json(folder / MEAN_OFF, rival.dump_state() | {"metadata": metadata})
    history, needed = searched.result.history, getattr(reward, "scale", None)
    best = next(entry for entry in history if entry.template == searched.result.choice.template)
    top = max(history, key=lambda entry: entry.value)
    kept = searched.result.choice.kept_initial
    trying = partial(_suggested, reward, best.template, pictures, features)
    names = optional("other names of the classes", trying) or ()
    untested = Untested(
        pictures=len(pictures),
        searched=len(prepared.plan.drawn.search),
        lead=(top if kept else best).value - history.initial.value,
        needed=needed.lead if needed else 0.0,
        spread=reward.spread if isinstance(reward, Fit) else 0.0,
        changed=int((found != before).sum()),
        changed_by_mean=int((off != before).sum()),
        apart=int((found != off).sum()),
        words="",
        names=names,
        about_names=about_names([(one.given, one.found) for one in names], reward.class_names),
    )
    return untested.model_copy(update={"words": _words(untested, kept)})


MOST_LOOKED = 2000
"""Pictures, spread over all, that other names are tried on."""


def _suggested(
    reward: Reward, template: str, pictures: Sequence[Picture], features: Floats
) -> tuple[SuggestedName, ...]:
    """Return other names that the pictures fit better, with some pictures of each; nothing is renamed."""
    from ipo_prompts.metrics.fit import Fit
    from ipo_prompts.programs.naming import suggestions

    if not isinstance(reward, Fit):
        return ()
    chosen = spread(len(pictures), MOST_LOOKED)
    return tuple(
        SuggestedName(
            given=one.given,
            found=one.found,
            rise=one.rise,
            pictures=tuple(
                Glimpse(picture=short_name(shown.name), thumbnail=thumbnail(shown))
                for shown in (pictures[chosen[i]] for i in one.pictures)
            ),
        )
        for one in suggestions(reward, template, features[chosen])
    )


def about_names(found: Sequence[tuple[str, str]], class_names: Sequence[str]) -> str:
    """Say which other names the pictures fit better, and for which classes none is known; empty where neither is so.

    Args:
        found: names as given, each with the other one.
        class_names: all of them.
    """
    from ipo_prompts.metrics.class_names import names_of
    from ipo_prompts.programs.candidates import has_words

    told = []
    if found:
        listed = several([f"{given} → {other}" for given, other in found])
        told.append(f"Names that the pictures fit better, which is not tested, and nothing is renamed: {listed}.")
    if unknown := [repr(str(name)) for name in class_names if not any(map(has_words, names_of(name)))]:
        told.append(f"No English word is known in {several(unknown)}; write one that CLIP has met into class_names.")
    return " ".join(told)


def not_tested(found: Untested, *, kept: bool) -> str:
    """Return the verdict of a run without labels."""
    lead = f"{found.lead:.2f} nats, its words paid for"
    if kept:
        best = f"the best other one leads by {lead}" if found.lead > 0 else "no other one leads, its words paid for"
        return (
            f"Not tested: no labels. The initial template stays, for a lead in fit means little: {best}, and "
            f"{found.needed:.2f} are needed."
        )
    return (
        f"Not tested: no labels. The template fits {found.searched:,} of the pictures better than the initial one, by "
        f"{lead} ({found.needed:.2f} needed); that says how they look, and not that it names more of them "
        "rightly."
    )


def commands_to_test(result: RunResult, folder: Path, data: str) -> list[str]:
    """Return the commands that test a run without labels: what it found, and its rival, by clicks."""
    pictures = data.removeprefix("folder:")
    programs = [str(folder / name) for name in (PROGRAM, MEAN_OFF)]
    rival = shlex.join(["ipo", "label", *programs, "--data", pictures, "--out", f"{folder}-rival"])
    kept = result.template == result.initial_template
    return [rival] if kept else [shlex.join(["ipo", "label", str(folder)]), rival]


def _words(found: Untested, kept: bool) -> str:
    """Say how many pictures are named otherwise."""

    def of_all(count: int) -> str:
        return f"{count:,} of {found.pictures:,} pictures ({100 * count / found.pictures:.0f} %)"

    by_mean = f"the mean picture taken off, which needs no words, renames {of_all(found.changed_by_mean)}"
    if kept:
        return f"Beside the initial template: {by_mean}."
    return (
        f"The template renames {of_all(found.changed)}; its rival, {by_mean}; the two differ on {of_all(found.apart)}."
    )


def _named(program: TemplateClassifier, features: Floats) -> npt.NDArray[np.int64]:
    blocks = [program.logits(features[i : i + BLOCK]).argmax(axis=1) for i in range(0, len(features), BLOCK)]
    return np.concatenate(blocks)


def _table(names: list[str], labels: npt.NDArray[np.int64], class_names: Sequence[str]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["picture", "label"])
    rows.writerows([name, str(class_names[label])] for name, label in zip(names, labels.tolist(), strict=True))
    return text.getvalue()
