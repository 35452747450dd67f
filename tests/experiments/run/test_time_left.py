"""The time left of a search, by a clock that its texts and replies move as in real searches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ipo_prompts.experiments.run.time_left import TimeLeft, work_of
from ipo_prompts.metrics import clock
from ipo_prompts.metrics.surrogate import BEST, FEWEST, SAMPLE, few_of
from ipo_prompts.programs.lm.ledger import Ledger, Usage
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Models
from ipo_prompts.programs.templates.settings import SearchSettings

PHRASE = 247
COMPOSED = (274, 335, 339, 422, 395, 409, 416, 390, 417, 519, 460, 450)
"""The tokens that pass the text tower for a phrase, and for a composed template of each step: counted in a search on
the embedded pictures without a language model. Their mean is 1.62 times that of a phrase."""
PHRASES = 304
REPLIES = (1.4, 0.7, 1.0, 0.8, 1.3, 0.6, 1.2)
"""How long the replies of a language model take, over their mean."""


def planned(name: str, steps: int, classes: int, *, asks: bool) -> Any:
    kind = STRATEGIES.find(name)
    return SimpleNamespace(
        config=SimpleNamespace(search=SearchSettings(steps=steps)),
        data=SimpleNamespace(task="pictures"),
        drawn=SimpleNamespace(class_names=["cat"] * classes),
        unasked=kind.build(kind.Settings(), Models(given=asks)),
    )


@pytest.mark.parametrize(
    ("name", "steps", "classes", "words", "token", "reply"),
    [
        ("compose", 12, 68, 7, 1e-5, 0.0),  # without a language model
        ("compose", 12, 68, 0, 1e-5, 0.0),
        ("compose", 12, 1000, 18, 1e-5, 0.0),
        ("compose", 12, 68, 70, 1e-5, 0.5),  # texts take longest
        ("compose", 12, 68, 70, 1e-6, 3.0),  # replies take longest
        ("compose", 12, 1000, 18, 1e-5, 5.0),
        ("history", 100, 68, 0, 1e-6, 3.0),
        ("no-history", 50, 200, 0, 1e-5, 1.0),
    ],
)
def test_after_the_first_tenth_the_time_left_is_within_thirty_percent(
    name: str, steps: int, classes: int, words: int, token: float, reply: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, ledger, told = [0.0], Ledger(), list[tuple[float, float | None]]()
    monkeypatch.setattr(clock, "now", lambda: now[0])
    usage = ledger.roles["optimizer"] = Usage("model")
    plan = planned(name, steps, classes, asks=reply > 0)
    left = TimeLeft(steps, work_of(plan), ledger)

    def waits() -> None:
        if reply:
            waited = reply * REPLIES[usage.calls % len(REPLIES)]
            now[0] += waited
            usage.add({"waited": waited, "cached": False})

    def scored(count: int, tokens: int, around: str) -> None:
        whole = count
        if classes > 70 and count > FEWEST:  # only the promising ones are encoded with all class names
            whole = -(-count // BEST) + (count // SAMPLE) * (not around)
        cost = whole + (count - whole) * few_of(classes) / classes
        now[0] += cost * classes * tokens * token
        left.scored(cost, around)
        told.append((now[0], left.seconds()))

    waits()  # for words of the domain, before the first step
    now[0] += 20
    left.scored(0)
    began = now[0]
    for step in range(steps):
        tokens = COMPOSED[min(step, 11)]
        if name == "compose":
            for count in (words, PHRASES) * (step == 0):
                scored(count, PHRASE, "")
        waits()
        if name == "compose":
            for count in (50, 50):
                scored(count, tokens, "a <CLASS>.")
        now[0] += 5 * tokens * classes * token
        left.step(5)
        told.append((now[0], left.seconds()))
    tenth, last = began + (now[0] - began) / 10, now[0] - (now[0] - began) / steps
    known = [(at, seconds) for at, seconds in told if at <= tenth and seconds is not None]
    assert bool(known) == (words > 0 or name != "compose"), "before the first batch is scored, nothing is known"
    for at, seconds in known[-1:]:
        assert seconds - (tenth - at) == pytest.approx(now[0] - tenth, rel=0.3)
    for at, seconds in told:
        if tenth <= at < last:
            assert seconds == pytest.approx(now[0] - at, rel=0.3), f"at {(at - began) / (now[0] - began):.0%}"
