"""Show a run to a person: a live block in a terminal, a few plain lines elsewhere, only warnings when quiet.

Everything is written to stderr; stdout is for results. This module also fetches the weights of a local language model
before a run.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console, Group
from rich.control import Control
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import ControlType
from rich.text import Text

from ipo_prompts.experiments.run.config import RunConfig, about_preset
from ipo_prompts.metrics.clip import check_name
from ipo_prompts.metrics.clock import Wait
from ipo_prompts.metrics.errors import InputError, money
from ipo_prompts.metrics.scale import FRACTION
from ipo_prompts.programs.bench import Step
from ipo_prompts.programs.lm import weights
from ipo_prompts.programs.lm.ledger import Ledger

FIRST_WAIT_SECONDS = 60
"""How many seconds a wait lasts before a plain line says what the run waits for.

Another line follows each time that the wait has doubled.
"""
STEPS_A_LINE = 6
"""Where there is no live block, a line tells the best template so far after so many steps, and after the last."""


class Ui:
    """The view of one run of at most `steps` steps, on stderr unless a console is given.

    A quiet view shows only warnings. `scale` is the scale of the values that are shown.
    """

    def __init__(self, steps: int, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._steps = steps
        self.quiet = quiet
        self._passing = False
        self._searching = False
        self._live = self.console.is_terminal and not quiet
        self._ledger: Ledger | None = None
        self.scale = FRACTION
        self._rows: list[Text] = []
        self._wait: Wait | None = None
        self._next_wait = FIRST_WAIT_SECONDS
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )

    # Templates are untrusted text. They are passed to rich as `Text`: rich reads no markup and no :emoji: codes in it.

    def say(self, text: str) -> None:
        """Show one line."""
        if not self.quiet:
            self._wipe()
            self.console.print(Text(text), soft_wrap=True)

    def passing(self, text: str) -> None:
        """Show what is done now, only in a terminal: the next line overwrites this line.

        While the live block of a search is shown, nothing is written.
        """
        if self._live and not self._searching:
            self._wipe()
            self.console.print(Text(text), end="", no_wrap=True, overflow="ellipsis")
            self._passing = True

    def _wipe(self) -> None:
        """Remove the line that `passing` wrote."""
        if self._passing:
            self.console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
            self._passing = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the warnings that IPO logs as plain lines, and nowhere else, while the block runs.

        A quiet view leaves out log records with the mark `progress`: they are about nothing that changes a number.
        However the block ends, the line of `passing` is removed.
        """
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: (  # type: ignore[method-assign]
            self.say if getattr(record, "progress", False) else self.warn
        )(record.getMessage())
        LOGGER.addHandler(handler)
        LOGGER.propagate = False
        try:
            yield
        finally:
            LOGGER.removeHandler(handler)
            LOGGER.propagate = True
            self._wipe()

    def fetch(self, configs: Sequence[RunConfig]) -> None:
        """Fetch the weights that searches with `--lm local…` need and lack; in a terminal, ask first.

        Raises:
            InputError: the runtime is missing, the person said no, or the weights cannot be fetched.
        """
        from ipo_prompts.programs.lm import is_local
        from ipo_prompts.programs.lm.local import runtime, wanted_weights

        for name in sorted({config.lm for config in configs if config.asks_lm and is_local(config.lm)}):
            wanted = wanted_weights(name)
            if wanted is None or weights.find(wanted):
                continue
            runtime()  # without it, the weights would be fetched in vain
            question = f"The local language model is not here: {weights.model(wanted)}. Fetch it?"
            if sys.stdin and sys.stdin.isatty() and not typer.confirm(question, default=True, err=True):
                pull = f"`ipo models pull {wanted}`"
                raise InputError(f"without weights there is no local model; {pull}, or type `--lm none`.")
            weights.pull(wanted, self.say)

    def warn(self, text: str) -> None:
        """Show one line even when quiet."""
        self._wipe()
        self.console.print(Text(text, style="yellow"), soft_wrap=True)

    def images(self, what: str) -> Callable[[int, int], None]:
        """Return a callback for the encoding of a part; it takes the number of encoded images and of all images.

        Where lines stay, there is one each minute.
        """
        shown = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal shown
            text = f"{what}: {done:,} of {total:,} images encoded"
            self.passing(text)
            if not self._live and time.monotonic() - shown > 60:
                self.say(text)
                shown = time.monotonic()

        return progress

    @contextmanager
    def search(self, ledger: Ledger) -> Iterator[None]:
        """Show the search and what it waits for, while the block runs. In a terminal, nothing of it is left."""
        self._ledger = ledger
        ledger.on_wait = self._waiting
        if not self._live:
            yield
            return
        self._wipe()
        self._progress.add_task("search", total=self._steps)
        self._searching = True
        try:
            with Live(get_renderable=self._render, console=self.console, refresh_per_second=4, transient=True):
                yield
        finally:
            self._searching = False

    def _waiting(self, wait: Wait | None) -> None:
        """Show what the run waits for: always in a live view, elsewhere as a line now and then."""
        self._wait = wait
        if wait is None or wait.seconds < FIRST_WAIT_SECONDS:
            self._next_wait = FIRST_WAIT_SECONDS
        elif not self._live and wait.seconds >= self._next_wait:
            self._next_wait *= 2
            self.say(str(wait))

    def step(self, step: Step) -> None:
        """Show a finished step; the callback of `IPO`."""
        ledger = self._ledger
        if ledger is None:
            return
        done = step.number + 1
        best, low, high = (self.scale.told(value) for value in (step.best.value, *step.interval))
        spent = _spending(ledger) if ledger.tokens or ledger.usd else []
        if self._live:
            self._progress.update(self._progress.task_ids[0], completed=done)
            self._rows = [
                Text(step.best.template, style="bold green"),
                *map(Text, [f"{best} [{low}, {high}] on train images", *spent]),
            ]
        elif done and (done % STEPS_A_LINE == 0 or done == self._steps):
            about = "".join(f", {one}" for one in spent)
            self.say(f"step {done}/{self._steps}{about}: best so far in the search {best}  {step.best.template}")

    def _render(self) -> Group:
        waiting = [Text(str(self._wait))] if self._wait is not None and self._wait.seconds >= 2 else []
        return Group(self._progress, *self._rows, *waiting)


def _spending(ledger: Ledger) -> list[str]:
    """Return the tokens and the dollars used; a quantity with a limit also has the rest of its limit."""
    tokens, usd = f"{ledger.tokens:,} tokens", money(ledger.usd)
    if ledger.limit_tokens is not None:
        tokens += f" ({max(0, ledger.limit_tokens - ledger.tokens):,} left)"
    if ledger.limit_usd is not None and ledger.usd is not None:
        usd += f" ({money(max(0.0, ledger.limit_usd - ledger.usd))} left)"
    return [tokens, usd]


LOGGER = logging.getLogger("ipo_prompts")
"""The logger of the package. All that IPO logs reaches it; IPO adds no handler to it, except while a view shows a run.
"""


class Logged(Ui):
    """A view that prints nothing: progress is logged at the level INFO, and warnings at the level WARNING."""

    say = staticmethod(LOGGER.info)  # type: ignore[assignment]  # a logger takes further arguments, too
    warn = staticmethod(LOGGER.warning)  # type: ignore[assignment]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Change no handler: what IPO logs goes where the caller sends it."""
        yield


def view(config: RunConfig, ui: Ui) -> Ui:
    """Return a view of a run, after it has shown the first lines.

    Raises:
        InputError: there is no CLIP of that name.
    """
    check_name(config.clip)
    for line in about_preset(config):
        ui.say(line)
    return ui
