"""Budgets: a run stops below a limit with the best so far, and resumes under a larger one as if it never had."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.openai_server import OpenAIServer, good
from support.runs import KEY, Ended, arguments, check_whole, events, program, result, scored

PRICED = "openai/gpt-4o-mini"
SMALL = ("--steps=4", "max_tokens=200")


@pytest.fixture(scope="module")
def unlimited(running_server: OpenAIServer, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run without limits, of the priced model."""
    from ipo.experiments.cli.app import main

    folder = tmp_path_factory.mktemp("unlimited")
    words = arguments(pictures, running_server.fresh(), "--out", str(folder / "run"), *SMALL, lm=PRICED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("IPO_CACHE_DIR", str(folder / "cache"))
        assert main(words) == 0
    return folder / "run"


def spent(found: dict[str, Any], what: str) -> float:
    used = [role for role in found["lm"].values() if role]
    if what == "usd":
        return float(sum(role["usd"] for role in used))
    return float(sum(role["tokens_in"] + role["tokens_out"] for role in used))


def test_the_unlimited_run_is_priced(unlimited: Path) -> None:
    found = check_whole(unlimited)
    assert found["stopped"] is None
    used = found["lm"]["optimizer"]
    assert used["usd"] == pytest.approx(used["tokens_in"] * 0.15e-6 + used["tokens_out"] * 0.6e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("flag", "unit", "larger"), [("--budget-tokens", "tokens", "100000"), ("--budget-usd", "usd", "1")]
)
def test_a_budget_ends_the_run_in_time_and_a_larger_one_goes_on(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    server: OpenAIServer,
    unlimited: Path,
    out: Path,
    flag: str,
    unit: str,
    larger: str,
) -> None:
    whole = spent(result(unlimited), unit)
    limit = int(0.75 * whole) if unit == "tokens" else round(0.75 * whole, 6)
    ended = run(*SMALL, flag, str(limit), lm=PRICED)
    assert ended.code == 3
    found = check_whole(out)
    assert 0 < spent(found, unit) <= limit
    assert 0 < found["steps"] < 4
    assert found["stopped"]
    assert found["template"] in scored(out)
    assert "--resume" in ended.err
    assert 0 < len(server.asked) < 4

    again = resume()
    assert again.code == 3, "the same limit stops it at the same place"
    assert result(out) == found

    assert resume(flag, larger).code == 0
    assert result(out) == result(unlimited)
    assert program(out) == program(unlimited)
    assert len(server.asked) == 4, "no request was made twice"


def test_a_time_limit_ends_the_run_with_what_it_has(
    run: Callable[..., Ended], resume: Callable[..., Ended], server: OpenAIServer, unlimited: Path, out: Path
) -> None:
    assert run(*SMALL, "--max-minutes", "0.0001", lm=PRICED).code == 3
    found = check_whole(out)
    assert found["template"] == "a photo of a <CLASS>."
    assert "minutes" in found["stopped"]
    assert not server.asked
    assert resume("--max-minutes", "60").code == 0
    assert result(out) == result(unlimited)


def test_a_limit_below_one_call_asks_nothing(run: Callable[..., Ended], server: OpenAIServer, out: Path) -> None:
    assert run("--budget-tokens", "50").code == 3
    assert not server.asked
    assert check_whole(out)["templates_scored"] == 1


def test_describing_at_once_keeps_the_budget_together(
    run: Callable[..., Ended], server: OpenAIServer, out: Path
) -> None:
    vision = ("--describer=openai/vision-model", f"describer_api_base={server.base}", "described_pictures=6")
    assert run(*vision, "--budget-tokens", "3000").code == 3
    found = check_whole(out)
    assert spent(found, "tokens") <= 3000
    assert 1 <= found["lm"]["describer"]["calls"] < 6
    assert len(server.asked) == found["lm"]["describer"]["calls"]


def test_an_unknown_price_is_not_taken_for_nothing(run: Callable[..., Ended], server: OpenAIServer, out: Path) -> None:
    ended = run("--budget-usd", "1")
    assert ended.code == 2
    assert "the price of openai/test-model is not known" in ended.sentence
    assert not server.asked
    assert not out.exists()


def test_a_failed_call_costs_nothing_known(
    run: Callable[..., Ended], server: OpenAIServer, out: Path, quick: list[float]
) -> None:
    from support.openai_server import error

    server.script.extend([error(500, "broken"), good, error(429, "slow down")])
    assert run(lm=PRICED).code == 0
    used = check_whole(out)["lm"]["optimizer"]
    assert used["calls"] == 2
    assert used["usd"] == pytest.approx(sum(event["usd"] for event in events(out, "lm")), abs=1e-6)


@pytest.mark.parametrize("describer", ["none", "openai/vision-model"])
def test_a_dry_run_asks_nothing_and_writes_nothing(
    run: Callable[..., Ended], server: OpenAIServer, out: Path, describer: str
) -> None:
    words = (f"describer={describer}", f"describer_api_base={server.base}")
    forecast = json.loads(run("--dry-run", "--json", *words, lm=PRICED).out)
    assert forecast["optimizer"]["calls"] == 2
    assert forecast["optimizer"]["usd"] > 0
    assert forecast["usd"] == (None if describer != "none" else forecast["optimizer"]["usd"])
    assert not server.asked
    assert not out.exists()
