"""The default strategy: a language model gives words, and the scores decide how to combine them.

To score a composition takes milliseconds; to ask a language model takes a request. Many candidates gain more than a
history of scores, so the language model is asked without any history. Its templates are taken apart
(`programs/templates/phrases.py`), and their parts are combined with each other and with the phrases of the vocabulary.

Each step starts from the best composition so far. The step scores this composition with each promising part added, and
with each of its own parts left out. Some phrases help only beside another phrase ("lying on its side" beside "faded");
filler never helps. Every word must earn its place: a longer composition must score higher by `Scale.word` for each
extra word with meaning (`metrics.template.words`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from ipo_prompts.metrics.registry import NoSettings
from ipo_prompts.metrics.template import key, names_class, words
from ipo_prompts.programs.strategies.base import (
    Expected,
    Forecast,
    Known,
    Models,
    ScoredOnly,
    Strategy,
    close,
    forecast_of,
    may_know,
)
from ipo_prompts.programs.strategies.history import NoHistory
from ipo_prompts.programs.strategies.looks import START, VOCABULARY, groups_of, look, read_back, start_of
from ipo_prompts.programs.templates.domain_words import DomainWord, forms
from ipo_prompts.programs.templates.phrases import Part, Vocabulary, Wording, unknown_words

if TYPE_CHECKING:
    from ipo_prompts.metrics.reward import Score
    from ipo_prompts.programs.templates.admission import Desk
    from ipo_prompts.programs.templates.history import ScoredTemplate

PARTS = 60
"""The most parts that are added to a composition, each by itself: the parts that score best alone."""
SENTENCES = 7_000
"""The most sentences that a step encodes: one for each composition and class. With more classes, only the promising
compositions are scored."""
FORMS_OF = 5
"""The number of domain words that are tried in all their forms: the words that score best in one form."""
VOCABULARY_STEPS = 4
"""The phrases of the vocabulary may cost as much as this number of steps. If a step tries few compositions, only every
second or third phrase is scored."""


class ComposeSettings(BaseModel, extra="forbid", frozen=True):
    """What a language model is asked for, and how many compositions are tried."""

    words: int = Field(
        2,
        ge=0,
        le=100,
        description="how many templates the language model writes in a step; their parts are recombined",
    )
    scored_templates: int = Field(
        100,
        ge=1,
        description="how many compositions a step scores, besides the phrases of the vocabulary. With more than 70 "
        "classes, only promising compositions are scored",
    )
    domain_words: int = Field(
        70,
        ge=0,
        le=100,
        description="how many domain words are tried before the vocabulary, in at most strategy.scored_templates "
        "templates; 0: none",
    )


class Compose:
    """Scores compositions of phrases, and proposes the best compositions.

    Args:
        settings: see `ComposeSettings`.
        writer: the strategy that writes templates with a language model. None takes all words from the vocabulary.
    """

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = False
    passes_over: ClassVar[str] = (
        "a longer template is preferred only if it scores half a point more for each further word with meaning"
    )
    Settings: ClassVar[type[BaseModel]] = ComposeSettings

    def __init__(self, settings: ComposeSettings | None = None, writer: Strategy | None = None) -> None:
        self.settings = settings or ComposeSettings()
        self._writer = writer if self.settings.words else None

    @classmethod
    def build(cls, settings: ComposeSettings, models: Models) -> Strategy:
        """Make the strategy, see `Strategy`. Without a language model it has no writer."""
        writer = NoHistory.build(NoSettings(), models) if models.given else None
        return cls(settings, writer)

    def ask(self, known: Known, desk: Desk) -> None:
        """Ask the writer for new words, score compositions, and propose the best compositions."""
        most = self.settings.scored_templates
        pool = _Pool(known, most, self._promising_only(len(known.class_names)))
        if known.step == 0:
            for around in _FIRST:
                pool.score_only(desk, around)
        told = known if known.descriptions else replace(known, descriptions=pool.look())
        for template in self._written(told, desk):
            if template not in pool:
                pool.score_only(desk, template)
        while most > 0 and (best := pool.next()) is not None:
            most -= pool.score_only(desk, best, most)
        for template in pool.ranked():
            if desk.missing <= 0:
                return
            desk.admit(template, as_it_is=True)
        if self._writer is None and not desk.accepted:
            desk.finish("all compositions of the phrases were tried")

    def forecast(self, expected: Expected) -> Forecast:
        """Return the forecast of the writer, and of the templates that are scored besides: phrases, compositions."""
        steps, most = expected.settings.steps, self.settings.scored_templates
        first = VOCABULARY_STEPS + (self.settings.domain_words > 0)
        asked = Forecast()
        if self._writer is not None:
            fewer = expected.settings.model_copy(update={"candidates_per_step": self.settings.words})
            asked = forecast_of(self._writer, replace(expected, settings=fewer))
        promising_only = self._promising_only(expected.classes)
        return replace(asked, scored_only=(steps + first) * most, promising_only=promising_only)

    def close(self) -> None:
        """Close the writer."""
        close(self._writer)

    @property
    def room_for_words(self) -> int:
        """How many domain words are tried: of what a step tries, a quarter is left for other forms of them."""
        most = self.settings.scored_templates
        return min(self.settings.domain_words, most - most // 4)

    def _promising_only(self, classes: int) -> bool:
        """Whether only the promising compositions are scored."""
        return self.settings.scored_templates * classes > SENTENCES

    def _written(self, known: Known, desk: Desk) -> list[str]:
        """Return new templates of the writer. They are not proposed."""
        if self._writer is None:
            return []
        beside = desk.beside(self.settings.words)
        self._writer.ask(may_know(self._writer, known), beside)
        return beside.accepted


_WORDS, _FORMS = "domain words", "forms of domain words"
"""The values of `around` for compositions that are made from no template: with one form of each domain word, with the
other forms of the best domain words."""
_FIRST = (_WORDS, _FORMS, VOCABULARY)


_NO_RANK = (float("-inf"), float("-inf"))


def first_forms(words: Sequence[DomainWord]) -> dict[DomainWord, Part]:
    """Return the form in which each domain word is tried first: its usual form, unless an earlier word has the same."""
    found: dict[DomainWord, Part] = {}
    for word in words:
        new = next((part for part in forms(word) if part not in found.values()), None)
        if new is not None:
            found[word] = new
    return found


def _grouped(word: DomainWord) -> Iterable[tuple[Part, str]]:
    """Return the forms of a domain word with their group: what classes are, or what pictures are."""
    group = "domain pictures" if word.kind == "picture" else "domain"
    return ((part, group) for part in forms(word))


class _Pool:
    """The compositions scored so far, rebuilt in each step from what is known.

    The parts of a composition cannot be read from its text ("a dark line drawing": one part or two?). They are known
    from the composition, or from the template of the writer, that this composition was made from.

    Args:
        known: all that is known before the step.
        most: the number of compositions that each step tries.
        promising_only: whether only the promising compositions are scored.

    Attributes:
        start: the composition to which single parts are added: the initial template if it can be taken apart.
        parts: part → rank of the composition that has only this part. Without such a composition it is the lowest rank.
        groups: part → group, for the parts of the vocabulary's phrases. Two parts of one group ("dark", "bright") never
            stand together.
    """

    def __init__(self, known: Known, most: int, promising_only: bool) -> None:
        initial = known.history.initial
        self.start = start_of(initial.template)
        of_phrases = groups_of(Vocabulary.load().usable(known.class_names))
        self.groups = {**of_phrases, **{part: group for word in known.domain for part, group in _grouped(word)}}
        self.parts: dict[Part, tuple[float, float]] = {}
        phrases = list(of_phrases)
        self._most, self._promising_only = most, promising_only
        self._vocabulary = phrases[:: max(1, -(-len(phrases) // (VOCABULARY_STEPS * most)))]
        self._known = known
        self._wordings: dict[str, Wording] = {}
        self._worth: dict[str, tuple[float, float]] = {}
        self._expanded: set[str] = set()
        self._take([entry for entry in known.history if entry.step < 0 and entry is not initial], {})
        steps = {step: list(scored_only) for step, scored_only in groupby(known.scored_only, key=lambda one: one.step)}
        for step in range(known.step):
            self._follow(steps.get(step, []), most)

    def __contains__(self, template: str) -> bool:
        return template in self._wordings

    def score_only(self, desk: Desk, around: str, most: int | None = None) -> int:
        """Try at most `most` new, readable compositions around a template. Return how many were tried."""
        wordings = {str(one): one for one in self._near(around) if one.is_readable}
        new = (one for one in wordings if one not in self._wordings and desk.problem(one) is None)
        tried = list(islice(new, most))
        scores = desk.score_only(tried, around=around, promising_only=self._promising_only)
        self._take(scores, wordings)
        self._wordings |= {one: wordings[one] for one in tried}
        return len(tried)

    def next(self) -> str | None:
        """Return the best composition that was not returned before; None if all were."""
        template = next((one for one in self._ordered() if one not in self._expanded), None)
        if template is not None:
            self._expanded.add(template)
        return template

    def ranked(self) -> list[str]:
        """Return the compositions that were not proposed, best first."""
        proposed = {key(entry.template) for entry in self._known.history}
        return [template for template in self._ordered() if key(template) not in proposed]

    def look(self) -> tuple[str, ...]:
        """Return how the pictures look, by the scores of the vocabulary's phrases."""
        return look({part: self.parts.get(part, _NO_RANK) for part in self._vocabulary})

    def _near(self, template: str) -> list[Wording]:
        """Return the neighbours of a composition or a writer's template; for a value of `_FIRST`, one for each part."""
        if template in _FIRST:
            parts = self._vocabulary if template == VOCABULARY else self._of_domain(template)
            return [self.start.plus(part) for part in parts]
        if template in self._wordings:
            return self._around(self._wordings[template])
        return self._said(template)

    def _of_domain(self, which: str) -> list[Part]:
        """Return one form of each domain word, or the other forms of the words that score best in this one form."""
        first = first_forms(self._known.domain)
        if which == _WORDS:
            return list(first.values())
        best = sorted(first, key=lambda word: self.parts.get(first[word], _NO_RANK), reverse=True)[:FORMS_OF]
        others = [part for word in best for part in forms(word) if part not in first.values()]
        return others[: self._most - len(first)]

    def _around(self, wording: Wording) -> list[Wording]:
        """Return the compositions that lack one part of a wording, and those that have one more, promising part."""
        promising = sorted(self.parts, key=self.parts.__getitem__, reverse=True)
        said = {self.groups.get(part, part) for part in wording.parts}
        others = [part for part in promising[:PARTS] if self.groups.get(part, part) not in said]
        return [*wording.less(), *map(wording.plus, others)]

    def _said(self, template: str) -> list[Wording]:
        """Return a composition for each usable part of a writer's template.

        If all parts are usable, also return the whole template with its parts in their usual places, and this without
        each part.
        """
        wording, names = Wording.of(template), self._known.class_names
        if wording is None:
            return []
        given = [self._known.task, *self._known.descriptions, *names]
        fit = [
            part
            for part in wording.parts
            if not unknown_words(part.text, given) and not any(names_class(part.text, name) for name in names)
        ]
        whole = [wording.usual, *wording.usual.less()] if len(fit) == len(wording.parts) else []
        return [*map(self.start.plus, fit), *whole]

    def _follow(self, scored_only: Sequence[ScoredOnly], most: int) -> None:
        """Take in the scores of an earlier step, in the order of scoring."""
        for around, group in groupby(scored_only, key=lambda one: one.around):
            scores = list(group)
            # Scores around the vocabulary, or around a template of the writer (perhaps itself the next composition).
            if around not in self:
                near = {str(one): one for one in self._near(around)}
                self._take([score for score in scores if score.template in near], near)
                scores = [score for score in scores if score.template not in near]
            if scores and around in self:
                # The best composition is expanded first. So all better compositions had no new neighbour.
                ordered = self._ordered()
                self._expanded.update(ordered[: ordered.index(around) + 1])
                most -= len(scores)
                self._take(scores, {str(one): one for one in self._near(around)})
        if most > 0:  # no composition was left to expand
            self._expanded.update(self._wordings)

    def _take(self, scores: Iterable[Score | ScoredTemplate | ScoredOnly], wordings: Mapping[str, Wording]) -> None:
        """Take in scores of compositions. `wordings` maps texts that do not show their parts to their wordings."""
        for score in scores:
            wording = wordings.get(score.template) or _composition(score.template)
            if wording is None:
                continue
            self._wordings[score.template] = wording
            if isinstance(score, ScoredOnly) and not score.is_scored:
                continue
            self._worth[score.template] = worth(score, self._known.scale.word)
            parts = wording.parts
            for part in parts:
                rank = score.rank if len(parts) == len(self.start.parts) + 1 else _NO_RANK
                self.parts[part] = max(rank, self.parts.get(part, rank))

    def _ordered(self) -> list[str]:
        return sorted(self._worth, key=self._worth.__getitem__, reverse=True)


def worth(score: Score | ScoredTemplate | ScoredOnly, word: float) -> tuple[float, float]:
    """Return the sort key of a composition; higher is better.

    Its first number is the value less the price of the words (`metrics.template.words`), its second number the negative
    loss.
    """
    return (score.value - word * words(score.template), -score.loss)


def kept_whole(template: str) -> str:
    """Return a sentence about an initial template around which no composition is built; empty for all others."""
    if read_back(template):
        return ""
    start = f"compositions are built around {str(START)!r}"
    return f"The initial template {template!r} is kept whole: it cannot be taken apart, so {start}."


def _composition(template: str) -> Wording | None:
    """Return the parts of a template; None if it is not a composition."""
    wording = Wording.of(template)
    return wording if wording and wording.is_readable and str(wording) == template else None
