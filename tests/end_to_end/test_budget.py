"""Budgets: a run stops below a limit with the best so far, and resumes under a larger one as if it never had."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.late import end_before_the_search
from support.openai_server import OpenAIServer, Reply, error, good
from support.pages import DOCS
from support.runs import KEY, Ended, answered, arguments, check_whole, ipo, program, result, scored, unanswered

PRICED = "openai/gpt-4o-mini"
SMALL = ("--steps=4", "max_tokens=200")


@pytest.fixture(scope="module")
def unlimited(running_server: OpenAIServer, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run without limits, of the priced model."""
    from ipo_prompts.experiments.cli.app import main

    folder = tmp_path_factory.mktemp("unlimited")
    words = arguments(images, running_server.fresh(), "--out", str(folder / "run"), *SMALL, lm=PRICED)
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


def as_asked(folder: Path) -> list[dict[str, Any]]:
    """Return the questions as they were booked before they were sent."""
    lines = map(json.loads, (folder / "replies.jsonl").read_text().splitlines())
    return [line for line in lines if line.get("state") == "asked"]


@pytest.mark.parametrize(("flag", "unit"), [("--budget-tokens", "tokens"), ("--budget-usd", "usd")])
def test_a_budget_ends_the_run_in_time_and_a_larger_one_goes_on(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    server: OpenAIServer,
    unlimited: Path,
    out: Path,
    flag: str,
    unit: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Room for the most that one more call can use, and for what two of the four have used.
    asked = max(question["tokens_in"] for question in as_asked(unlimited))
    most = asked + 200 if unit == "tokens" else asked * 0.15e-6 + 200 * 0.6e-6
    limit = round(0.4 * spent(result(unlimited), unit) + most, 0 if unit == "tokens" else 6)
    limit = int(limit) if unit == "tokens" else limit
    ended = run(*SMALL, flag, str(limit), lm=PRICED)
    assert ended.code == 3
    found = check_whole(out)
    assert 0 < spent(found, unit) <= limit
    assert 0 < found["steps"] < 4
    assert found["stopped"]
    assert found["template"] in scored(out)
    (command,) = re.findall(r"resume with a larger limit: ipo (.*)", ended.err)
    assert command.startswith(f"optimize --resume {out} {flag} ")
    assert 0 < len(server.asked) < 4

    again = resume()
    assert again.code == 3, "the same limit stops it at the same place"
    assert result(out) == found

    assert ipo(capfd, *shlex.split(command)).code == 0, "the limit that is named is enough to end"
    assert result(out) == result(unlimited)
    assert program(out) == program(unlimited)
    assert len(server.asked) == 4, "no request was made twice"


def test_a_time_limit_ends_the_run_with_what_it_has(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    server: OpenAIServer,
    unlimited: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        end_before_the_search(patch)
        assert run(*SMALL, "--max-minutes", "10", lm=PRICED).code == 3
    found = check_whole(out)
    assert found["template"] == "a photo of a <CLASS>."
    assert "minutes" in found["stopped"]
    assert not server.asked
    assert resume("--max-minutes", "60").code == 0
    assert result(out) == result(unlimited)


def test_a_failed_call_costs_nothing_known(
    run: Callable[..., Ended], server: OpenAIServer, out: Path, quick: list[float]
) -> None:
    server.script.extend([error(500, "broken"), good, error(429, "slow down")])
    assert run(lm=PRICED).code == 0
    used = check_whole(out)["lm"]["optimizer"]
    assert used["calls"] == 2
    assert used["usd"] == pytest.approx(sum(one.usd or 0 for one in answered(out)), abs=1e-6)


ROW = re.compile(r"^\|`ipo (optimize [^`]+)`\|(\d+)\|([\d,]+)\|([\d,]+)\|", re.M)


@pytest.mark.parametrize("row", ROW.findall((DOCS / "how-to/costs.md").read_text("utf-8")), ids=lambda row: row[0])
def test_the_dry_runs_of_the_page_on_costs_are_todays(
    row: tuple[str, ...],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    found = json.loads(ipo(capfd, *shlex.split(row[0]), "--dry-run", "--json").out)["optimizer"]
    assert [f"{found[key]:,}" for key in ("calls", "tokens_in", "tokens_out")] == list(row[1:])


def test_a_question_that_was_not_answered_in_time_is_booked_and_stays_booked(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    server: OpenAIServer,
    out: Path,
    quick: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.lm.connect.TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr("ipo_prompts.programs.lm.connect.RETRIES", 0)
    server.script.extend([good, Reply("too late", wait=4)])
    ended = run("max_tokens=200", lm=PRICED)
    assert ended.code == 1
    (lost,) = unanswered(out)
    assert lost.tokens_in >= len(server.asked[1].text.encode())
    assert lost.tokens_out == 200
    assert lost.usd
    assert resume().code == 0
    known = answered(out)
    used = check_whole(out)["lm"]["optimizer"]
    assert used["tokens_in"] == sum(one.tokens_in for one in known) + lost.tokens_in
    assert used["usd"] == pytest.approx(sum(one.usd or 0 for one in known) + lost.usd, abs=1e-6)
