from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ipo.experiments.run.config import load_config
from ipo.experiments.run.estimate import estimate
from ipo.programs.lm.connect import Backend


def price(tokens_in: int, tokens_out: int) -> float | None:
    return tokens_in * 1e-6 + tokens_out * 2e-6


def prepared(optimizer: Backend, describer: Backend | None = None) -> Any:
    return SimpleNamespace(
        optimizer=optimizer,
        describer=describer,
        data=SimpleNamespace(task="pictures of pets"),
        drawn=SimpleNamespace(search=[None] * 10),
    )


def backend(small: bool = False, cost: Any = price) -> Backend:
    return Backend("model", None, cost, small)


def test_an_api_model_is_asked_once_a_step() -> None:
    found = estimate(load_config(None, ["steps=7", "candidates_per_step=4"]), prepared(backend()))
    part = found["optimizer"]
    assert part["calls"] == 7
    assert 7 * 100 < part["tokens_in"] < 7 * 2000
    assert part["tokens_out"] >= 7 * 4 * 10
    assert part["usd"] == price(part["tokens_in"], part["tokens_out"])
    assert found["usd"] == part["usd"]
    assert found["describer"] is None


def test_a_small_model_is_asked_for_each_template() -> None:
    config = load_config(None, ["steps=10", "candidates_per_step=5"])
    assert estimate(config, prepared(backend(small=True)))["optimizer"]["calls"] >= 50


def test_a_describer_is_counted_once_a_picture() -> None:
    config = load_config(None, ["describer=openai/x", "described_pictures=16"])
    found = estimate(config, prepared(backend(), backend()))
    assert found["describer"]["calls"] == 10
    assert found["usd"] == pytest.approx(found["optimizer"]["usd"] + found["describer"]["usd"])


@pytest.mark.parametrize("unknown", ["optimizer", "describer"])
def test_an_unknown_price_is_unknown_and_not_zero(unknown: str) -> None:
    def none(*_: int) -> None:
        return None

    both = {"optimizer": backend(), "describer": backend()} | {unknown: backend(cost=none)}
    found = estimate(load_config(None, ["describer=openai/x"]), prepared(**both))
    assert found[unknown]["usd"] is None
    assert found["usd"] is None


@pytest.mark.parametrize("word", ["history_size=40", "candidates_per_step=20", "steps=30"])
def test_a_larger_job_costs_more(word: str) -> None:
    small, large = (estimate(load_config(None, words), prepared(backend()))["usd"] for words in ([], [word]))
    assert large > small
