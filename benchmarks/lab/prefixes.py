"""The result of a search if it had scored fewer templates: prefixes of what one search left behind.

As a protocol, `protocol=benchmarks.lab.prefixes:AfterTemplates targets=60,300`: learn all classes; test what was learnt
after so many scored templates.

A template counts when it is scored on labelled pictures for the first time; the initial one does not count. After so
many scored templates a search may propose as many templates as it ever may: those that it had proposed by then, and the
best of the others that it had scored. The winner is chosen among them by the rule of every search
(`programs/selection.py`). For the shipped strategies this is the search that is run with `scored_templates=` so many.
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
    """Tests after each number of scored templates."""

    def test_sets(self, drawn: Sequence[TestSet], targets: Sequence[str], config: RunConfig) -> list[TestSet]:
        """Return the same test pictures for each number of scored templates, the largest first; see `Protocol`."""
        if not targets or not all(name.isdecimal() and int(name) > 0 for name in targets):
            raise InputError("this protocol tests after so many scored templates; name the numbers as targets: 60,300.")
        for name in ("names", "offsets"):
            if getattr(config, name) != RunConfig.model_fields[name].default:
                raise InputError(f"{name} is settled at the end of a search only; leave {name} out, or take few-shot.")
        counts = sorted(map(int, targets), reverse=True)
        prefixes: dict[int, Prefixes] = {}  # the prefixes of one search, for all numbers of scored templates
        return [
            replace(drawn[0], name=f"{one} templates", part=partial(after, looks=one, known=prefixes)) for one in counts
        ]


def after(fitted: Fitted, looks: int, known: dict[int, Prefixes] | None = None) -> Fitted:
    """Return what was learnt after so many scored templates; a method that scores none is the same after any number.

    Args:
        fitted: what was learnt after all scored templates.
        looks: the number of scored templates.
        known: keeps what was scored for one search, by its identity, for other numbers.

    Raises:
        Absent: nothing had been learnt by then.
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
        before: the number of templates scored before the first of them, such as phrases that a describer ranks.
        templates: all templates.
        proposed: the proposed templates, and how many templates had been scored by then, including each itself.
        scored_only: the templates that were scored only, as they are kept.
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
        """Return the templates that the journal of a search keeps."""
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
        """Return what was proposed after so many scored templates, then the best that were scored only, up to `most`.

        Args:
            looks: the number of scored templates.
            most: how many templates the search may propose.
            word: what a word has to earn, see `Scale`.
        """
        seen = self.templates[: looks - self.before]
        proposed = [template for template, count in self.proposed.items() if count <= len(seen)]
        done = set(proposed)
        others = [self.scored_only[template] for template in seen if template not in done]
        best = sorted(others, key=lambda one: worth(one, word), reverse=True)
        return proposed + [one.template for one in best[: max(0, most - len(proposed))]]


class Prefixes:
    """The winners of one search after fewer scored templates; a template is scored once for all of them.

    Args:
        prepared: the pictures and settings of the search.
        settings: the settings of the search.
        looks: the templates of the search, in order.
        most: how many templates the search may propose.
    """

    def __init__(self, prepared: Prepared, settings: SearchSettings, looks: InOrder, most: int) -> None:
        self._prepared, self._settings, self._looks, self._most = prepared, settings, looks, most
        self._scores: dict[tuple[str, str], Score] = {}

    @classmethod
    def of(cls, search: SearchEnd) -> Prefixes:
        """Return the prefixes of what a search left behind."""
        config, found = search.prepared.config, search.found
        if not search.events:
            looks = InOrder.of_list(entry.template for entry in found.history if entry is not found.history.initial)
            return cls(search.prepared, config.search, looks, found.proposed)
        looks = InOrder.of_journal(search.events, config.initial_template, _ranked_by_a_describer(search.prepared))
        return cls(search.prepared, config.search, looks, config.steps * config.candidates_per_step)

    @property
    def before(self) -> int:
        """The number of templates that were scored before the first one."""
        return self._looks.before

    def after(self, looks: int) -> Choice:
        """Choose among the templates seen after so many scored ones; `looks` is `before` or more."""
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
        return choose_winner(self._settings.selection, history, search, held_back, scale_of(reward).lead)

    def _scored(self, part: str, templates: Sequence[str], units: Units) -> list[Score]:
        new = [template for template in dict.fromkeys(templates) if (part, template) not in self._scores]
        for score in ScoreKeeper(None, self._prepared.reward).again(new, units):
            self._scores[part, score.template] = score
        return [self._scores[part, template] for template in templates]


def _ranked_by_a_describer(prepared: Prepared) -> int:
    """Return how many phrases a describer without a language model tries on labelled pictures before the search."""
    config = prepared.config
    if not config.asks_lm or config.vocabulary == "none" or config.describer not in ("clip", "clip-greedy"):
        return 0
    return len(Vocabulary.load(config.vocabulary).usable(prepared.reward.class_names, prepared.clip))
