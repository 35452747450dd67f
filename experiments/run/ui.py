"""The interface of objects that show a run to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.metrics.scale import Scale
    from ipo_prompts.programs.lm.ledger import Ledger
    from ipo_prompts.programs.search import Step


class Shows(Protocol):
    """An object that shows a run to a person; `live_view.Ui` shows it on stderr."""

    scale: Scale
    """The scale of the values that are shown."""

    def fetch(self, configs: Sequence[RunConfig]) -> None:
        """Fetch the weights that runs need and that are not here.

        Raises:
            InputError: the weights cannot be fetched, or the person said no.
        """

    def running(self) -> AbstractContextManager[None]:
        """Show the warnings that IPO logs while a block runs; when the block ends, remove the line of `passing`."""

    def say(self, text: str) -> None:
        """Show one line."""

    def passing(self, text: str) -> None:
        """Show what is done now, in a line that the next line may overwrite."""

    def warn(self, text: str) -> None:
        """Show one line even when quiet."""

    def pictures(self, what: str) -> Callable[[int, int], None]:
        """Return a callback for the encoding of a part; it takes the number of encoded pictures and of all pictures."""

    def search(self, ledger: Ledger) -> AbstractContextManager[None]:
        """Show the search and what it waits for, while a block runs."""

    def step(self, step: Step) -> None:
        """Show a finished step."""
