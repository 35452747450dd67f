from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.plan import Plan, estimate
from ipo_prompts.programs.lm.connect import Backend
from ipo_prompts.programs.phrases import LONGEST_LOOK


def price(tokens_in: int, tokens_out: int) -> float | None:
    return tokens_in * 1e-6 + tokens_out * 2e-6


def planned(words: list[str], optimizer: Backend | None, describer: Backend | None = None) -> Plan:
    data: Any = SimpleNamespace(task="pictures of pets", read=frozenset())
    drawn: Any = SimpleNamespace(train=[None] * 10, val=(), test=(), new_test=(), class_names=("cat", "dog"))
    return Plan(load_config(None, words), data, drawn, optimizer, describer)


def backend(small: bool = False, cost: Any = price) -> Backend:
    return Backend("local/model" if small else "model", None, cost)


def test_an_api_model_is_asked_once_a_step() -> None:
    found = estimate(planned(["strategy=history", "steps=7", "candidates_per_step=4"], backend()))
    part = found["optimizer"]
    assert part["calls"] == 7
    assert 7 * 3000 < part["tokens_in"] < 7 * 10_000
    assert part["tokens_out"] == 7 * 1024
    assert part["usd"] == price(part["tokens_in"], part["tokens_out"])
    assert found["usd"] == part["usd"]
    assert found["describer"] is None


def test_one_by_one_an_api_model_is_asked_for_each_template() -> None:
    words = ["strategy=history", "steps=7", "candidates_per_step=4"]
    together = estimate(planned(words, backend()))["optimizer"]
    alone = estimate(planned([*words, "strategy.one_by_one=true"], backend()))["optimizer"]
    assert (together["calls"], alone["calls"]) == (7, 28)
    assert alone["tokens_in"] > 3.9 * together["tokens_in"]


def test_a_describer_is_counted_once_an_image() -> None:
    found = estimate(planned(["describer=openai/x", "described_images=16"], backend(), backend()))
    assert found["describer"]["calls"] == 10
    assert found["usd"] == pytest.approx(found["optimizer"]["usd"] + found["describer"]["usd"])


@pytest.mark.parametrize("unknown", ["optimizer", "describer"])
def test_an_unknown_price_is_unknown_and_not_zero(unknown: str) -> None:
    def none(*_: int) -> None:
        return None

    both = {"optimizer": backend(), "describer": backend()} | {unknown: backend(cost=none)}
    found = estimate(planned(["describer=openai/x"], **both))
    assert found[unknown]["usd"] is None
    assert found["usd"] is None


def test_a_search_without_a_language_model_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a negative of a <CLASS>.\n")
    found = estimate(planned(["lm=none", "strategy=list", f"strategy.file={tmp_path}/mine.txt"], None))
    nothing = dict.fromkeys(("optimizer", "describer"))
    made = {"images": 10, "views": 30, "texts": 2 * (1 + 12 * 5 + 80)}
    assert found == {**nothing, "tokens": 0, "usd": 0, "seconds": 0, **made}


def test_descriptions_cost_at_most_what_is_shown_of_them() -> None:
    words = ["strategy=history", "steps=7", "strategy.phrases=false"]
    none, asked, given = (
        estimate(planned([*words, f"describer={describer}"], backend()))["optimizer"]["tokens_in"]
        for describer in ("none", "openai/x", "file:desc.txt")
    )
    assert asked - none == given - none == 7 * 5000


def test_without_a_describer_the_phrases_are_counted() -> None:
    shown, hidden = (
        estimate(planned(["strategy=history", "steps=7", f"strategy.phrases={shown}"], backend()))
        for shown in ("true", "false")
    )
    assert shown["texts"] - hidden["texts"] > 2 * 250
    assert shown["optimizer"]["tokens_in"] - hidden["optimizer"]["tokens_in"] == 7 * LONGEST_LOOK
