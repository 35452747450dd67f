"""The bench of a search: all that a strategy knows, and the only way to score and to propose templates.

A strategy tries any number of templates (`try_`), and proposes a few (`propose`). Only a proposed template can win. The
bench refuses unusable templates with a reason, keeps the limits, and remembers every score in its history.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from ipo_prompts.metrics.arrays import batches, spread
from ipo_prompts.metrics.clock import keeping
from ipo_prompts.metrics.evidence import score_interval
from ipo_prompts.metrics.reward import Reward, Units, by_embeddings, scale_of
from ipo_prompts.metrics.sampling import Interval, Sampling
from ipo_prompts.metrics.surrogate import Surrogate
from ipo_prompts.metrics.template import SLOT, key, normalise
from ipo_prompts.programs.history import History, Proposed, Tried
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.scoring import note_scores, score, score_together
from ipo_prompts.programs.search_settings import SearchSettings

if TYPE_CHECKING:
    from ipo_prompts.programs.phrases import DomainWord

logger = logging.getLogger(__name__)

AT_ONCE = 256
"""The number of templates that are scored between two checks of the limits."""
WITHOUT_SURROGATE = 4
"""One template of this number is scored if only promising ones are to be scored, and no score can be predicted."""
LONGEST_REJECTION = 300
"""The most characters of a refused text that are recorded."""


@dataclass(frozen=True)
class Rejection:
    """A template that was refused, and why."""

    template: str
    reason: str

    @property
    def shown(self) -> str:
        """The reason without the slot: a language model that copies it after a text does not make a template of it."""
        return self.reason.replace(f"{SLOT} slot", "slot for the class name")


@dataclass(frozen=True)
class Step:
    """What happened in one step, for callbacks, logs and plots.

    Attributes:
        number: the number of the step, from 0; -1 for the initial template.
        scored: the proposed templates.
        rejected: templates that were not scored, with the reasons.
        best: the best template so far.
        interval: the 95 % interval of the best value; not corrected for the number of templates tried.
        scored_only: how many templates were scored without being proposed.
    """

    number: int
    scored: tuple[Proposed, ...]
    rejected: tuple[Rejection, ...]
    best: Proposed
    interval: Interval
    scored_only: int = 0

    def record(self) -> dict[str, Any]:
        """Return the step as plain JSON, without the values of single units."""
        return {
            "number": self.number,
            "scored": [one.record() for one in self.scored],
            "rejected": [asdict(rejection) for rejection in self.rejected],
            "best": self.best.record(),
            "interval": list(self.interval),
            "scored_only": self.scored_only,
        }


class Bench:
    """What a strategy works with.

    Attributes:
        task: one sentence that says what the images are.
        class_names: the class names that fill the slot.
        descriptions: descriptions of a few images.
        domain: the domain words, the most promising first.
        labels: int64, the label of each train image, a copy; None if the reward has no labels.
        scale: the scale of the reward's values.
        problem: a function that returns why a template cannot be scored, or None.
        step, seed: the number of the step, from 0, and its seed.
        count: the number of templates that are wanted in a step.
        proposed: the templates that this step has proposed.
        refused: the templates that this step was refused, with the reasons.
        written: how many templates of a language model could be used in this search; None if it gave no reply yet.
    """

    def __init__(
        self,
        settings: SearchSettings,
        reward: Reward,
        units: Units,
        task: str,
        journal: Journal | None,
        ledger: Ledger,
        *,
        shows_history: bool = True,
    ) -> None:
        self._settings, self._reward, self._units = settings, reward, units
        self._journal, self._ledger, self._shows_history = journal, ledger, shows_history
        self.task = task
        self.class_names = reward.class_names
        self.descriptions: tuple[str, ...] = ()
        self.domain: tuple[DomainWord, ...] = ()
        self.labels = None if units.labels is None else units.labels.copy()
        self.scale = scale_of(reward)
        self.problem = cache(reward.problem)  # a template that does not fit may come many times
        self.step, self.seed, self.count = -1, 0, settings.candidates_per_step
        self.refused: list[Rejection] = []
        self.written: int | None = None
        self._tries = 0  # with the templates that were passed over for more promising ones
        (initial,) = score(reward, [settings.initial_template], units)
        self.everything = History(Proposed.of(initial, -1, "initial"))
        self.proposed = [self.everything.initial]
        self._first_try = 0

    # For strategies.

    @property
    def history(self) -> History:
        """Every scored template. A control that must learn nothing from scores sees the initial template only."""
        return self.everything if self._shows_history else History(self.everything.initial)

    @property
    def word(self) -> float:
        """The price of a word: the gain in value that a search demands for each word with meaning.

        It is `Scale.word`. For fractions it is at least ln n / 2n with n base images, as luck raises the score of a
        longer template more with few images. This is the price of a parameter in nats (BIC: Schwarz 1978), here taken
        as a fraction. It is above half a point with fewer than 650 base images: 7.5 points with 20.

        In a trial (125 searches, mostly ten classes) winners had 1.3 instead of 2.3 words with meaning, and the gain
        differed by 0.4 points (95 % interval -0.5 to 1.2) from the gain with half a point for each word.
        """
        n = self._sampling.size
        return max(self.scale.word, math.log(n) / (2 * n)) if self.scale.fractions else self.scale.word

    @property
    def missing(self) -> int:
        """The number of templates that the step still wants."""
        return self.count - len(self.proposed)

    def try_(self, templates: Iterable[str], *, promising_only: bool = False) -> list[Tried]:
        """Score templates on the train units without proposing them, each once in a search.

        Templates that cannot be scored are left out. So are templates beyond the setting `scored_templates`.

        Args:
            templates: any number of templates.
            promising_only: whether only the most promising are scored, see `metrics/surrogate.py`.

        Returns:
            The templates with their scores: those that were known first, then the others in the order of scoring.

        Raises:
            BudgetReached: the time is used up.
        """
        known = self.everything.tried
        wanted = list(dict.fromkeys(templates))
        found = [known[text] for text in wanted if text in known]
        new = [text for text in wanted if text not in known and self.problem(text) is None]
        new = new[: self._settings.scored_templates - self._tries]
        surrogate = self._surrogate if promising_only else None
        at_once = max(1, len(new)) if surrogate else AT_ONCE
        for chunk in batches(new, at_once):
            self._tries += len(chunk)
            if promising_only and not surrogate:  # nothing is predicted: a part that is spread evenly is scored
                chunk = [chunk[i] for i in spread(len(chunk), -(-len(chunk) // WITHOUT_SURROGATE))]
            with self.in_time("scores", kind="train", step=self.step):
                scores = surrogate.promising(chunk) if surrogate else score_together(self._reward, chunk, self._units)
            made = [Tried(one.template, one.value, one.loss, self.step) for one in scores]
            known.update({one.template: one for one in made})
            found += made
        return found

    def propose(self, templates: Iterable[str]) -> list[Proposed]:
        """Propose templates: score each by itself, as a candidate. Return those that were not refused.

        Raises:
            BudgetReached: the time is used up.
        """
        found = []
        for template in templates:
            if self.admits(template, [one.template for one in self.proposed], self.count):
                with self.in_time("scores", kind="train", step=self.step):
                    (made,) = score(self._reward, [template], self._units)
                found.append(Proposed.of(made, self.step, self._source))
                self.proposed.append(found[-1])
                self.everything.add(found[-1])
        return found

    def admits(self, template: str, taken: Collection[str], count: int) -> bool:
        """Return whether a template is new and usable beside `taken`, of `count` wanted ones; if not, record why."""
        reason = None
        if key(template) in map(key, taken):
            reason = "it repeats another answer"
        elif template in self.everything:
            reason = "it is already known"
        reason = reason or self.problem(template)
        if reason is None and len(taken) >= count:
            reason = "more templates came than were asked for"
        if reason:
            self.refuse(template, reason)
        return reason is None

    def refuse(self, text: str, reason: str) -> None:
        """Record a refused answer with the reason."""
        self.refused.append(Rejection(text[:LONGEST_REJECTION], reason))
        logger.info("refused %r: %s", self.refused[-1].template, reason)

    def cleaned(self, answer: object) -> str:
        """Return the template in an answer of a language model: without quotes, list markers and copied reasons.

        A question shows refused templates with reasons in brackets, and language models copy these.
        """
        if not isinstance(answer, str):
            return repr(answer)
        text = normalise(answer)
        for reason in {rejection.shown for rejection in self.refused}:
            text = text.removesuffix(f"({reason})").rstrip()
        return text

    # For the search.

    def begin(self, step: int, source: str) -> None:
        """Begin a step. `source` says what proposes its templates, see `Proposed`."""
        self.step, self._source = step, source
        seed = hashlib.sha256(f"{self._settings.seed}|{step}".encode()).digest()
        self.seed = int.from_bytes(seed[:4], "big") >> 1
        self.proposed, self.refused = [], []
        self._first_try = len(self.everything.tried)

    def end(self) -> Step:
        """End the step: record its scores, and return what happened in it."""
        if self._journal:
            note_scores(self._journal, "train", self.step, self.proposed, self.refused)
        tried = len(self.everything.tried) - self._first_try
        best = self.everything.best
        interval = score_interval(best.hits, self._sampling, bounds=(self.scale.low, self.scale.high))
        step = Step(self.step, tuple(self.proposed), tuple(self.refused), best, interval, tried)
        said = (self.step + 1, len(step.scored), self.scale.told(best.value), best.template)
        logger.info("step %d: %d new, best %s %r", *said)
        self.proposed = []
        return step

    def in_time(self, event: str, **match: Any) -> AbstractContextManager[object]:
        """Stop if the time is up, now and between batches of texts. But what the journal has is done whatever the time.

        `event` and `match` say which event of the journal holds the result, see `Journal.find`.
        """
        if self._journal and self._journal.find(event, **match):
            return nullcontext()
        self._ledger.clock.check_time()
        return keeping(self._ledger.clock)

    @cached_property
    def _sampling(self) -> Sampling:
        """How the train units were drawn."""
        return Sampling.of(self.everything.initial.n, self._units.labels, self._units.groups)

    @cached_property
    def _surrogate(self) -> Surrogate | None:
        """The predictor of scores; None for a reward that does not score by class embeddings."""
        able = by_embeddings(self._reward)
        return Surrogate(able, self._units, self._settings.initial_template) if able else None
