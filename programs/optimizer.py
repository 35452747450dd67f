"""IPO as a DSPy optimizer (teleprompter) of a `TemplateClassifier`. The search itself is in `search.py`."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import dspy
from dspy.teleprompt import Teleprompter
from pydantic import ValidationError

from ipo_prompts.metrics.class_names import written
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError, input_error
from ipo_prompts.metrics.nearest import did_you_mean
from ipo_prompts.metrics.own_class import own_name
from ipo_prompts.metrics.printable import printable
from ipo_prompts.metrics.reward import ClipReward, Reward
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.describers.interrogator import Interrogator
from ipo_prompts.programs.describers.recorded import describe
from ipo_prompts.programs.describers.shortening import fitted
from ipo_prompts.programs.ensemble import check_ensemble, settle
from ipo_prompts.programs.examples import check_apart, digest, with_pictures
from ipo_prompts.programs.lm.connect import is_local
from ipo_prompts.programs.lm.window import Room, room_in, window_of
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.record.redaction import redacted
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.search import SearchResult, Step, search
from ipo_prompts.programs.settings import SearchSettings, preset
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Models, Strategy, asks_lm, forecast_of, needs_lm
from ipo_prompts.programs.strategies.given import GivenTemplates

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ipo_prompts.programs.settings import SearchKeywords

# Below DSPy's own logger, so that the progress of `compile` is shown as that of its optimizers, and silenced with it.
progress = logging.getLogger("dspy.teleprompt.ipo")

Program = TypeVar("Program", bound=dspy.Module)
"""A `TemplateClassifier`, or a larger program with one inside."""

DESCRIBERS = ("clip", "clip-greedy", "none")
"""Describers with a name: they need no language model."""
NO_METRIC = (
    "a metric judges one answer, a reward scores a template on all pictures at once; leave it out for accuracy, or "
    "write your own as docs/your-own-reward.md shows."
)


class IPO(Teleprompter):
    """Optimises the template of a `TemplateClassifier` (Du, Sun and Snoek, NeurIPS 2024).

    What is left out is what `ipo optimize` uses.

    Args:
        reward: scores templates with the frozen CLIP: a `ClipReward`, or any other `Reward`; None is the accuracy
            of the student's CLIP on its classes.
        lm: the optimizer LLM; when None, the one of the `dspy.context` in which `compile` is called.
        strategy: how new templates are found: a name of `strategies.STRATEGIES`, a dictionary with its `name` and its
            settings, a list of templates to try, or a `Strategy` of your own.
        describer: an `ImageDescriber`, an `Interrogator` or a callable of your own (docs/dspy.md); `"clip"` and
            `"clip-greedy"` are the `Interrogator` with the student's CLIP, where the examples have pictures; None (or
            `"none"`) describes nothing, as the paper does at 16 shots.
        lm_context: the tokens that `lm` takes, prompt and reply together, where litellm does not know them:
            descriptions are shortened to fit. Where they are not known, nothing is.
        task: one sentence on what the pictures are, shown to the language models.
        log_dir: where the journal is kept; a killed `compile` with the same arguments resumes from it,
            and one with others is refused.
        journal: an open journal instead of `log_dir`.
        on_step: called after each step.
        settings: of the search; single ones may be given as keywords, such as `steps=50`. Without `initial_template`
            the search starts from the student's template.

    Raises:
        InputError: no such strategy or setting, a value of the wrong kind, or a `metric`, which a reward stands for.

    Example:
        >>> from ipo_prompts.experiments.data import draw, load_data
        >>> from ipo_prompts.metrics.clip import load_clip
        >>> clip = load_clip("embedded")
        >>> data = draw(load_data("embedded", seed=0), shots=1, selection_shots=1, seed=0)
        >>> student = TemplateClassifier(clip, data.class_names)
        >>> lm = dspy.LM("openai/gpt-4o-mini", temperature=1.0)
        >>> ipo = IPO(lm=lm, task="pictures of things", steps=1)
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
        reward: Reward | None = None,
        lm: dspy.LM | None = None,
        strategy: Strategy | dict[str, Any] | Sequence[str] | str = STRATEGIES.default,
        describer: dspy.Module | Literal["clip", "clip-greedy", "none"] | None = "clip",
        lm_context: int | None = None,
        task: str = "pictures to be classified",
        log_dir: str | Path | None = None,
        journal: Journal | None = None,
        on_step: Callable[[Step], None] | None = None,
        settings: SearchSettings | None = None,
        **keywords: Unpack[SearchKeywords],
    ) -> None:
        super().__init__()
        changes: dict[str, Any] = {**keywords}
        if "metric" in changes:
            raise InputError(f"IPO takes reward= and no metric=: {NO_METRIC}")
        if reward is not None:
            _check_members("reward", reward, ("class_names", "problem", "examples", "score"), "your-own-reward")
        if not isinstance(lm, (dspy.BaseLM, type(None))):
            raise InputError(
                f"lm= takes a dspy.LM, not {_kind(lm)}; write lm=dspy.LM('openai/gpt-4o-mini', temperature=1.0), or "
                "leave it out for the one of the context, if there is one."
            )
        if not (describer is None or describer in DESCRIBERS or (callable(describer) and not _is_class(describer))):
            raise InputError(
                f"describer= takes {', '.join(map(repr, DESCRIBERS))}, an ImageDescriber or an Interrogator, not "
                f"{_kind(describer)}."
            )
        self.reward = reward
        self.lm = lm
        self.strategy = _strategy(strategy)
        self.settings = _settings(settings, changes)
        self.describer = describer
        if lm_context is not None and (type(lm_context) is not int or lm_context < 1):
            raise InputError(f"lm_context is a number of tokens, such as 8192, and not {lm_context!r}.")
        self.lm_context = lm_context
        self.task = task
        self.log_dir = log_dir
        self.journal = journal
        self.on_step = on_step

    preset = staticmethod(preset)

    def compile(
        self,
        student: Program,
        *,
        trainset: Sequence[dspy.Example],
        teacher: Any = None,
        valset: Sequence[dspy.Example] | None = None,
        **kwargs: Any,
    ) -> Program:
        """Search for templates on `trainset`, choose the winner on `valset`.

        Args:
            student: a `TemplateClassifier`, or a program that holds one; it is copied, never changed. The search starts
                from its template, unless an `initial_template` was given.
            trainset: examples as the reward takes them; for `ClipReward` with `image` and `label` (a class name), and
                `group` where pictures are variants.
            teacher: not used; part of DSPy's contract.
            valset: held-back examples of the same form; none of them stands in `trainset`.
            **kwargs: not used; part of DSPy's contract.

        Returns:
            A copy of the student with the chosen template (several where an `ensemble` is worth it),
            `candidate_programs` (best search score first), `trial_logs` (step → what happened), and `search`, the
            `SearchResult`.

        Raises:
            InputError: the student neither is nor holds one `TemplateClassifier`, or that has several templates and no
                `initial_template` was given; bad examples, or examples in both sets; a bad initial template; a reward
                or strategy that gives something else than it should; a `log_dir` that holds another search; questions
                that do not fit into what the language model takes.
            NothingUsable: none of the first five steps gave a usable template; a shorter search keeps the initial one.
            dspy.LMError: the language model cannot be reached; everything before that is in the journal.
        """
        program, (_, student) = student, classifier_in(student)
        reward = self.reward or ClipReward(student.clip, student.class_names)
        settings = self._settings_for(student)
        strategy = self._strategy_with(self.lm or dspy.settings.lm)
        if not asks_lm(strategy):
            forecast_of(strategy, Expected(settings, self.task))  # refuses settings that it cannot work with
        room = self._room(strategy, settings)
        owned = _log(Path(self.log_dir)) if self.journal is None and self.log_dir is not None else None
        try:
            record = ScoreKeeper(self.journal or owned, reward)
            size, chooses = settings.ensemble, bool(valset) and settings.selection == "held-back"
            check_ensemble(size, reward, None if chooses else "a valset")
            searched, others = with_pictures(trainset), with_pictures(valset or ())
            if not searched:
                raise InputError("there are no examples to search on.")
            check_apart(searched, others, student.clip)
            if owned:
                sets = {"trainset": digest(searched, student.clip), "valset": digest(others, student.clip)}
                _check_same_search(owned, {**self._described(student, reward, settings), **sets})
            units = reward.examples(searched)
            held_back = reward.examples(others) if others else None
            describer = self._describer(student.clip, trainset)
            progress.info("Searching on %d examples; %d more choose the winner.", len(trainset), len(valset or ()))

            def describe_pictures() -> list[str]:
                pictures = [example.image for example in searched]
                found = describe(describer, pictures, units.labels, reward.class_names, self.task, record)
                progress.info("How the pictures look: %s", printable(" | ".join(found)))
                return fitted(found, room, record, progress.info)

            def on_step(step: Step) -> None:
                progress.info("%s", printable(_told(step, settings.steps)))
                if self.on_step:
                    self.on_step(step)

            result = search(
                settings,
                reward,
                strategy,
                units,
                held_back,
                record=record,
                task=self.task,
                describe=describe_pictures if describer else None,
                on_step=on_step,
            )
            if size > 1 and held_back is not None:
                result, _ = settle(size, result, reward, units, held_back, record)
        finally:
            if owned:
                owned.close()
        progress.info("The search ended: %s. Chosen: %s", result.ended, printable(" + ".join(result.choice.templates)))
        return _compiled(program, result)

    def _room(self, strategy: Strategy, settings: SearchSettings) -> Room | None:
        """Return what questions leave for descriptions; None where nothing bounds them."""
        lm = getattr(strategy, "lm", None) or self.lm or dspy.settings.lm
        if lm is None or not asks_lm(strategy):
            return None
        limits = (lm.kwargs.get(name) for name in ("max_tokens", "max_completion_tokens"))
        expected = Expected(settings, self.task)
        if reply := next((limit for limit in limits if isinstance(limit, int)), None):
            expected = replace(expected, reply_tokens=reply)
        return room_in(window_of(lm.model, self.lm_context), strategy, expected)

    def _describer(self, clip: Clip, trainset: Sequence[dspy.Example]) -> Any:
        """Return what describes the search pictures; None where nothing does, or there are none."""
        if self.describer == "none":
            return None
        if self.describer not in DESCRIBERS:
            return self.describer
        greedy = self.describer == "clip-greedy"
        return Interrogator(clip, greedy=greedy) if all("image" in example for example in trainset) else None

    def _described(self, student: TemplateClassifier, reward: Reward, settings: SearchSettings) -> dict[str, Any]:
        """Return what makes a search another one, beside its examples, as plain JSON."""
        lm = self.lm or dspy.settings.lm
        return {
            **settings.model_dump(mode="json"),
            "strategy": self.strategy if isinstance(self.strategy, dict) else _kind(self.strategy),
            "reward": _kind(reward),
            "classes": written(reward.class_names),
            "clip": student.clip.fingerprint,
            "lm": lm and lm.model,
            "lm_context": self.lm_context,
            "describer": self.describer if self.describer in (None, *DESCRIBERS) else _kind(self.describer),
            "task": self.task,
        }

    def _settings_for(self, student: TemplateClassifier) -> SearchSettings:
        """Start from the student's template, unless another was given."""
        if "initial_template" in self.settings.model_fields_set:
            return self.settings
        if len(student.templates) > 1:
            raise InputError(
                f"the student has {len(student.templates)} templates and a search starts from one; name it, as in "
                "IPO(initial_template=student.template)."
            )
        return self.settings.model_copy(update={"initial_template": student.template})

    def _strategy_with(self, lm: Any) -> Strategy:
        """Return the strategy; one that is chosen by name is made anew for this language model."""
        if not isinstance(self.strategy, dict):
            return self.strategy
        models = Models(self.lm, small=lm is not None and is_local(lm.model), given=lm is not None)
        strategy: Strategy = STRATEGIES.build(self.strategy, models)
        if needs_lm(strategy) and lm is None:
            raise InputError(
                f"the strategy {self.strategy['name']!r} asks a language model and there is none; give IPO(lm=…), "
                f"compile in dspy.context(lm=…), or leave strategy= out."
            )
        return strategy


