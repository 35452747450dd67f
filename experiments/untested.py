"""The end of a run without labels: what each template would change, side by side, and nothing called an accuracy.

Two things can be had without labels, and neither is tested by that: words that fit, and the mean picture taken off,
which needs no words. Both name all pictures, so that people see how much is at stake; which of them is right is what
`ipo label` asks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.clicks.commands import MEAN_OFF, PROGRAM
from ipo_prompts.experiments.publishing import LABELS, end, program_of, result_of, save, sealed_digest
from ipo_prompts.experiments.report.analysis import SEEN
from ipo_prompts.experiments.report.explain import look_at
from ipo_prompts.experiments.run.files import write_json, write_text
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.experiments.run.result import Glimpse, RunResult, Sealed, SuggestedName, Untested
from ipo_prompts.experiments.run.searching import SearchedRun
from ipo_prompts.experiments.tracking import Tracker
from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import fitted_on
from ipo_prompts.metrics.clock import due, optional
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.metrics.pictures import Picture, short_name, thumbnail
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.naming import about_names, suggestions
from ipo_prompts.programs.record.journal import Journal

BLOCK = 8192
"""Pictures whose logits are in memory at once."""


def publish(prepared: Prepared, searched: SearchedRun, journal: Journal, tracker: Tracker, ui: Ui) -> RunResult:
    """Name all pictures, and write what the run directory of a run without labels holds.

    Raises:
        InputError: a picture cannot be read.
    """
    folder, kept = journal.path.parent, searched.result.choice.kept_initial
    config, data, names = prepared.config, prepared.plan.data, prepared.reward.class_names
    program = program_of(prepared, searched)
    initial, rival = (TemplateClassifier(prepared.clip, names, config.initial_template) for _ in range(2))
    rival.offsets = fitted_on("mean", prepared.search.units).settled(prepared.clip, rival.class_embeddings())
    rival.background = program.background
    pictures = [item.picture for item in data.train]
    with due():  # what such a run is for
        features = prepared.store.encode(pictures, ui.pictures("all"))
        labels, moved = _named((initial, program, rival), features, 2 if kept else 1)
        write_text(folder / LABELS, _table([picture.name for picture in pictures], labels[1], names))
        write_json(folder / SEEN, look_at(pictures, names, labels, moved).model_dump(mode="json"))
    save(program, folder / PROGRAM)
    save(rival, folder / MEAN_OFF)
    trying = partial(_suggested, prepared.reward, searched.result.choice.template, pictures, features)
    untested = _found(prepared, searched, labels, optional("other names of the classes", trying) or ())
    result = result_of(
        prepared,
        searched,
        journal.seconds,
        verdict=not_tested(untested, kept=kept),
        scores={},
        other_measures={},
        over_classes={},
        sealed=Sealed(digest=sealed_digest(prepared), opened=0, elsewhere=0),
        untested=untested,
    )
    return end(prepared, result, journal, tracker, ui)


def _found(
    prepared: Prepared, searched: SearchedRun, labels: npt.NDArray[np.int64], names: tuple[SuggestedName, ...]
) -> Untested:
    """Say how far the words lead, and how many of all pictures each way to name them changes."""
    history, reward, choice = searched.result.history, prepared.reward, searched.result.choice
    best = next(entry for entry in history if entry.template == choice.template)
    top, needed = max(history, key=lambda entry: entry.value), getattr(reward, "scale", None)
    before, found, off = labels
    untested = Untested(
        pictures=labels.shape[1],
        searched=len(prepared.plan.drawn.search),
        lead=(top if choice.kept_initial else best).value - history.initial.value,
        needed=needed.lead if needed else 0.0,
        spread=reward.spread if isinstance(reward, Fit) else 0.0,
        changed=int((found != before).sum()),
        changed_by_mean=int((off != before).sum()),
        apart=int((found != off).sum()),
        words="",
        names=names,
        about_names=about_names([(one.given, one.found) for one in names], reward.class_names),
    )
    return untested.model_copy(update={"words": _words(untested, choice.kept_initial)})


MOST_LOOKED = 2000
"""Pictures, spread over all, that other names are tried on."""


def _suggested(
    reward: Reward, template: str, pictures: Sequence[Picture], features: Floats
) -> tuple[SuggestedName, ...]:
    """Return other names that the pictures fit better, with some pictures of each; nothing is renamed."""
    if not isinstance(reward, Fit):
        return ()
    chosen = spread(len(pictures), MOST_LOOKED)
    return tuple(
        SuggestedName(
            given=given,
            found=found,
            rise=one.rise,
            pictures=tuple(
                Glimpse(picture=short_name(shown.name), thumbnail=thumbnail(shown))
                for shown in (pictures[chosen[i]] for i in one.pictures)
            ),
        )
        for given, found, one in suggestions(reward, template, features[chosen])
    )


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


def _named(
    programs: Sequence[TemplateClassifier], features: Floats, other: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Name n pictures by three programs.

    Returns:
        The labels, int64 (3, n), and how much of the probability of each picture lies elsewhere with the `other`
        program than with the first, float32 (n,), 0 to 1.
    """
    labels = np.empty((len(programs), len(features)), dtype=np.int64)
    moved = np.empty(len(features), dtype=np.float32)
    for start in range(0, len(features), BLOCK):
        block = slice(start, start + BLOCK)
        logits = [program.logits(features[block]) for program in programs]
        labels[:, block] = [one.argmax(axis=1) for one in logits]
        moved[block] = np.abs(softmax(logits[0]) - softmax(logits[other])).sum(axis=1) / 2
    return labels, moved


def _table(names: list[str], labels: npt.NDArray[np.int64], class_names: Sequence[str]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["picture", "label"])
    rows.writerows([name, str(class_names[label])] for name, label in zip(names, labels.tolist(), strict=True))
    return text.getvalue()
