"""Score templates that are not proposed: in chunks, within the limits of a search, and the promising ones only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.reward import Reward, Score, Units, by_embeddings
from ipo_prompts.metrics.surrogate import Surrogate
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.strategies.base import ScoredOnly
from ipo_prompts.programs.templates.settings import SearchSettings

AT_ONCE = 256
"""The number of templates that are scored between two checks of the limits."""
WITHOUT_SURROGATE = 4
"""One template of this number is scored if only promising ones are to be scored, and no score can be predicted."""


@dataclass
class ScoringOnly:
    """Scores templates for `Desk.score_only`, and keeps what was found.

    Attributes:
        settings: the settings of the search, with the most templates that may be scored so.
        reward: the reward.
        units: the search units.
        record: the keeper, which writes scores down before they are used.
        problem: a function that returns why a template cannot be scored, or None.
        check_limits: a function that takes the number of the step, and raises an error if a limit is reached.
        found: the templates that were scored so far, or tried and passed over.
    """

    settings: SearchSettings
    reward: Reward
    units: Units
    record: ScoreKeeper
    problem: Callable[[str], str | None]
    check_limits: Callable[[int], None]
    found: list[ScoredOnly] = field(default_factory=list)

    @property
    def scored(self) -> int:
        """How many templates were scored without being proposed."""
        return sum(one.is_scored for one in self.found)

    def score(self, number: int, templates: Sequence[str], around: str, promising_only: bool = False) -> list[Score]:
        """Score and record templates in step `number`, and return the scores; see `Desk.score_only`.

        The templates are scored in chunks. Before each chunk the limits are checked.
        """
        most = self.settings.scored_templates - len(self.found)
        usable = [template for template in templates if self.problem(template) is None][:most]
        surrogate = self._surrogate if promising_only else None
        at_once = max(1, len(usable)) if surrogate else AT_ONCE
        scores: list[Score] = []
        for start in range(0, len(usable), at_once):
            self.check_limits(number)
            tried = usable[start : start + at_once]
            chunk = tried
            if promising_only and not surrogate:  # nothing is predicted: a part that is spread evenly is scored
                chunk = [tried[i] for i in spread(len(tried), -(-len(tried) // WITHOUT_SURROGATE))]
            new = self.record.score_only(number, chunk, self.units, around, surrogate)
            scores += new
            made = {score.template: (score.value, score.loss) for score in new}
            for template in tried:
                value, loss = made.get(template, (-math.inf, math.inf))
                self.found.append(ScoredOnly(template, value, loss, number, around))
        return scores

    @cached_property
    def _surrogate(self) -> Surrogate | None:
        """The predictor of scores; None for a reward that does not score by class embeddings."""
        able = by_embeddings(self.reward)
        return Surrogate(able, self.units, self.settings.initial_template) if able else None
