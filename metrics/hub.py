"""The Hugging Face hub, before something large is fetched from it: does it answer, and how much will come?

Its own clients try again for most of a minute before they say that there is no network.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from ipo_prompts.metrics.errors import InputError

T = TypeVar("T")
SECONDS = 5.0
"""For the first answer, name look-up and redirects included."""

logger = logging.getLogger(__name__)


def announce(what: str, repository: str, names: Sequence[str]) -> None:
    """Say what will be fetched and its size; nothing where one of the files is here already.

    Args:
        what: its name in messages.
        repository: ORG/REPO of a model.
        names: of the file, the first one that the hub has counts.

    Raises:
        InputError: "it is not on this machine" and the hub does not answer. What the hub answers of a wrong name is
            left to who fetches.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        if any(isinstance(try_to_load_from_cache(repository, name), str) for name in names):
            return
    except HFValidationError:
        return
    for name in names:
        url = hf_hub_url(repository, name)
        try:
            found = reach(lambda url=url: get_hf_file_metadata(url, timeout=SECONDS), "it")  # type: ignore[misc]
        except EntryNotFoundError:
            continue
        size = f" ({found.size / 1e6:,.0f} MB)" if found and found.size else ""
        logger.warning("fetching %s%s from the Hugging Face hub, once", what, size, extra={"progress": True})
        return


def reach(ask: Callable[[], T], what: str, advice: str = "check the network") -> T | None:
    """Ask the hub something small; None where it answers with an error other than "no such file".

    Raises:
        EntryNotFoundError: there is no such file.
        HFValidationError: there can be no such name.
        InputError: the hub does not answer; `what` is what was wanted of it.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    if constants.HF_HUB_OFFLINE:
        raise InputError(f"{what} is not on this machine and HF_HUB_OFFLINE is set; unset it, or {advice}.")
    try:
        return within(SECONDS, ask)
    except (EntryNotFoundError, HFValidationError):
        raise
    except HfHubHTTPError:
        return None
    except Exception as error:  # what there is below HTTP has no common class
        raise InputError(
            f"{what} is not on this machine and the Hugging Face hub does not answer ({reason(error)}); {advice}."
        ) from error


def reason(error: Exception) -> str:
    """Return what an error of the hub's client says, on one line of at most 200 characters."""
    return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises. It is given up after so many seconds.

    Raises:
        TimeoutError: it has not ended by then.
    """
    ended: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            ended.append(call())
        except Exception as error:  # raised again below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)  # since no timeout covers a name server that does not answer
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not ended:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return ended[0]
