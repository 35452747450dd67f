"""The default strategy: a language model gives words, and the scores decide how to combine them.

To score a composition takes milliseconds; to ask a language model takes a request. Many candidates gain more than a
history of scores, so the language model is asked without any history. Its templates are taken apart
(`programs/phrases.py`), and their parts are combined with each other and with the phrases of the vocabulary.

Each step starts from the best composition so far. The step scores this composition with each promising part added, and
with each of its own parts left out. Some phrases help only beside another phrase ("lying on its side" beside "faded");
filler never helps. Every word must earn its place: a longer composition must score higher by the price of a word
(`Bench.word`) for each extra word with meaning (`metrics.template.words`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from ipo_prompts.metrics.template import names_class, words
from ipo_prompts.programs.phrases import (
    START,
    DomainWord,
    Vocabulary,
    Wording,
    WordingPart,
    forms,
    groups_of,
    look,
    read_back,
    start_of,
    unknown_words,
)
from ipo_prompts.programs.strategies.base import Expected, Forecast
from ipo_prompts.programs.strategies.writer import Writer

if TYPE_CHECKING:
    from ipo_prompts.metrics.reward import Score
    from ipo_prompts.programs.bench import Bench
    from ipo_prompts.programs.history import Tried

PROMISING = 60
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

    The parts of a composition cannot be read from its text ("a dark line drawing": one part or two?). So a search keeps
    the wording of each composition that it has scored.

    Args:
        fields: see `ComposeSettings`.
    """

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = False
    passes_over: ClassVar[str] = (
        "a longer template is preferred only if it scores half a point more, with few images several, for each "
        "further word with meaning"
    )
    Settings: ClassVar[type[BaseModel]] = ComposeSettings

    def __init__(self, **fields: Any) -> None:
        self.settings = ComposeSettings(**fields)
        self._writer = Writer(size=0)
        self._wordings: dict[str, Wording] = {}
        self._worth: dict[str, tuple[float, float]] = {}
        self._expanded: set[str] = set()
        # Part → rank of the composition that has only this part; without such a composition the lowest rank.
        self._alone: dict[WordingPart, tuple[float, float]] = {}

    def ask(self, bench: Bench) -> str | None:
        """Ask the language model for new words, score compositions, and propose the best compositions."""
        import dspy

        if bench.step == 0:
            self._begin(bench)
        asks = self.settings.words > 0 and dspy.settings.lm is not None
        if asks:
            for template in list(self._writer.write(bench, bench.descriptions or self._look(), self.settings.words)):
                if template not in self._wordings:
                    self._try(bench, self._said(template, bench))
        left = self.settings.scored_templates
        while left > 0 and (best := self._next()) is not None:
            left -= self._try(bench, self._around(self._wordings[best]), left)
        for template in self._ordered():
            if bench.missing <= 0:
                break
            if template not in bench.history:
                bench.propose([template])
        return None if asks or bench.proposed else "all compositions of the phrases were tried"

    def _begin(self, bench: Bench) -> None:
        """Score one form of each domain word, other forms of the best domain words, and the vocabulary's phrases."""
        # The composition to which single parts are added: the initial template if it can be taken apart.
        self._start = start_of(bench.history.initial.template)
        of_phrases = groups_of(Vocabulary.load().usable(bench.class_names))
        # Two parts of one group ("dark", "bright") never stand together.
        self._groups = dict(of_phrases)
        for word in bench.domain:
            self._groups |= dict.fromkeys(forms(word), "domain images" if word.kind == "image" else "domain")
        most = self.settings.scored_templates
        phrases = list(of_phrases)
        self._vocabulary = phrases[:: max(1, -(-len(phrases) // (VOCABULARY_STEPS * most)))]
        first = first_forms(bench.domain)
        self._try(bench, map(self._start.plus, first.values()))
        best = sorted(first, key=lambda word: self._alone.get(first[word], _NO_RANK), reverse=True)[:FORMS_OF]
        others = [part for word in best for part in forms(word) if part not in first.values()]
        self._try(bench, map(self._start.plus, others[: most - len(first)]))
        self._try(bench, map(self._start.plus, self._vocabulary))

    def _look(self) -> tuple[str, ...]:
        """Return how the images look, by the scores of the vocabulary's phrases."""
        ranks = {part: self._alone.get(part, _NO_RANK) for part in self._vocabulary}
        return look({part: rank for part, rank in ranks.items() if rank != _NO_RANK})

    def _try(self, bench: Bench, near: Iterable[Wording], most: int | None = None) -> int:
        """Try at most `most` new, readable compositions. Return how many were tried."""
        wordings = {str(one): one for one in near if one.is_readable}
        new = (one for one in wordings if one not in self._wordings and bench.problem(one) is None)
        tried = list(islice(new, most))
        self._wordings |= {text: wordings[text] for text in tried}
        for one in bench.try_(tried, promising_only=self._promising_only(len(bench.class_names))):
            self._worth[one.template] = worth(one, bench.word)
            parts = wordings[one.template].parts
            rank = one.rank if len(parts) == len(self._start.parts) + 1 else _NO_RANK
            for part in parts:
                self._alone[part] = max(rank, self._alone.get(part, rank))
        return len(tried)

    def _ordered(self) -> list[str]:
        """Return the scored compositions, best first."""
        return sorted(self._worth, key=self._worth.__getitem__, reverse=True)

    def _next(self) -> str | None:
        """Return the best composition that was not returned before; None if all were."""
        found = next((one for one in self._ordered() if one not in self._expanded), None)
        if found is not None:
            self._expanded.add(found)
        return found

    def _around(self, wording: Wording) -> Iterator[Wording]:
        """Yield the compositions that lack one part of a wording, and those that have one more, promising part."""
        yield from wording.less()
        said = {self._groups.get(part, part) for part in wording.parts}
        promising = sorted(self._alone, key=self._alone.__getitem__, reverse=True)
        yield from (wording.plus(part) for part in promising[:PROMISING] if self._groups.get(part, part) not in said)

    def _said(self, template: str, bench: Bench) -> Iterator[Wording]:
        """Yield a composition for each usable part of a template that the language model wrote.

        If all parts are usable, also yield the whole template with its parts in their usual places, and this without
        each part.
        """
        wording = Wording.of(template)
        if wording is None:
            return
        names = bench.class_names
        given = [bench.task, *bench.descriptions, *names]
        fit = [
            part
            for part in wording.parts
            if not unknown_words(part.text, given) and not any(names_class(part.text, name) for name in names)
        ]
        yield from map(self._start.plus, fit)
        if len(fit) == len(wording.parts):
            yield wording.usual
            yield from wording.usual.less()

    def forecast(self, expected: Expected) -> Forecast:
        """Return the forecast of the questions, and of the templates that are scored besides: phrases, compositions."""
        steps, most = expected.settings.steps, self.settings.scored_templates
        first = VOCABULARY_STEPS + (self.settings.domain_words > 0)
        asked = Forecast()
        if self.settings.words and expected.lm:
            fewer = expected.settings.model_copy(update={"candidates_per_step": self.settings.words})
            asked = self._writer.forecast(replace(expected, settings=fewer))
        promising_only = self._promising_only(expected.classes)
        return replace(asked, scored_only=(steps + first) * most, promising_only=promising_only)

    @property
    def room_for_words(self) -> int:
        """How many domain words are tried: of what a step tries, a quarter is left for other forms of them."""
        most = self.settings.scored_templates
        return min(self.settings.domain_words, most - most // 4)

    def _promising_only(self, classes: int) -> bool:
        """Whether only the promising compositions are scored."""
        return self.settings.scored_templates * classes > SENTENCES


_NO_RANK = (float("-inf"), float("-inf"))


def first_forms(words: Sequence[DomainWord]) -> dict[DomainWord, WordingPart]:
    """Return the form in which each domain word is tried first: its usual form, unless an earlier word has the same."""
    found: dict[DomainWord, WordingPart] = {}
    for word in words:
        new = next((part for part in forms(word) if part not in found.values()), None)
        if new is not None:
            found[word] = new
    return found


def worth(score: Score | Tried, word: float) -> tuple[float, float]:
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
