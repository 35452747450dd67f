"""A language model gives words, the reward puts them together: the default.

A composition that is only scored costs milliseconds where a proposal costs a request, and more candidates are worth
more than a history of scores. So the language model is asked without any history, its templates are taken apart
(`programs/wording.py`), and their parts are tried in new company together with the phrases of the describer's bank.
Each step looks at the best composition so far with every promising part added to it, and with each of its own taken
out: some phrases help only beside another ("lying on its side" beside "faded"), and filler helps beside none. Every
word has to earn its place: of two compositions the longer must score higher by `WORD` for each word that it has more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import NoSettings
from ipo_prompts.metrics.template import key, names_class
from ipo_prompts.programs.strategies.base import Desk, Expected, Forecast, Models, SearchState, Shown, Strategy
from ipo_prompts.programs.strategies.english import unknown_words
from ipo_prompts.programs.strategies.feedback import Feedback, FeedbackSettings
from ipo_prompts.programs.strategies.no_history import NoHistory
from ipo_prompts.programs.wording import Part, Wording

if TYPE_CHECKING:
    from ipo_prompts.metrics.reward import Score
    from ipo_prompts.programs.history import PromptHistory

WORD = 0.005
"""What a word must add to the value, a fraction. From 0 to 1 point a word the winners' test accuracy was the same, and
their length fell from 14 to 9 words (`docs/strategies.md`)."""
PARTS = 60
"""Parts that are tried beside a composition, those that score best alone."""
SENTENCES = 7_000
"""Sentences, one a class, that a step may encode: with many classes fewer compositions are looked at."""
FEWEST = 25
"""Compositions that a step looks at however many classes there are."""
BANK_STEPS = 4
"""The phrases of the bank may cost as much as so many steps; of a longer bank every second or third is taken."""


class ComposeSettings(BaseModel, extra="forbid", frozen=True):
    """Where the words come from, and how many compositions are tried."""

    words: int = Field(2, ge=0, le=100, description="templates a step that the language model is asked for their words")
    bank: bool = Field(True, description="also use the phrases of the describer's bank")
    feedback: bool = Field(False, description="the language model is told what its words were worth so far")
    looks: int = Field(100, ge=1, description="compositions that a step looks at; fewer with more than 70 classes")


class Compose:
    """Looks at compositions of phrases, and proposes the best.

    Args:
        settings: see `ComposeSettings`.
        writer: the strategy that is asked for templates; None takes all words from the bank.
    """

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = False
    Settings: ClassVar[type[BaseModel]] = ComposeSettings

    def __init__(self, settings: ComposeSettings | None = None, writer: Strategy | None = None) -> None:
        self.settings = settings or ComposeSettings()
        self._writer = writer if self.settings.words else None
        self._pools: WeakKeyDictionary[PromptHistory, _Pool] = WeakKeyDictionary()  # of the searches that go on

    @classmethod
    def build(cls, settings: ComposeSettings, models: Models) -> Strategy:
        """See `Strategy`; without a language model there is no writer.

        Raises:
            InputError: there is neither a language model nor a bank.
        """
        if not settings.bank and not (models.given and settings.words):
            raise InputError("strategy.bank=false needs a language model for its words; name one with --lm.")
        if not models.given:
            return cls(settings)
        if settings.feedback:
            return cls(settings, Feedback.build(FeedbackSettings(), models))
        return cls(settings, NoHistory.build(NoSettings(), models))

    def look(self, state: SearchState) -> Shown:
        """Show neither templates nor scores, unless feedback is wanted.

        A new search begins with what an earlier one left, if there was one.
        """
        if state.step == 0:
            pool = self._pools[state.history] = _Pool(state.history.initial.score, bank=self.settings.bank)
            for entry in state.history:
                if entry is not state.history.initial:
                    pool.take(entry.score)
        pool = self._pools[state.history]
        pool.proposed = {key(entry.template) for entry in state.history}
        if self._writer is not None and self.settings.feedback:
            shown = self._writer.look(state)
        else:
            shown = Shown(state.task, state.class_names, state.descriptions)
        return _Shown(**{field.name: getattr(shown, field.name) for field in fields(Shown)}, pool=pool)

    def ask(self, shown: Shown, desk: Desk) -> None:
        """Take in new words, look at compositions, and propose the best."""
        assert isinstance(shown, _Shown)
        pool, most = shown.pool, min(self.settings.looks, max(FEWEST, SENTENCES // max(1, len(shown.class_names))))
        if pool.bank:
            pool.bank = False
            pool.groups = _phrases(shown.class_names)
            pool.look_at(desk, map(pool.start.plus, _thinned(list(pool.groups), BANK_STEPS * most)))
        pool.look_at(desk, self._written(shown, desk, pool))
        while most > 0 and (best := pool.next()) is not None:
            most -= pool.look_at(desk, pool.around(best), most)
        for template in pool.ranked():
            if desk.missing <= 0:
                return
            desk.admit(template, as_it_is=True)
        if self._writer is None and not desk.accepted:
            desk.finish("all compositions of the phrases were tried")

    def forecast(self, expected: Expected) -> Forecast:
        """Estimate as the strategy that is asked for the words."""
        if self._writer is None:
            return Forecast()
        fewer = expected.settings.model_copy(update={"candidates_per_step": self.settings.words})
        return self._writer.forecast(replace(expected, settings=fewer))

    def _written(self, shown: Shown, desk: Desk, pool: _Pool) -> list[Wording]:
        """Ask for templates; return them in parts, with each part alone, and without each part."""
        if self._writer is None:
            return []
        beside = desk.beside(self.settings.words)
        self._writer.ask(shown, beside)
        given = [shown.task, *shown.descriptions, *shown.class_names]
        found = []
        for template in beside.accepted:
            wording = Wording.of(template)
            if wording is None:
                continue
            fit = [
                part
                for part in wording.parts
                if not unknown_words(part.text, given) and not any(names_class(part.text, c) for c in shown.class_names)
            ]
            alone = [pool.start.plus(part) for part in fit]
            found += [*alone, *([wording, *wording.less()] if len(fit) == len(wording.parts) else [])]
        return found


class _Pool:
    """The compositions looked at so far.

    Attributes:
        start: what single parts are added to: the initial template where it can be taken apart.
        parts: each with the rank of the composition that has it alone, or the lowest where there is none.
        proposed: keys of the templates that are in the history.
        groups: of the bank's phrases, what each is about; no two of one group stand together ("dark", "bright").
        bank: whether the phrases of the bank are still to be looked at.
    """

    def __init__(self, initial: Score, bank: bool) -> None:
        wording = Wording.of(initial.template)
        self.start = wording if wording and key(str(wording)) == key(initial.template) else Wording("photo")
        self.bank = bank
        self.parts: dict[Part, tuple[float, float]] = {}
        self.proposed: set[str] = set()
        self.groups: dict[Part, str] = {}
        self._scores: dict[str, Score] = {}
        self._wordings: dict[str, Wording] = {}
        self._expanded: set[str] = set()

    def look_at(self, desk: Desk, wordings: Iterable[Wording], most: int | None = None) -> int:
        """Score the readable new ones, at most so many; return how many."""
        readable = {str(one): one for one in wordings if one.is_readable and str(one) not in self._wordings}
        new = dict(islice(readable.items(), most))
        self._wordings |= new
        for score in desk.look_at(list(new)):
            self._keep(score, new[score.template])
        return len(new)

    def take(self, score: Score) -> None:
        """Take in a template of an earlier search, where it is a composition."""
        wording = Wording.of(score.template)
        if wording is not None and wording.is_readable and str(wording) == score.template:
            self._wordings[score.template] = wording
            self._keep(score, wording)

    def _keep(self, score: Score, wording: Wording) -> None:
        self._scores[score.template] = score
        for part in wording.parts:
            rank = score.rank if len(wording.parts) == len(self.start.parts) + 1 else (0.0, float("-inf"))
            self.parts[part] = max(rank, self.parts.get(part, rank))

    def next(self) -> Wording | None:
        """Return the best composition that was not returned before; None when there is none left."""
        template = next((one for one in self._ordered() if one not in self._expanded), None)
        if template is None:
            return None
        self._expanded.add(template)
        return self._wordings[template]

    def around(self, wording: Wording) -> list[Wording]:
        """Return it without each of its parts, and with each of the most promising others."""
        promising = sorted(self.parts, key=lambda part: self.parts[part], reverse=True)
        said = {self.groups.get(part, part) for part in wording.parts}
        others = [part for part in promising[:PARTS] if self.groups.get(part, part) not in said]
        return [*wording.less(), *map(wording.plus, others)]

    def ranked(self) -> list[str]:
        """Return the compositions that were not proposed, best first."""
        return [template for template in self._ordered() if key(template) not in self.proposed]

    def _ordered(self) -> list[str]:
        return sorted(self._scores, key=lambda template: worth(self._scores[template]), reverse=True)


@dataclass(frozen=True, kw_only=True)
class _Shown(Shown):
    """What the writer may know, and the compositions looked at in this search."""

    pool: _Pool


def worth(score: Score) -> tuple[float, float]:
    """Return what compositions are ordered by, higher is better: the value less the words, then the lower loss."""
    return (score.value - WORD * len(score.template.split()), -score.loss)


def _phrases(class_names: Sequence[str]) -> dict[Part, str]:
    """Return the phrases of the bank that name no class, each with what it is about."""
    from ipo_prompts.programs.phrases import PhraseBank

    found: dict[Part, str] = {}
    for phrase in PhraseBank.load().usable(class_names):
        wording = Wording.of(phrase.template)
        for part in wording.parts if wording else ():
            found.setdefault(part, phrase.group)
    return found


def _thinned(parts: Sequence[Part], most: int) -> Sequence[Part]:
    """Return at most so many, spread over all."""
    return parts[:: -(-len(parts) // most)] if parts else parts