def _log(folder: Path) -> Journal:
    """Open a journal; what it says to those at the command line is said to those in Python."""
    try:
        return Journal(folder)
    except InputError as error:
        said = re.sub("`ipo optimize --resume .*?`", "the same compile", str(error))
        raise InputError(said.replace("the run directory", "log_dir").replace("--out", "log_dir")) from error


def _check_same_search(journal: Journal, about: dict[str, Any]) -> None:
    """Refuse the journal of another search; one that was just begun is told which it belongs to."""
    about = redacted(about)
    before = journal.find("compile")
    if before is None:
        journal.append("compile", **about)
        return
    other = next((key for key, value in about.items() if before.get(key) != value), None)
    if other:
        raise InputError(
            f"{journal.path.parent} holds another search, with another {other}; choose another log_dir, or compile "
            "with what it was begun with."
        )


def classifier_in(program: Any) -> tuple[str, TemplateClassifier]:
    """Return the classifier that a program is or holds, with its name among the program's predictors.

    Raises:
        InputError: there is none, or there are several.
    """
    if isinstance(program, TemplateClassifier):
        return "self", program
    parts = program.named_predictors() if isinstance(program, dspy.Module) else []
    found = [(name, part) for name, part in parts if isinstance(part, TemplateClassifier)]
    if len(found) == 1:
        return found[0]
    if found:
        name = found[0][0]
        raise InputError(
            f"IPO optimises one template at a time, and {_kind(program)} has the classifiers "
            f"{' and '.join(name for name, _ in found)}; compile each by itself, as in "
            f"program.{name} = ipo.compile(program.{name}, trainset=…)."
        )
    how = "give TemplateClassifier(clip, class_names), or a program that holds one"
    raise InputError(f"IPO optimises the template of a TemplateClassifier, not {_kind(program)}; {how}.")


