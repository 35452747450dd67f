from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.metrics.sampling import Interval
from ipo_prompts.programs.bench import Rejection, Step
from ipo_prompts.programs.lm.ledger import Ledger, Question
from support.scored import scored

HOSTILE = "[red]x[/red] :cat: [/] \\ <CLASS>"
FIFTY = Interval(0.353, 0.647)
INITIAL = scored("a photo of a <CLASS>.", 0.25, 1.5, 40, -1, "initial")


def ledger() -> Ledger:
    ledger = Ledger()
    question = Question(key="", role="optimizer", model="model", tokens_in=1000, tokens_out=234, usd=0.0123)
    ledger.settle(ledger.take(question), state="answered")
    return ledger


def searched(template: str, *, terminal: bool, quiet: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=200, highlight=False, color_system=None)
    ui = Ui(4, quiet=quiet, console=console)
    ui.say(f"searching with {template}")
    better = scored(template, 0.5, 1.0, 40, 0, "language model")
    with ui.search(ledger()):
        ui.step(Step(-1, (INITIAL,), (), INITIAL, Interval(0.15, 0.4)))
        ui.step(Step(0, (better,), (Rejection("x", "no slot"),), better, FIFTY))
        ui.step(Step(1, (), (Rejection("x", "no slot"),), better, FIFTY))
        ui.step(Step(3, (), (), better, FIFTY))
    return file.getvalue()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_person_wants_to_know_is_there(terminal: bool) -> None:
    out = plain(searched("a sketch of a <CLASS>", terminal=terminal))
    for said in ("a sketch of a <CLASS>", "50.00 %", "4/4", "1,234 tokens", "$0.0123"):
        assert said in out
    assert terminal or len(out.splitlines()) == 2, "not a line for each step"


@pytest.mark.parametrize("terminal", [False, True])
def test_markup_and_emoji_codes_in_templates_are_only_text(terminal: bool) -> None:
    assert HOSTILE in plain(searched(HOSTILE, terminal=terminal))


def test_in_a_terminal_what_is_done_now_is_one_line_that_the_next_takes_away() -> None:
    file = io.StringIO()
    ui = Ui(4, console=Console(file=file, force_terminal=True, width=40, highlight=False, color_system=None))
    with ui.running():
        ui.passing(f"loading {'x' * 60}")
        ui.passing("encoding")
        ui.say("said")
        ui.passing("ending")
    shown = re.sub(r"[^\n\r]*\r\x1b\[2K", "", file.getvalue())
    assert plain(shown) == "said\n", "of the others nothing is left"
    assert len(plain(file.getvalue()).split("\r")[0]) == 40


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_says_nothing_but_warnings(terminal: bool) -> None:
    assert searched("a <CLASS>", terminal=terminal, quiet=True) == ""
    file = io.StringIO()
    Ui(1, quiet=True, console=Console(file=file, width=20)).warn(f"stopped early: {HOSTILE}")
    assert file.getvalue() == f"stopped early: {HOSTILE}\n"
