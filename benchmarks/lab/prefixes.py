"""The result that a search would have had with fewer scored templates, computed from the record of one search.

The protocol `protocol=benchmarks.lab.prefixes:AfterTemplates targets=60,300` learns all classes, and tests the winner
after 60 and after 300 scored templates.

A template counts when it is scored on labelled pictures for the first time; the initial template does not count. The
winner after N scored templates is chosen among these candidates: the templates that the search had proposed by then,
and the best of the other templates that it had scored, up to the number that the search may propose. The rule of choice
is that of every search (`programs/selection.py`). For the shipped strategies, the result is that of a search with
`scored_templates=N`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ipo_prompts.experiments.compare.methods.base import Absent, Fitted, SearchEnd, Templates
from ipo_prompts.experiments.compare.protocols import Protocol, TestSet
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Score, Units, scale_of
from ipo_prompts.metrics.template import key
from ipo_prompts.programs.record.journal import Event
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.selection import Choice, HeldBack, choose_winner
from ipo_prompts.programs.strategies.base import ScoredOnly
from ipo_prompts.programs.strategies.compose import worth
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
from ipo_prompts.programs.templates.phrases import Vocabulary
from ipo_prompts.programs.templates.settings import SearchSettings


class AfterTemplates(Protocol):
    """Tests the winner after each number of scored templates; the targets are these numbers."""

    def test_sets(self, drawn: Sequence[TestSet], targets: Sequence[str], config: RunConfig) -> list[TestSet]:
        """Return one test set for each number of scored templates, the largest number first; see `Protocol`."""
        if not targets or not all(name.isdecimal() and int(name) > 0 for name in targets):
            raise InputError("this protocol tests after so many scored templates; name the numbers as targets: 60,300.")
        if config.names != "given":
            raise InputError("names are settled at the end of a search only; leave names out, or take few-shot.")
        counts = sorted(map(int, targets), reverse=True)
        prefixes: dict[int, Prefixes] = {}  # the prefixes of one search, for all numbers of scored templates
        return [
            replace(drawn[0], name=f"{one} templates", part=partial(after, looks=one, known=prefixes)) for one in counts
        ]


def after(fitted: Fitted, looks: int, known: dict[int, Prefixes] | None = None) -> Fitted:
    """Return the classifier that a method had after `looks` scored templates.

    A method that scores no templates has the same classifier after any number.

    Args:
        fitted: the classifier after all scored templates.
        looks: the number of scored templates.
        known: a cache of the scores of one search: identity of the search → its prefixes.

    Raises:
        Absent: the method had no classifier yet after so few templates.
    """
    if not isinstance(fitted, Templates) or fitted.search is None:
        return fitted
    known = {} if known is None else known
    if (one := id(fitted.search)) not in known:
        known[one] = Prefixes.of(fitted.search)
    prefixes = known[one]
    if looks < prefixes.before:
        raise Absent(f"before its first template it had scored {prefixes.before} others")
    chosen = ((prefixes.after(looks).template, 1.0),)
    return replace(fitted, templates=chosen, choice=None, search=None)


@dataclass
class InOrder:
    """The templates of a search in the order in which each was scored for the first time.

    Attributes:
        before: the number of templates that were scored before the first of these templates, for instance phrases that
            a describer ranks.
        templates: all templates.
        proposed: the proposed templates, each with the number of templates that had been scored up to and including
            it.
        scored_only: the templates that were scored only.
    """

    before: int = 0
    templates: list[str] = field(default_factory=list)
    proposed: dict[str, int] = field(default_factory=dict)
    scored_only: dict[str, ScoredOnly] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    @classmethod
    def of_list(cls, templates: Iterable[str]) -> InOrder:
        """Return the templates of a list, all of which are proposed."""
        looks = cls()
        for template in templates:
            looks._add(template, proposed=True)
        return looks

    @classmethod
    def of_journal(cls, events: Iterable[Event], initial: str, before: int = 0) -> InOrder:
        """Return the templates in the journal of a search, in order."""
        looks = cls(before, _known={key(initial)})
        for event in events:
            if event["type"] == "scored_only":
                for template, value, loss in event["rows"]:
                    looks._add(template, proposed=False)
                    looks.scored_only[template] = ScoredOnly(template, value, loss, event["step"], event["around"])
            elif event["type"] == "proposed":
                looks._add(event["row"][0], proposed=True)
            elif event["type"] == "scores" and event["kind"] == "search" and event["step"] >= 0:
                for score in event["scores"]:
                    looks._add(score["template"], proposed=True)
        return looks

    def _add(self, template: str, *, proposed: bool) -> None:
        if key(template) not in self._known:
            self._known.add(key(template))
            self.templates.append(template)
        if proposed:
            self.proposed.setdefault(template, len(self.templates))

    def candidates(self, looks: int, most: int, word: float) -> list[str]:
        """Return the candidates after `looks` scored templates: the proposed ones, then the best scored-only ones.

        Args:
            looks: the number of scored templates.
            most: the largest number of candidates: the number of templates that the search may propose.
            word: the gain that an additional word of a template must bring, see `Scale`.
        """
        seen = self.templates[: looks - self.before]
        proposed = [template for template, count in self.proposed.items() if count <= len(seen)]
        done = set(proposed)
        others = [self.scored_only[template] for template in seen if template not in done]
        best = sorted(others, key=lambda one: worth(one, word), reverse=True)
        return proposed + [one.template for one in best[: max(0, most - len(proposed))]]


class Prefixes:
    """The winners of one search after fewer scored templates. Each template is scored only once for all winners.

    Args:
        prepared: the pictures and settings of the search.
        settings: the settings of the search.
        looks: the templates of the search, in the order in which they were scored.
        most: how many templates the search may propose.
    """

    def __init__(self, prepared: Prepared, settings: SearchSettings, looks: InOrder, most: int) -> None:
        self._prepared, self._settings, self._looks, self._most = prepared, settings, looks, most
        self._scores: dict[tuple[str, str], Score] = {}

    @classmethod
    def of(cls, search: SearchEnd) -> Prefixes:
        """Return the prefixes of a search, from its outcome and its journal."""
        config, found = search.prepared.config, search.found
        if not search.events:
            looks = InOrder.of_list(entry.template for entry in found.history if entry is not found.history.initial)
            return cls(search.prepared, config.search, looks, found.proposed)
        looks = InOrder.of_journal(search.events, config.initial_template, _ranked_by_a_describer(search.prepared))
        return cls(search.prepared, config.search, looks, config.steps * config.candidates_per_step)

    @property
    def before(self) -> int:
        """The number of templates that were scored before the search's first template."""
        return self._looks.before

    def after(self, looks: int) -> Choice:
        """Return the choice among the candidates after `looks` scored templates; `looks` is at least `before`."""
        reward, search, selection = self._prepared.reward, self._prepared.search.units, self._prepared.selection
        initial = self._settings.initial_template
        history = PromptHistory(ScoredTemplate(self._scored("search", [initial], search)[0], -1, "initial"))
        candidates = self._looks.candidates(looks, self._most, scale_of(reward).word)
        for score in self._scored("search", candidates, search):
            history.add(ScoredTemplate(score, 0, "prefix"))
        held_back = None
        if selection is not None:
            units = selection.units
            held_back = HeldBack(units, lambda templates: self._scored("selection", templates, units))
        return choose_winner(self._settings.selection, history, search, held_back)

    def _scored(self, part: str, templates: Sequence[str], units: Units) -> list[Score]:
        new = [template for template in dict.fromkeys(templates) if (part, template) not in self._scores]
        for score in ScoreKeeper(None, self._prepared.reward).again(new, units):
            self._scores[part, score.template] = score
        return [self._scores[part, template] for template in templates]


def _ranked_by_a_describer(prepared: Prepared) -> int:
    """Return how many phrases a describer without a language model tries on labelled pictures before the search."""
    config = prepared.config
    if not config.asks_lm or config.describer != "clip":
        return 0
    return len(Vocabulary.load().usable(prepared.reward.class_names, prepared.clip))
