"""How the strategy for small models asks: one template at a time, with seeds, bans and tries; a scripted engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ipo_prompts.metrics.template import named, problem
from ipo_prompts.programs.strategies.base import Expected, Known
from ipo_prompts.programs.strategies.small_model import TRIES_EACH, SmallModelStrategy, words_to_ban
from ipo_prompts.programs.templates.admission import Desk
from ipo_prompts.programs.templates.settings import SearchSettings
from support.scored import history

Make = Callable[..., tuple[Any, Any]]
HISTORY = history({"a photo of a <CLASS>.": 0.3, "a wild sketch of a <CLASS>.": 0.4})


def ask(lm: Any, count: int = 2, seed: int = 7, class_names: tuple[str, ...] = ("cat", "black bear")) -> Desk:
    desk = Desk(problem, count)
    known = Known("pictures of pets", HISTORY, class_names, ["soft light\nand grey"], seed=seed)
    SmallModelStrategy(lm).ask(known, desk)
    return desk


def test_each_template_is_asked_for_alone_until_there_are_enough(scripted: Make) -> None:
    lm, engine = scripted("a dark <CLASS> at night.", "an old <CLASS> on paper.", "never asked for <CLASS>.")
    assert ask(lm).accepted == ["a dark <CLASS> at night.", "an old <CLASS> on paper."]
    assert len(engine.requests) == 2


def test_what_is_refused_is_asked_for_again_and_only_so_often(scripted: Make) -> None:
    lm, engine = scripted(*["no slot here at all."] * 20)
    desk = ask(lm, count=2)
    assert desk.accepted == []
    assert len(engine.requests) == 2 * TRIES_EACH
    assert {rejection.reason for rejection in desk.rejected} == {"it has no <CLASS> slot"}


def test_a_cut_or_empty_reply_costs_a_try_and_is_no_rejection(scripted: Make) -> None:
    lm, engine = scripted("a photo of…", "", "a dark <CLASS> at night.")
    desk = ask(lm, count=1)
    assert (desk.accepted, desk.rejected, len(engine.requests)) == (["a dark <CLASS> at night."], [], 3)


def test_seeds_and_bans_of_a_step_follow_from_its_seed(scripted: Make) -> None:
    lm, engine = scripted("a dark <CLASS> at night.", "an old <CLASS> on paper.")
    ask(lm, seed=11)
    rng = random.Random(11)
    known, accepted = [entry.template for entry in HISTORY], ["a dark <CLASS> at night."]
    for request, before in zip(engine.requests, ([], accepted), strict=True):
        seed = rng.getrandbits(31)
        bans = words_to_ban(known, before, rng, always=["cat"])  # of longer names the words may describe
        assert request.config.seed == seed
        assert request.config.extensions["logit_bias"][2:] == bans
        assert [" cat", -5.0] in bans and [" bear", -5.0] not in bans
    lm, other = scripted("a dark <CLASS> at night.", "an old <CLASS> on paper.")
    ask(lm, seed=12)
    assert other.requests[0].config.seed != engine.requests[0].config.seed


def test_every_name_of_a_class_is_banned_and_refused(scripted: Make) -> None:
    lm, engine = scripted("a dark <CLASS> with a kitty.", "a dark <CLASS> at night.")
    desk = ask(lm, count=1, class_names=(named(["cat", "kitty"]), "black bear"))
    assert [rejection.reason for rejection in desk.rejected] == ["it names the class 'kitty'"]
    assert [" kitty", -5.0] in engine.requests[0].config.extensions["logit_bias"]


def test_a_forecast_counts_a_call_for_each_template_and_some_again() -> None:
    forecast = SmallModelStrategy().forecast(Expected(SearchSettings(steps=10, candidates_per_step=4), "pets"))
    assert forecast.calls == 52
    assert forecast.tokens_in == pytest.approx(52 * 420)
    assert forecast.tokens_out == 52 * 18
