"""The held-out test of a run: its images are encoded before the search, and it is opened once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.experiments.data import Item, fresh
from ipo_prompts.experiments.data.check import faults
from ipo_prompts.experiments.data.draw import imbalanced
from ipo_prompts.experiments.data.names import changed_names
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED, InGrid, TestSet
from ipo_prompts.experiments.run.prepared import HELD_OUT, SHOWN, Prepared, image_ids, loaded, naming_unreadable
from ipo_prompts.experiments.run.result import (
    TEST_PARTS,
    AnswerRow,
    AnyPart,
    Control,
    PartName,
    Tested,
    Value,
    What,
)
from ipo_prompts.experiments.run.tested_before import count, name_of, told
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.blend import Linear
from ipo_prompts.metrics.classification import ClipReward, EncodedImages, scores_accuracy
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import Absent, InputError
from ipo_prompts.metrics.evidence import (
    SAME,
    Effect,
    class_mean_interval,
    difference_over_classes,
    paired_difference,
    score_interval,
)
from ipo_prompts.metrics.features import FeatureStore, contents
from ipo_prompts.metrics.reward import Reward, Score, Units, class_embeddings
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.template import imagenet_templates
from ipo_prompts.metrics.verdict import Verdict, judge, no_test
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.running import Searched
from ipo_prompts.programs.scoring import units_of


def encode_test(prepared: Prepared, ui: Ui) -> None:
    """Encode the test images before a language model is asked or paid, so that unreadable images are found early.

    Nothing is scored and no label is read; only features are stored. If a reward does not store features of whole
    images, its images are only decoded.

    Raises:
        InputError: an image cannot be read; the message names all such images of the run.
    """
    planned, drawn, store = prepared.plan, prepared.plan.drawn, prepared.store
    held_out = {"test": drawn.test, "new": drawn.new_test}
    with naming_unreadable(planned):
        for name, items in held_out.items():
            images = [item.image for item in items]
            if images and getattr(prepared.reward, "keeps_images", False):
                store.encode(images, ui.images(name))
            elif fault := next(filter(None, faults(images)), None):
                raise InputError(fault)


@dataclass(frozen=True)
class FinalTest:
    """The opened test of a run.

    Attributes:
        parts: each part of the images, with the scores before the first step and after the last step.
        rows: the rows of the result.
        controls: see `controls_of`.
        copies: how many test images are also train or validation images, compared by their bytes.
        tests, gaps: see `RunResult`.
        tested_before: how many tests had at least half of the test images before.
    """

    parts: dict[AnyPart, Scored]
    rows: tuple[AnswerRow, ...]
    controls: dict[str, Control]
    copies: int
    tests: dict[str, Tested]
    gaps: dict[str, str]
    tested_before: int


def open_test(
    prepared: Prepared,
    searched: Searched,
    program: TemplateClassifier,
    alone: Linear | None,
    journal: Journal,
    ui: Ui,
) -> FinalTest:
    """Score all parts before and after each step; only here are the test images opened.

    If fresh images cannot be used, a line says so and they are left out: the result does not need them.

    Args:
        prepared: the prepared run.
        searched: the finished search of the run.
        program: the finished program.
        alone: the classifier of the labelled images without words, if there is one.
        journal: the journal of the run.
        ui: shows the progress.
    """
    planned, drawn = prepared.plan, prepared.plan.drawn
    task, reward, template = planned.task, prepared.reward, searched.result.choice.template
    steps = steps_of(prepared, searched, program)
    scored: dict[PartName, Scored] = {}

    def score(name: PartName, reward: Reward, encoded: Encoded, steps: Sequence[AnswerStep], start: int = 0) -> Scored:
        before = score_before(prepared, reward, encoded.units, start)
        scored[name] = Scored.of(reward, encoded, before, steps)
        return scored[name]

    def encode(name: PartName, reward: Reward, items: Sequence[Item]) -> Encoded:
        return task.encode(reward, items, seed=SPLIT_SEED, progress=ui.images(name))

    from_words = [step for step in steps if step.what != "images"]  # the images are those of these parts
    score("train", reward, prepared.train, from_words)
    if prepared.val:
        score("val", reward, prepared.val, from_words)
    times = 0
    others: Mapping[str, Reward] = {}
    controls: dict[str, Control] = {}
    tests: dict[str, Tested] = {}
    gaps: dict[str, str] = {}
    if prepared.config.test:
        ui.passing(f"opening the test {task.unit}")
        encoded = encode("test", reward, drawn.test)
        test = score("test", reward, encoded, steps)
        _record(journal, "test", template, test)
        tests["test"] = tested_of(_hits(test), drawn.test, test, planned.data.split)
        controls = controls_of(prepared, searched.reward, alone, encoded.units, test.sampling)
        if drawn.new_test:
            new_reward = task.reward(prepared.clip, drawn.new_class_names, prepared.store)
            start = len(drawn.class_names)
            new_steps = word_steps(prepared, template, new_reward, start)
            encoded = encode("new", new_reward, drawn.new_test)
            new = score("new", new_reward, encoded, new_steps, start)
            _record(journal, "new", template, new)
            tests["new"] = tested_of(_hits(new), drawn.new_test, new, planned.data.split)
        if planned.in_grid is None:
            times = count(name_of([template, _hits(test)]), prepared.contents(*HELD_OUT))
        else:
            more, gaps = _tested_in_grid(prepared, searched.reward, template, planned.in_grid)
            tests |= more
        others = task.other_measures(prepared.clip, reward.class_names, prepared.store)
    balanced = prepared.config.verdict == "balanced"
    rows = rows_of(scored, task.measure, tested_before=times, balanced=balanced)
    for measure, other in others.items():
        encoded = encode("test", other, drawn.test)
        before = score_before(prepared, other, encoded.units)
        part = Scored.of(other, encoded, before, word_steps(prepared, template, other))
        rows += (in_all("test", measure, part),)
    parts: dict[Any, Scored] = {**scored}
    left = fresh(planned.data, drawn, prepared.config.seed) if planned.in_grid is None else []
    if left:
        unused = f"fresh (left over; each word is tested on these {task.unit})"
        try:
            encoded = task.encode(reward, left, seed=prepared.config.seed, progress=ui.images(unused))
        except InputError as error:
            ui.say(f"what each word does is not tested on fresh {task.unit}: {error}")
        else:
            now = searched.reward.score([template], encoded.units)[0]
            parts["fresh"] = Scored.of(searched.reward, encoded, now)
    return FinalTest(parts, rows, controls, copies_of(prepared), tests, gaps, times)


def tested_of(hits: Mapping[str, Any], items: Sequence[Item], part: Scored, split: str) -> Tested:
    """Return the record of a test set; for `hits` and `split` see `Tested`, `items` are its images."""
    drawn = part.sampling
    return Tested(
        classes=len(part.reward.class_names),
        split=split,
        images=image_ids(items),
        labels=None if drawn.classes is None else tuple(drawn.classes.tolist()),
        draws=None if drawn.draws is None else tuple(drawn.draws.tolist()),
        hits=dict(hits),
    )


def test_in_grid(
    prepared: Prepared,
    folder: Path,
    tests: Sequence[TestSet],
    answer: Callable[[Clip], Callable[[Reward, Encoded], Score]],
) -> tuple[dict[str, Tested], dict[str, str]]:
    """Open test sets of a grid, score the answer on each with the CLIP of the test set, and count the test of the grid.

    Args:
        prepared: the prepared run.
        folder: the folder of the grid.
        tests: the test sets.
        answer: returns the answer for a CLIP: a function from the reward for the classes of a test set, and its units,
            to the score. Either may raise `Absent`, or an `InputError` if another CLIP cannot read the answer.

    Returns:
        Test set → its record; and test set → why the answer has no score on it.
    """
    found: dict[str, Tested] = {}
    gaps: dict[str, str] = {}
    opened: list[Item] = []
    task, config = prepared.plan.task, prepared.config
    for test in tests:
        clip = loaded(test.clip, config.device, config.precision) if test.clip else prepared.clip
        store = FeatureStore(clip) if test.clip else prepared.store
        try:
            score = answer(clip)  # before images are encoded in vain
            reward = task.reward(clip, test.class_names, store)
            encoded = task.encode(reward, test.items, seed=SPLIT_SEED)
            one = score(reward, encoded)
        except (Absent, InputError) as error:
            if isinstance(error, InputError) and clip.fingerprint == prepared.clip.fingerprint:
                raise
            gaps[test.name] = str(error).rstrip(".")  # a text can be too long for another CLIP's context
            continue
        part = Scored.of(reward, encoded, one)
        found[test.name] = tested_of({"answer": units_of(one)}, test.items, part, test.split)
        opened += test.items
    held_out = [*prepared.contents(*HELD_OUT), *contents([item.image for item in opened])]
    if held_out:  # all cells of a grid are one test
        count(name_of(str(folder.resolve())), held_out)
    return found, gaps


def _tested_in_grid(
    prepared: Prepared, used: Reward, template: str, in_grid: InGrid
) -> tuple[dict[str, Tested], dict[str, str]]:
    """Test the chosen template on the other test sets of a grid; `used` is the reward with the names in use."""

    def score(reward: Reward, encoded: Encoded) -> Score:
        if problem := reward.problem(template):
            raise InputError(problem)
        return reward.score([template], encoded.units)[0]

    names = tuple(used.class_names)
    tests = [replace(test, class_names=names) if test.clip else test for test in in_grid.others]
    return test_in_grid(prepared, in_grid.folder, tests, lambda clip: score)


def controls_of(
    prepared: Prepared, reward: Any, alone: Linear | None, units: Any, sampling: Sampling
) -> dict[str, Control]:
    """Return the scores of labelled images without words, and of CLIP's 80 templates with the names in use.

    They choose nothing. A control that does not apply is left out: see `alone` and `Plan.with_80_templates`.

    Args:
        prepared: the prepared run.
        reward: the reward, with the class names in use.
        alone: see `open_test`.
        units: the test units.
        sampling: how they were drawn.
    """
    scores = {}
    if alone:
        scores["images alone"] = reward.score_logits("images alone", alone.logits, units)
    eighty = imagenet_templates()
    if prepared.plan.with_80_templates and not any(map(reward.problem, eighty)):
        rows = class_embeddings(prepared.clip, eighty, reward.class_names)
        (scores["CLIP's 80 templates"],) = reward.score_embeddings([""], [rows], units)
    balanced = prepared.config.verdict == "balanced"
    return {name: Control(n=one.n, **dict(_value(one, sampling, balanced))) for name, one in scores.items()}


def copies_of(prepared: Prepared) -> int:
    """Return how many test images are also train or validation images, compared by their bytes."""
    seen = {*prepared.contents(*SHOWN)}
    return sum(content in seen for content in prepared.contents(*HELD_OUT))


def _record(journal: Journal, name: PartName, template: str, part: Scored) -> None:
    """Record the opening of a part, once."""
    hits = _hits(part)
    if not journal.find(name, template=template, hits=hits):
        journal.append(name, template=template, hits=hits)


def _hits(part: Scored) -> dict[str, Any]:
    """Return the hits before the first step and after each step that changed something."""
    hits = {"first": units_of(part.initial)}
    for step, score in zip(part.steps, part.scores[1:], strict=True):
        if step.score:
            hits[step.what] = units_of(score)
    return hits


# The steps of the answer, in the order of choice: class normalised names, template, names by search, images.
#
# Each step adds to the step before it. All steps are chosen on train and validation images, before the test
# images are opened; then each part of the images is scored before the first step and after each step.


FLATTERED = "these units shaped the template or chose it"
FAMILY = "steps on test units in this run"
TOGETHER = "the steps are tested, and not their sum"
ONE_CLASS = "fewer than two classes have test images, and a template that always names one class would win"


@dataclass(frozen=True)
class AnswerStep:
    """One step of the answer.

    Attributes:
        what, how: see `AnswerRow`.
        score: returns the score of units after this step; None if the step changes nothing.
    """

    what: What
    how: str
    score: Callable[[Any], Score] | None


@dataclass(frozen=True)
class Scored:
    """One part of the images, scored before the first step and after each step.

    Attributes:
        reward: the reward with the classes that compete.
        encoded: the images of the part, and their units.
        steps: the steps.
        scores: the scores; one more than there are steps.
        sampling: how the units were drawn.
    """

    reward: Reward
    encoded: Encoded
    steps: Sequence[AnswerStep]
    scores: Sequence[Score]
    sampling: Sampling

    @classmethod
    def of(cls, reward: Reward, encoded: Encoded, initial: Score, steps: Sequence[AnswerStep] = ()) -> Scored:
        """Score the units after each step; `initial` is their score before the first step."""
        scores = [initial]
        for step in steps:
            scores.append(step.score(encoded.units) if step.score else scores[-1])
        return cls(reward, encoded, steps, scores, encoded.sampling(initial.n))

    @property
    def initial(self) -> Score:
        """The score before the first step."""
        return self.scores[0]

    @property
    def optimised(self) -> Score:
        """The score after the last step."""
        return self.scores[-1]

    @property
    def tested(self) -> tuple[int, int] | None:
        """How many classes have units here, and how many compete; None if units have no class."""
        if self.sampling.classes is None:
            return None
        return len(self.sampling.draws_of_classes), len(self.reward.class_names)


def steps_of(prepared: Prepared, searched: Searched, program: TemplateClassifier) -> list[AnswerStep]:
    """Return the steps for the classes of the search. New classes have only `word_steps`."""
    config, named = prepared.config, searched.named
    template = searched.result.choice.template
    steps = word_steps(prepared, template, prepared.reward)
    if named and named.renamed:
        steps.append(
            AnswerStep("other names", changed_names(named.given, named.class_names), _with(named.reward, template))
        )
    elif config.names == "search":
        steps.append(AnswerStep("other names", "none is better", None))
    if program.images:
        reward = searched.reward
        assert isinstance(reward, ClipReward)
        how = f"{_labelled(prepared.shown, program)} a class"
        steps.append(AnswerStep("images", how, lambda units: reward.score_logits("images", program.logits, units)))
    elif config.classifier != "text" and not scores_accuracy(prepared.reward):
        steps.append(AnswerStep("images", f"not with reward={config.reward['name']}", None))
    elif config.classifier == "text+images":
        steps.append(AnswerStep("images", "text alone are better", None))
    return steps


def word_steps(prepared: Prepared, template: str, reward: Reward, start: int = 0) -> list[AnswerStep]:
    """Return the steps that hold for searched and for new classes: normalised names, and the chosen template.

    Args:
        prepared: the prepared run.
        template: the chosen template.
        reward: the reward, with the class names as read.
        start: the label of the first of its classes in the data set.
    """
    initial, typed = prepared.config.initial_template, _typed(prepared, reward, start)
    steps = []
    if typed != reward.class_names:
        steps.append(
            AnswerStep("names", f"{changed_names(typed, reward.class_names)}, by rule", _with(reward, initial))
        )
    steps.append(AnswerStep("template", template, None if template == initial else _with(reward, template)))
    return steps


def score_before(prepared: Prepared, reward: Reward, units: Units, start: int = 0) -> Score:
    """Return the score before the first step: of the initial template with the class names as typed.

    For the arguments see `word_steps`; `units` are the units of one part.
    """
    typed = _typed(prepared, reward, start)
    before = reward.renamed(typed) if isinstance(reward, ClipReward) else reward
    return before.score([prepared.config.initial_template], units)[0]


def _typed(prepared: Prepared, reward: Reward, start: int) -> tuple[str, ...]:
    """Return the class names as given, before the rule; the names of the reward if it does not classify images."""
    names = tuple(reward.class_names)
    return prepared.plan.data.unread[start : start + len(names)] if isinstance(reward, ClipReward) else names


def _with(reward: Reward, template: str) -> Callable[[Any], Score]:
    return lambda units: reward.score([template], units)[0]


def _labelled(shown: Sequence[Any], program: TemplateClassifier) -> str:
    """Say how many labelled images a class has."""
    labels = np.concatenate([units.labels for units in shown if isinstance(units, EncodedImages)])
    counts = np.bincount(labels, minlength=len(program.class_names))
    if counts.max() == 1:
        return "1 labelled image"
    least = "" if counts.min() == counts.max() else f"{counts.min()} to "
    return f"{least}{counts.max()} labelled images"


def rows_of(
    parts: Mapping[PartName, Scored],
    measure: str,
    *,
    tested_before: int = 0,
    balanced: bool = False,
) -> tuple[AnswerRow, ...]:
    """Return the rows of all parts. The p-values of all steps on test parts are corrected together.

    Args:
        parts: name → the scored part.
        measure: the measure.
        tested_before: how often the test parts were tested before; only the first test gives p-values.
        balanced: whether each class counts the same in scores and differences, whatever its size.
    """
    effects: dict[tuple[PartName, What], Effect] = {}
    for name, part in parts.items():
        for step, (before, after) in zip(part.steps, pairwise(part.scores), strict=True):
            effects[name, step.what] = _effect(part, before, after, balanced) if step.score else SAME
    why_not = {name: _why_no_test(name, part, tested_before) for name, part in parts.items()}
    verdicts = {key: no_test(effect, why_not[key[0]]) for key, effect in effects.items()}
    verdicts |= judge({key: effect for key, effect in effects.items() if not why_not[key[0]]}, FAMILY)
    rows = []
    for name, part in parts.items():
        for step, (before, after) in zip(part.steps, pairwise(part.scores), strict=True):
            rows.append(_row(name, measure, part, step, before, after, verdicts[name, step.what], balanced))
        rows.append(in_all(name, measure, part, balanced))
        if not balanced:
            rows += _over_classes(name, part)
    return tuple(rows)


def _why_no_test(name: PartName, part: Scored, tested_before: int) -> str:
    """Return why the steps on a part are not tested; "" if they are."""
    if name not in TEST_PARTS:
        return FLATTERED
    if tested_before:
        return told(tested_before)
    return ONE_CLASS if part.tested and part.tested[0] < 2 else ""


def in_all(name: PartName, measure: str, part: Scored, balanced: bool = False) -> AnswerRow:
    """Return the row of all steps together; it is no test. For the arguments see `rows_of`."""
    kept = next((step.score for step in part.steps if step.score), None)
    first, last = part.initial, part.optimised
    difference = no_test(_effect(part, first, last, balanced) if kept else SAME, TOGETHER)
    return _row(name, measure, part, AnswerStep("in all", "", kept), first, last, difference, balanced)


def _row(
    name: PartName,
    measure: str,
    part: Scored,
    step: AnswerStep,
    before: Score,
    after: Score,
    difference: Verdict,
    balanced: bool,
) -> AnswerRow:
    return AnswerRow(
        part=name,
        measure=measure,
        what=step.what,
        how=step.how,
        kept=step.score is not None,
        before=_value(before, part.sampling, balanced),
        after=_value(after, part.sampling, balanced),
        n=before.n,
        classes=part.tested,
        difference=difference,
    )


def _effect(part: Scored, before: Score, after: Score, balanced: bool) -> Effect:
    if balanced and part.sampling.classes is not None:
        return difference_over_classes(before.hits, after.hits, part.sampling)
    return paired_difference(before.hits, after.hits, part.sampling)


def _value(score: Score, sampling: Sampling, balanced: bool) -> Value:
    if balanced and sampling.classes is not None:
        mean, ends = class_mean_interval(score.hits, sampling)
        return Value(value=mean, ci95=ends)
    return Value(value=score.value, ci95=score_interval(score.hits, sampling))


def _over_classes(name: PartName, part: Scored) -> list[AnswerRow]:
    """Return the row in which each class counts the same, for a test part of imbalanced classes.

    There is none if a unit is not just right or wrong: a reward may have weighted its units by class already.
    """
    plain = part.sampling.classes is not None and part.initial.hits.dtype == bool
    if name in TEST_PARTS and plain and imbalanced(part.sampling.draws_of_classes.tolist()):
        return [in_all(name, "mean over classes", part, balanced=True)]
    return []