def _kind(thing: Any) -> str:
    if isinstance(thing, str):
        return f"the text {thing!r}"
    return f"the class {thing.__name__}" if _is_class(thing) else type(thing).__name__


def _is_class(thing: Any) -> bool:
    return isinstance(thing, type)


def _check_members(what: str, thing: Any, members: Sequence[str], page: str) -> None:
    """Refuse something that lacks a member, or is the class and no object of it."""
    if _is_class(thing):
        raise InputError(f"{what}= takes an object, not {_kind(thing)}; make one of it.")
    missing = [name for name in members if not hasattr(thing, name)]
    if missing and what == "reward" and callable(thing):
        raise InputError(f"reward= takes a reward, and a function is none: {NO_METRIC}")
    if missing:
        raise InputError(f"the {what} has no {', '.join(missing)}, and is {_kind(thing)}; see docs/{page}.md.")


def _strategy(given: Any) -> Strategy | dict[str, Any]:
    """Check a strategy, or the choice of one: that is not made before the language model is known."""
    if isinstance(given, (dict, str)):
        if name := own_name(given):
            raise InputError(f"strategy= of IPO takes a strategy, not its name {name!r}; import it and make one.")
        return STRATEGIES.complete(given)
    if isinstance(given, (list, tuple)):
        return GivenTemplates(given)
    _check_members("strategy", given, ("ask",), "strategies")
    return cast("Strategy", given)


