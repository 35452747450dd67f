"""IPO as a DSPy optimizer (teleprompter) of a `TemplateClassifier`. The search itself is in `search.py`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import dspy
from dspy.teleprompt import Teleprompter

from ipo_prompts.metrics.classification import ClipReward, EncodedImages, measure_of
from ipo_prompts.metrics.errors import InputError, one_line, printable
from ipo_prompts.metrics.reward import Reward, scale_of
from ipo_prompts.metrics.template import written
from ipo_prompts.programs.bench import Step
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.compiling import (
    Program,
    as_settings,
    as_strategy,
    check_apart,
    check_arguments,
    classifier_in,
    code_of,
    compiled,
    examples_digest,
    kind,
    with_images,
)
from ipo_prompts.programs.describe import describe
from ipo_prompts.programs.journal import Journal, begin
from ipo_prompts.programs.lm.connect import Backend, asking, find_backend, models_in
from ipo_prompts.programs.running import allowed_classifier, blend_in, check_naming, ledger_of, run
from ipo_prompts.programs.search_settings import LIMITS, SearchSettings, preset
from ipo_prompts.programs.selection import why_not_best
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, GivenTemplates, Strategy, asks_lm, forecast_of, needs_lm

# A child of DSPy's logger: the progress of `compile` is shown and silenced with that of DSPy's own optimizers.
progress = logging.getLogger("dspy.teleprompt.ipo")


class IPO(Teleprompter):
    """Optimises the template of a `TemplateClassifier` (Du, Sun and Snoek, NeurIPS 2024).

    Arguments that you leave out take the defaults of `ipo optimize`.

    Args:
        reward: scores templates with the frozen CLIP: a `ClipReward`, or any other `Reward`. None means the accuracy
            of the student's CLIP on its classes.
        lm: the optimizer LLM, or its name as `ipo optimize --lm` takes it. None means the language model of the
            `dspy.context` in which `compile` is called. Its answers are on disk before they are used.
        strategy: how new templates are found: a name of `strategies.STRATEGIES`, a dictionary with its `name` and its
            settings, a list of templates to try, or a class of your own (ipo docs strategies). Each search makes a new
            object of the class, without arguments.
        describer: an `ImageDescriber` or a callable of your own (ipo docs dspy). None describes nothing: the language
            model is shown the phrases that score best.
        task: one sentence on what the images are, shown to the language models.
        log_dir: the folder of journal and replies. A `compile` that was killed, or stopped by a limit, resumes from
            them if it is given the same arguments (and a larger limit). Other arguments are refused.
        on_step: a function that is called with the `Step` after each step.
        settings: the settings of the search, or of a run. A limit ends the search with the best template so far.
            Without `initial_template` the search starts from the student's template.
        **keywords: single settings by name, such as `steps=50` or `budget_usd=1.5`. All settings:
            `ipo docs command-line`.

    Raises:
        InputError: there is no such strategy or setting; or a value has the wrong kind; or a `metric` was given;
            give a reward instead.

    Example:
        >>> from ipo_prompts import draw, load_clip, load_data
        >>> clip = load_clip("embedded")
        >>> data = draw(load_data("embedded", seed=0), shots=1, val_shots=1, seed=0)
        >>> student = TemplateClassifier(clip, data.class_names)
        >>> lm = dspy.LM("openai/gpt-4o-mini", temperature=1.0)
        >>> ipo = IPO(lm=lm, task="pictures of things", steps=1)
        >>> best = ipo.compile(student, trainset=data.examples("train"), valset=data.examples("val"))
        >>> best.template in [candidate["program"].template for candidate in best.candidate_programs]
        True
        >>> best.trial_logs[0]["scored"][0]["n"] == len(data.train)
        True
        >>> student.template
        'a photo of a <CLASS>.'
    """

    def __init__(
        self,
        *,
        reward: Reward | None = None,
        lm: dspy.BaseLM | str | None = None,
        strategy: Callable[[], Strategy] | dict[str, Any] | Sequence[str] | str = STRATEGIES.default,
        describer: Callable[..., Any] | None = None,
        task: str = "pictures to be classified",
        log_dir: str | Path | None = None,
        on_step: Callable[[Step], None] | None = None,
        settings: SearchSettings | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__()
        check_arguments(reward, lm, describer)
        self.reward, self.lm, self.describer = reward, lm, describer
        self.strategy = as_strategy(strategy)
        self.settings = as_settings(IPO, settings, keywords)
        self.task, self.log_dir, self.on_step = task, log_dir, on_step

    preset = staticmethod(preset)

    def __repr__(self) -> str:
        strategy = self.strategy["name"] if isinstance(self.strategy, dict) else kind(self.strategy)
        lm = getattr(self.lm, "model", self.lm)
        reward = "" if self.reward is None else f", reward={kind(self.reward)}"
        return one_line(f"IPO(strategy={strategy}, lm={lm}{reward}, steps={self.settings.steps})")

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
            trainset: examples as the reward takes them: for `ClipReward` with `image` and `label` (a class name), and
                `group` if images are variants.
            teacher: not used; part of DSPy's contract.
            valset: held-back examples of the same form; none of them stands in `trainset`.
            **kwargs: not used; part of DSPy's contract.

        Returns:
            A copy of the student with the chosen template and these attributes, which a classifier inside a larger
            program has, too: `candidate_programs` (best search score first), `trial_logs` (step → what happened),
            `search` (the `SearchResult`; its `stopped` names the limit that was reached), `usage` (what language models
            used), and `named` (the outcome of a search for names).
            After a search for names, prompts have the new class names, and answers have the student's class names.

        Raises:
            InputError: the student neither is nor holds one `TemplateClassifier`; or examples are bad, or stand in both
                sets; or the initial template cannot be used; or a reward or strategy returns something of the wrong
                kind; or the `log_dir` holds another search.
            NothingUsable: none of the first five steps gave a usable template. (A search of fewer steps keeps the
                initial template instead.)
            dspy.LMError: the language model cannot be reached; everything before that is in the journal.
        """
        program = student
        _, classifier = classifier_in(program)
        reward = self.reward or ClipReward(classifier.clip, classifier.class_names)
        settings = self._settings_for(classifier)
        model = self._backend()
        strategy = self._strategy(model)
        forecast_of(strategy, Expected(settings, self.task))  # refuses settings that the strategy cannot work with
        check_naming(settings, reward, classifier.class_names)
        deciding = allowed_classifier(settings, reward, classifier)
        searched, others = with_images(trainset), with_images(valset or ())
        if not searched:
            raise InputError("there are no examples to search on.")
        check_apart(searched, others)
        self._check_describer(model)
        units = reward.examples(searched)
        held_back = reward.examples(others) if others else None
        with nullcontext() if self.log_dir is None else closing(Journal(Path(self.log_dir))) as journal:
            if journal:
                identity = self._identity(classifier, reward, settings, strategy, model)
                sets = {"trainset": examples_digest(searched), "valset": examples_digest(others)}
                begin(journal, identity | sets)
            if model is None and self.lm is None and asks_lm(strategy):
                progress.warning("No language model is set, so none is asked: IPO(lm=…), or dspy.context(lm=…).")
            more = f"{len(others)} more choose the winner" if others else "they choose the winner, too"
            progress.info("Searching on %d examples; %s.", len(searched), more)
            ledger = ledger_of(settings, journal)
            lm = model.connect(ledger, "optimizer", 1.0, 1024) if model else None

            def described() -> list[str]:
                images = [example.image for example in searched if "image" in example]
                progress.info("describing the train images with %s", kind(self.describer))
                # The describer's own models first: the model that is connected first names the role in `usage`.
                describer = asking(self.describer, lambda own: Backend.of(own).connect(ledger, "describer", None, None))
                asked = model and model.connect(ledger, "describer", None, None)
                with dspy.context(lm=asked or dspy.settings.lm):
                    return describe(describer, images, units.labels, reward.class_names, self.task, journal)

            parts = [units] if held_back is None else [units, held_back]
            found = run(
                settings,
                reward,
                strategy,
                *parts,
                ledger=ledger,
                lm=lm,
                journal=journal,
                task=self.task,
                describe=described if self.describer else None,
                on_step=self._on_step(settings.steps, reward),
                say=progress.info,
            )
        choice = found.result.choice
        why = why_not_best(choice, found.result.history)
        progress.info(
            "The search ended: %s. Chosen: %s%s", found.result.ended, printable(choice.template), why and f" ({why})"
        )
        made = compiled(program, found, scale_of(reward))
        if deciding != "text":
            every = [*searched, *others]
            see = None
            if not any("features" in example for example in every):
                see = partial(cast("ClipReward", reward).store.views, [example.image for example in every])
            encoded = [cast("EncodedImages", part) for part in parts]
            blend_in(classifier_in(made)[1], encoded, see, gate=deciding == "auto")
        return made

    def _backend(self) -> Backend | None:
        """Return the language model for strategies and describers that hold none themselves; None if there is none."""
        lm = dspy.settings.lm if self.lm is None else self.lm
        if isinstance(lm, str):
            return None if lm == "none" else find_backend(lm, role="optimizer")
        return Backend.of(lm) if lm else None

    def _strategy(self, lm: Backend | None) -> Strategy:
        """Make the strategy for one search."""
        made: Strategy
        if isinstance(self.strategy, dict):
            made = STRATEGIES.build(self.strategy)
        elif isinstance(self.strategy, list):
            made = GivenTemplates(self.strategy)
        else:
            made = self.strategy()
        if needs_lm(made) and lm is None:
            name = self.strategy["name"] if isinstance(self.strategy, dict) else kind(made)
            raise InputError(
                f"the strategy {name!r} asks a language model and none is set; give IPO(lm=…), "
                f"compile in dspy.context(lm=…), or leave strategy= out."
            )
        return made

    def _check_describer(self, lm: Backend | None) -> None:
        """Refuse a describer that asks a language model if there is none."""
        own = self.describer
        predictors = own.predictors() if isinstance(own, dspy.Module) else []
        asks = any(not isinstance(one, TemplateClassifier) for one in predictors)
        if asks and lm is None and not models_in(own):
            raise InputError(
                f"the describer {kind(own)} asks a language model and none is set; give it one, or IPO(lm=…), or "
                "compile in dspy.context(lm=…)."
            )

    def _identity(
        self,
        student: TemplateClassifier,
        reward: Reward,
        settings: SearchSettings,
        strategy: Strategy,
        lm: Backend | None,
    ) -> dict[str, Any]:
        """Return all that identifies a search except its examples, as plain JSON."""
        named = self.strategy if isinstance(self.strategy, (dict, list)) else code_of(strategy)
        return {
            **settings.model_dump(mode="json", exclude={*LIMITS, "classifier"}),
            "strategy": named,
            "reward": code_of(reward),
            "classes": written(reward.class_names),
            "clip": student.clip.fingerprint,
            "lm": lm and lm.model,
            "describer": self.describer
            and " with ".join([code_of(self.describer), *(own.model for own in models_in(self.describer))]),
            "task": self.task,
        }

    def _settings_for(self, student: TemplateClassifier) -> SearchSettings:
        """Return the settings. The search starts from the student's template, unless another one was given."""
        if "initial_template" in self.settings.model_fields_set:
            return self.settings
        return self.settings.model_copy(update={"initial_template": student.template})

    def _on_step(self, steps: int, reward: Reward) -> Callable[[Step], None]:
        scale, measure = scale_of(reward), measure_of(reward)

        def told(step: Step) -> None:
            best = f"{scale.told(step.best.value)} {step.best.template}"
            new = f"{len(step.scored)} new, {len(step.rejected)} refused"
            said = f"Step {step.number + 1}/{steps}: {new}; best so far by {measure}: {best}"
            progress.info("%s", printable(f"Initial template, by {measure}: {best}" if step.number < 0 else said))
            if self.on_step:
                self.on_step(step)

        return told
