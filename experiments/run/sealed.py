"""The sealed test of a run: its pictures are encoded before the search, and it is opened once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.data import Item, fresh
from ipo_prompts.experiments.data.check import faults
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.experiments.run.prepared import SEALED, SHOWN, Prepared, naming_unreadable
from ipo_prompts.experiments.run.scores import AnyPart, PartName, Row
from ipo_prompts.experiments.run.steps import (
    Compared,
    Scored,
    Step,
    in_all,
    rows_of,
    score_before,
    steps_of,
    word_steps,
)
from ipo_prompts.experiments.run.tested_before import count, name_of
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.running import Searched
from ipo_prompts.programs.scoring import units_of


def encode_sealed(prepared: Prepared, ui: Ui) -> None:
    """Encode the sealed pictures before a language model is asked or paid, so that unreadable pictures are found early.

    Nothing is scored and no label is read; only features are stored. If a reward does not store features of whole
    pictures, its pictures are only decoded.

    Raises:
        InputError: a picture cannot be read; the message names all such pictures of the run.
    """
    planned, drawn, store = prepared.plan, prepared.plan.drawn, prepared.store
    sealed = {"test": drawn.test, "new": drawn.new_test}
    with naming_unreadable(planned):
        for name, items in sealed.items():
            pictures = [item.picture for item in items]
            if pictures and getattr(prepared.reward, "keeps_pictures", False):
                store.encode(pictures, ui.pictures(name))
            elif fault := next(filter(None, faults(pictures)), None):
                raise InputError(fault)


@dataclass(frozen=True)
class SealedTest:
    """The opened test of a run.

    Attributes:
        parts: each part of the pictures, with the scores before the first step and after the last step.
        rows: the rows of the result.
        copies: how many test pictures are also search or selection pictures, compared by their bytes.
        tested_before: how many tests had at least half of the sealed pictures before.
    """

    parts: dict[AnyPart, Compared]
    rows: tuple[Row, ...]
    copies: int
    tested_before: int


def open_test(
    prepared: Prepared, searched: Searched, program: TemplateClassifier, journal: Journal, ui: Ui
) -> SealedTest:
    """Score all parts before and after each step; only here are the sealed pictures opened.

    If fresh pictures cannot be used, a line says so and they are left out: the result does not need them.

    Args:
        prepared: the prepared run.
        searched: the finished search of the run.
        program: the finished program.
        journal: the journal of the run.
        ui: shows the progress.
    """
    planned, drawn = prepared.plan, prepared.plan.drawn
    task, reward, template = planned.task, prepared.reward, searched.result.choice.template
    steps = steps_of(prepared, searched, program)
    scored: dict[PartName, Scored] = {}
    parts: dict[AnyPart, Compared] = {}

    def score(name: PartName, reward: Reward, encoded: Encoded, steps: Sequence[Step], start: int = 0) -> Scored:
        before = score_before(prepared, reward, encoded.units, start)
        scored[name] = Scored.of(before, steps, encoded.units, encoded.sampling(before.n))
        parts[name] = Compared.of(encoded, reward, scored[name])
        return scored[name]

    def encode(name: PartName, reward: Reward, items: Sequence[Item]) -> Encoded:
        return task.encode(reward, items, seed=SPLIT_SEED, progress=ui.pictures(name))

    from_words = [step for step in steps if step.what != "pictures"]  # the pictures are those of these parts
    score("search", reward, prepared.search, from_words)
    if prepared.selection:
        score("selection", reward, prepared.selection, from_words)
    test = score("test", reward, encode("test", reward, drawn.test), steps)
    _record(journal, "test", template, test)
    if drawn.new_test:
        new_reward, start = task.reward(prepared.clip, drawn.new_class_names, prepared.store), len(drawn.class_names)
        new_steps = word_steps(prepared, template, new_reward, start)
        encoded = encode("new", new_reward, drawn.new_test)
        _record(journal, "new", template, score("new", new_reward, encoded, new_steps, start))
    times = count(name_of([template, _hits(test)]), prepared.contents(*SEALED))
    balanced = prepared.config.verdict == "balanced"
    rows = rows_of(scored, task.measure, tested_before=times, balanced=balanced)
    for measure, other in task.other_measures(prepared.clip, reward.class_names, prepared.store).items():
        encoded = encode("test", other, drawn.test)
        before = score_before(prepared, other, encoded.units)
        part = Scored.of(before, word_steps(prepared, template, other), encoded.units, encoded.sampling(before.n))
        rows += (in_all("test", measure, part),)
    if left := fresh(planned.data, drawn, prepared.config.seed):
        unused = f"fresh (left over; each word is tested on these {task.unit})"
        try:
            encoded = task.encode(reward, left, seed=prepared.config.seed, progress=ui.pictures(unused))
        except InputError as error:
            ui.say(f"what each word does is not tested on fresh {task.unit}: {error}")
        else:
            now = searched.reward.score([template], encoded.units)[0]
            parts["fresh"] = Compared.of(encoded, searched.reward, Scored([], [now], encoded.sampling(now.n)))
    return SealedTest(parts, rows, copies_of(prepared), times)


def copies_of(prepared: Prepared) -> int:
    """Return how many sealed pictures are also search or selection pictures, compared by their bytes."""
    seen = {*prepared.contents(*SHOWN)}
    return sum(content in seen for content in prepared.contents(*SEALED))


def _record(journal: Journal, name: PartName, template: str, part: Scored) -> None:
    """Record the opening of a part, once."""
    hits = _hits(part)
    if not journal.find(name, template=template, hits=hits):
        journal.append(name, template=template, hits=hits)


def _hits(part: Scored) -> dict[str, Any]:
    """Return the hits before the first step and after each step that changed something."""
    hits = {"first": units_of(part.scores[0])}
    for step, score in zip(part.steps, part.scores[1:], strict=True):
        if step.score:
            hits[step.what] = units_of(score)
    return hits