def _told(step: Step, steps: int) -> str:
    """Say what happened in one step."""
    best = f"{100 * step.best.value:.2f} % {step.best.template}"
    if step.number < 0:
        return f"Initial template: {best}"
    new = f"{len(step.scored)} new, {len(step.rejected)} refused"
    return f"Step {step.number + 1}/{steps}: {new}; best so far: {best}"


def _compiled(student: Program, result: SearchResult) -> Program:
    plain: Any = student.deepcopy()
    parts: tuple[Any, ...] = (plain, classifier_in(plain)[1])
    for part in parts:
        for name in ("candidate_programs", "trial_logs", "search"):  # of an earlier compile: each copy would hold them
            vars(part).pop(name, None)
    program: Any = _with_templates(plain, result.choice.templates)
    program.candidate_programs = [
        {"score": 100 * entry.value, "program": _with_templates(plain, [entry.template]), "loss": entry.loss}
        for entry in result.history.ranked()
    ]
    program.trial_logs = {step.number: step.record() for step in result.steps}
    program.search = result
    program._compiled = True
    return cast("Program", program)


def _with_templates(student: Program, templates: Sequence[str]) -> Program:
    program = cast("Program", student.deepcopy())
    classifier_in(program)[1].set_templates([(template, 1.0) for template in templates])
    return program


def _settings(given: SearchSettings | None, changes: dict[str, Any]) -> SearchSettings:
    unknown = next((name for name in changes if name not in SearchSettings.model_fields), None)
    if unknown is not None:
        own = [name for name in inspect.signature(IPO).parameters if name != "keywords"]
        known = [*own, *SearchSettings.model_fields]
        raise InputError(
            f"IPO has no setting {unknown!r}{did_you_mean(unknown, known)}; there are: {', '.join(known)}."
        )
    try:
        return SearchSettings(**{**(given.model_dump(exclude_unset=True) if given else {}), **changes})
    except ValidationError as error:
        raise input_error(error, "the settings of IPO") from error
