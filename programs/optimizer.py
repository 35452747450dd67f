"""IPO: the loop that lets a language model write templates and a frozen CLIP score them."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import dspy
from dspy.teleprompt import Teleprompter

from ipo.metrics.errors import InputError
from ipo.metrics.reward import Reward, Score, Units
from ipo.metrics.statistics import Interval, accuracy_interval, mean_interval
from ipo.metrics.template import ANCHOR
from ipo.programs.classifier import TemplateClassifier, to_picture
from ipo.programs.history import PromptHistory, ScoredTemplate
from ipo.programs.lm.ledger import BudgetReached
from ipo.programs.proposer import Rejection
from ipo.programs.record.journal import Journal
from ipo.programs.record.score_keeper import ScoreKeeper
from ipo.programs.selection import FINALISTS, Choice, choose, cross_validate

logger = logging.getLogger(__name__)

MAX_EMPTY_STEPS = 5
"""A run ends with an error after this many steps in a row without one usable template."""


class NothingUsable(RuntimeError):
    """The language model gave no usable template for many steps in a row."""


@dataclass(frozen=True)
class Step:
    """What happened in one step, for callbacks, logs and plots.

    Attributes:
        number: from 0; -1 for the initial template.
        scored: the new templates and their scores on the search pictures.
        rejected: templates that were not scored, and why.
        best: the best template so far.
        interval: 95 % interval of the best accuracy; it knows nothing of how many templates were tried.
    """

    number: int
    scored: tuple[ScoredTemplate, ...]
    rejected: tuple[Rejection, ...]
    best: ScoredTemplate
    interval: Interval


OnStep = Callable[[Step], None]


class IPO(Teleprompter):
    """Optimises the template of a `TemplateClassifier` (Du, Sun and Snoek, NeurIPS 2024).

    Args:
        reward: scores templates with the frozen CLIP: a `ClipReward`, or any other `Reward`.
        proposer: a `TemplateProposer`; asks the optimizer LLM.
        describer: an `ImageDescriber` or `Interrogator`; None describes nothing, as the paper does at 16 shots.
        task: one sentence on what the pictures are, shown to the language models.
        steps: how often the language model is asked.
        candidates_per_step: templates per step.
        history_size: scored templates that the language model sees.
        history_scores: `own`, or `shuffled`: the scores change hands before each step. A control, not a way to search.
        initial_template: where the search starts.
        pin_initial: whether the initial template is always shown.
        floor: accuracy in [0, 1] under which templates are not shown.
        selection: `held-back` chooses on `valset` (cross-validation on the trainset without one), `search` takes the
            best search score, as the paper does.
        patience: stop after this many steps without a better template; None never stops early.
        seed: of everything random.
        log_dir: where the journal is kept; a killed `compile` with the same arguments goes on from it.
        journal: an open journal instead of `log_dir`.
        on_step: called after each step.

    Example:
        >>> from ipo.experiments.data import draw, load_data
        >>> from ipo.metrics.clip import load_clip
        >>> from ipo.metrics.reward import ClipReward
        >>> from ipo.programs.proposer import TemplateProposer
        >>> clip = load_clip("embedded")
        >>> data = draw(load_data("embedded", seed=0), shots=1, selection_shots=1, seed=0)
        >>> student = TemplateClassifier(clip, data.class_names)
        >>> proposer = TemplateProposer(dspy.LM("openai/gpt-4o-mini", temperature=1.0))
        >>> ipo = IPO(reward=ClipReward(clip, data.class_names), proposer=proposer, task="pictures of things", steps=1)
        >>> best = ipo.compile(student, trainset=data.examples("search"), valset=data.examples("selection"))
        >>> best.template in [candidate["program"].template for candidate in best.candidate_programs]
        True
        >>> best.trial_logs[0]["scored"][0]["n"] == len(data.search)
        True
        >>> student.template
        'a photo of a <CLASS>.'
    """

    def __init__(
        self,
        *,
        reward: Reward,
        proposer: dspy.Module,
        describer: dspy.Module | None = None,
        task: str = "pictures to be classified",
        steps: int = 100,
        candidates_per_step: int = 5,
        history_size: int = 20,
        history_scores: str = "own",
        initial_template: str = ANCHOR,
        pin_initial: bool = True,
        floor: float = 0.0,
        selection: str = "held-back",
        patience: int | None = 12,
        seed: int = 0,
        log_dir: str | Path | None = None,
        journal: Journal | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        super().__init__()
        if selection not in ("held-back", "search"):
            raise InputError(f"selection is {selection!r}; it can be 'held-back' or 'search'.")
        if history_scores not in ("own", "shuffled"):
            raise InputError(f"history_scores is {history_scores!r}; it can be 'own' or 'shuffled'.")
        self.reward = reward
        self.proposer = proposer
        self.describer = describer
        self.task = task
        self.steps = steps
        self.candidates_per_step = candidates_per_step
        self.history_size = history_size
        self.history_scores = history_scores
        self.initial_template = initial_template
        self.pin_initial = pin_initial
        self.floor = floor
        self.selection = selection
        self.patience = patience
        self.seed = seed
        self.log_dir = log_dir
        self.journal = journal
        self.on_step = on_step

    @staticmethod
    def preset(name: str) -> dict[str, Any]:
        """Return the published settings, as keyword arguments for `IPO`.

        `paper` is what the article states. `code` is what its public code does, except that scores come from the clean
        transform over all pictures: the code's random crops and dropped batches are not rebuilt.

        Raises:
            InputError: there is no such preset.
        """
        published: dict[str, dict[str, Any]] = {
            "paper": {
                "steps": 100,
                "candidates_per_step": 5,
                "history_size": 20,
                "selection": "search",
                "patience": None,
            },
            "code": {
                "steps": 100,
                "candidates_per_step": 8,
                "history_size": 30,
                "pin_initial": False,
                "floor": 0.20,
                "selection": "search",
                "patience": None,
            },
        }
        if name not in published:
            raise InputError(f"there is no preset {name!r}; there are: {', '.join(published)}.")
        return published[name]

    def compile(
        self,
        student: TemplateClassifier,
        *,
        trainset: Sequence[dspy.Example],
        teacher: Any = None,
        valset: Sequence[dspy.Example] | None = None,
        **kwargs: Any,
    ) -> TemplateClassifier:
        """Search a template on `trainset`, choose on `valset`.

        Args:
            student: the program; it is copied, never changed.
            trainset: examples as the reward takes them; for `ClipReward` with `image` and `label` (a class name), and
                `group` where pictures are variants.
            teacher: not used; part of DSPy's contract.
            valset: held-back examples of the same form.
            **kwargs: not used; part of DSPy's contract.

        Returns:
            A copy of the student with the chosen template, `candidate_programs` (best search score first),
            `trial_logs` (step → what happened), `choice`, and `stopped` (why a budget ended it, or None).

        Raises:
            InputError: bad examples or initial template.
            NothingUsable: too many empty steps in a row.
            dspy.LMError: the language model cannot be reached; the journal has all that went before.
        """
        owned = Journal(Path(self.log_dir)) if self.journal is None and self.log_dir is not None else None
        try:
            return self._compile(student, trainset, valset, self.journal or owned)
        finally:
            if owned:
                owned.close()

    def _compile(
        self,
        student: TemplateClassifier,
        trainset: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None,
        journal: Journal | None,
    ) -> TemplateClassifier:
        reason = self.reward.problem(self.initial_template)
        if reason:
            raise InputError(f"the template {self.initial_template!r} cannot be used: {reason}.")
        search = self._units(trainset)
        held_back = self._units(valset) if valset else None
        record = ScoreKeeper(journal, self.reward)

        initial = record.score(-1, [self.initial_template], search)[0]
        history = PromptHistory(_scored(initial, -1, "initial"), pin_initial=self.pin_initial, floor=self.floor)
        scores = {initial.template: initial}
        log = [Step(-1, (history.initial,), (), history.best, _interval(initial, search))]
        self._tell(log[-1])
        stopped: str | None = None
        try:
            descriptions = self._describe(trainset, search, record)
            self._search(history, scores, log, record, search, descriptions)
        except BudgetReached as reached:
            stopped = str(reached)
            logger.warning("stopped: %s", stopped)
        choice = self._choose(history, scores, search, held_back, record)
        return self._finish(student, history, choice, log, stopped)

    def _search(
        self,
        history: PromptHistory,
        scores: dict[str, Score],
        log: list[Step],
        record: ScoreKeeper,
        search: Units,
        descriptions: Sequence[str],
    ) -> None:
        empty = since_better = 0
        for number in range(self.steps):
            # 1. All candidates of a step see the same history, so they do not see each other's scores.
            step_seed = _step_seed(self.seed, number)
            shown = history.shuffled(random.Random(step_seed)) if self.history_scores == "shuffled" else history
            answer = self.proposer(
                task=self.task,
                descriptions=descriptions,
                history=[entry.line() for entry in shown.view(self.history_size)],
                count=self.candidates_per_step,
                refuse=lambda template: "it is already known" if template in history else self.reward.problem(template),
                class_names=self.reward.class_names,
                seed=step_seed,
            )
            # 2. Score what is valid and new; on disk before it is used.
            before = history.best
            new = record.score(number, answer.templates, search, answer.rejected)
            scored = tuple(_scored(score, number, "language model") for score in new)
            # 3. Remember.
            for entry, score in zip(scored, new, strict=True):
                history.add(entry)
                scores[entry.template] = score
            best = scores[history.best.template]
            log.append(Step(number, scored, tuple(answer.rejected), history.best, _interval(best, search)))
            self._tell(log[-1])
            # 4. Stop when the model has nothing to say, or nothing better.
            empty = 0 if scored else empty + 1
            since_better = 0 if history.best is not before else since_better + 1
            if not scored:
                logger.warning("step %d gave no usable template (%s)", number + 1, _reasons(answer.rejected))
            if empty >= MAX_EMPTY_STEPS:
                raise NothingUsable(
                    f"the language model gave no usable template in {empty} steps in a row "
                    f"({_reasons(answer.rejected)}); try another model with --lm."
                )
            if self.patience is not None and since_better >= self.patience:
                logger.info("stopped early: nothing better in %d steps", since_better)
                return

    def _describe(self, trainset: Sequence[dspy.Example], search: Units, record: ScoreKeeper) -> list[str]:
        if self.describer is None:
            return []
        # Pictures that could not be described are not tried again when the run goes on: another description would be
        # another question to the optimizer, and all that was answered would be asked again.
        earlier = record.find("descriptions")
        given_up = [list(pair) for pair in earlier["failed"]] if earlier else []
        described = self.describer(
            pictures=[to_picture(example.image) for example in trainset],
            labels=None if search.labels is None else search.labels.tolist(),
            class_names=list(self.reward.class_names),
            task=self.task,
            **({"given_up": [name for name, _ in given_up]} if given_up else {}),
        )
        failed = [*given_up, *(list(pair) for pair in described.get("failed", ()))]
        for name, reason in failed:
            logger.warning("the picture %s was not described: %s", name, reason)
        record.note("descriptions", descriptions=list(described.descriptions), failed=failed)
        return list(described.descriptions)

    def _choose(
        self,
        history: PromptHistory,
        scores: dict[str, Score],
        search: Units,
        held_back: Units | None,
        record: ScoreKeeper,
    ) -> Choice:
        initial = history.initial.template
        if self.selection == "search":
            best = history.best
            return Choice(
                best.template,
                best.template == initial,
                best.accuracy - history.initial.accuracy,
                float("nan"),
                "search pictures",
            )
        candidates = [entry.template for entry in history.ranked() if entry.template != initial]
        if held_back is None:
            return cross_validate(scores[initial], [scores[template] for template in candidates], search.groups)
        first, *rest = record.score(self.steps, [initial, *candidates[:FINALISTS]], held_back, kind="selection")
        return choose(first, rest, held_back.groups)

    def _finish(
        self, student: TemplateClassifier, history: PromptHistory, choice: Choice, log: list[Step], stopped: str | None
    ) -> TemplateClassifier:
        program: Any = student.deepcopy()
        program.set_templates(choice.template)
        program.candidate_programs = [
            {"score": 100 * entry.accuracy, "program": _with_template(student, entry.template), "loss": entry.loss}
            for entry in history.ranked()
        ]
        program.trial_logs = {step.number: asdict(step) for step in log}
        program.steps = log
        program.choice = choice
        program.stopped = stopped
        program._compiled = True
        return cast("TemplateClassifier", program)

    def _units(self, examples: Sequence[dspy.Example]) -> Units:
        if not examples:
            raise InputError("there are no examples to search on.")
        return self.reward.examples([e.copy(image=to_picture(e.image)) if "image" in e else e for e in examples])

    def _tell(self, step: Step) -> None:
        logger.info(
            "step %d: %d new, best %.2f %% %r",
            step.number + 1,
            len(step.scored),
            100 * step.best.accuracy,
            step.best.template,
        )
        if self.on_step:
            self.on_step(step)


def _interval(score: Score, search: Units) -> Interval:
    """Cluster by base picture where pictures are variants of one another, else by class: those go right together."""
    groups: Sequence[Hashable] | None = search.groups
    labels = None if search.labels is None else search.labels.tolist()
    # A unit of the score need not be a picture: the queries of a gallery have no class.
    if labels is not None and len(labels) == score.n and (groups is None or len(set(groups)) == len(groups)):
        groups = labels
    return accuracy_interval(score.hits, groups) if score.hits.dtype == bool else mean_interval(score.hits, groups)


def _scored(score: Score, step: int, source: str) -> ScoredTemplate:
    return ScoredTemplate(score.template, score.accuracy, score.loss, score.n, step, source)


def _with_template(student: TemplateClassifier, template: str) -> TemplateClassifier:
    program = cast("TemplateClassifier", student.deepcopy())
    program.set_templates(template)
    return program


def _step_seed(seed: int, step: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}|{step}".encode()).digest()[:4], "big") >> 1


def _reasons(rejected: Sequence[Rejection]) -> str:
    reasons = list(dict.fromkeys(rejection.reason for rejection in rejected))
    return "; ".join(reasons[:3]) or "it answered nothing"
