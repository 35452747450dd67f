"""Templates with a score, and a bench to work on, made without a CLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.template import problem
from ipo_prompts.programs import journal
from ipo_prompts.programs.bench import Bench
from ipo_prompts.programs.history import History, Proposed
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.search_settings import SearchSettings


def score(template: str, value: float, loss: float = 1.0, n: int = 100) -> Score:
    """As many of n units are right as the value says."""
    hits = np.arange(n) < round(n * value)
    return Score(template, value, loss, hits, np.full(n, loss))


def scored(
    template: str, value: float, loss: float, n: int = 100, step: int = 0, source: str = "language model"
) -> Proposed:
    """Make an entry of a history."""
    return Proposed.of(score(template, value, loss, n), step, source)


def history(values: Mapping[str, float]) -> History:
    """Make a history of templates with these values on 100 units, one a step; the first is the initial template."""
    first, *others = [scored(one, value, 1.3 - value, step=i) for i, (one, value) in enumerate(values.items(), -1)]
    found = History(first)
    for one in others:
        found.add(one)
    return found


class Valued:
    """A reward that knows the value of each template. It stands for its own units, too."""

    labels = groups = None

    def __init__(self, value: Callable[[str], float] = lambda template: 0.3, names: Sequence[str] = ("cat", "dog")):
        self.value, self.class_names = value, names
        self.scored: list[str] = []

    problem = staticmethod(problem)

    def examples(self, examples: Sequence[Any]) -> Valued:
        return self

    def score(self, templates: Sequence[str], units: Any) -> list[Score]:
        self.scored += templates
        return [score(one, round(self.value(one), 3), 1.3 - self.value(one), 1000) for one in templates]


def bench(reward: Any = None, count: int = 2, seed: int = 0, task: str = "pictures of pets", **about: Any) -> Bench:
    """Make the bench of a first step, with what is known of the images."""
    reward = reward or Valued()
    made = Bench(SearchSettings(candidates_per_step=count, seed=seed), reward, reward, task, None, Ledger())
    made.begin(0, "language model")
    for name, value in about.items():
        setattr(made, name, value)
    return made


def templates(found: Sequence[Any]) -> list[str]:
    """Return the templates of what was proposed, tried or refused."""
    return [one.template for one in found]


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return the events of a journal that are of this kind."""
    return [event for event in journal.read(folder) if kind in (event["type"], event.get("kind"))]
