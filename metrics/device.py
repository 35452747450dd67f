"""What a run needs from outside: devices, cores, and the hub from which models are fetched."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ipo_prompts.metrics.clock import answer_within
from ipo_prompts.metrics.errors import InputError, reason

AUTO = "auto"


def find_device(wanted: str) -> str:
    """Return the torch device that is wanted; for `auto` it is CUDA or MPS where there is one, else the CPU.

    Raises:
        InputError: this machine has no such device; the message lists the devices that it has.
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here[:0] = ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if wanted == AUTO:
        return here[0]
    if wanted not in here:
        raise InputError(f"there is no device {wanted!r} here; device can be {', '.join([AUTO, *here])}.")
    return wanted


# How the threads of numerical libraries share the cores.


SPINS = 1000
"""How many rounds a thread of GNU's OpenMP waits busily for more work: some microseconds, as between two layers.

On two free cores a search takes 45 s with this, and 60 s where threads sleep at once; without a language model, 17 s
and 21 s. Beside another process on the same cores it is the other way round, 85 s and 69 s. So the wait is no longer.
"""


def wait_briefly() -> None:
    """Let OpenMP's threads sleep soon, unless the user set it otherwise. Call it before a library loads OpenMP."""
    if "OMP_WAIT_POLICY" in os.environ:
        return
    if sys.platform == "linux":
        # "passive" would let threads sleep at once where two libraries use them, as torch and llama.cpp do here.
        os.environ["OMP_WAIT_POLICY"] = "active"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    else:
        os.environ["OMP_WAIT_POLICY"] = "passive"


@contextmanager
def one_for_numpy() -> Iterator[None]:
    """Let numpy multiply in one thread: more threads of OpenBLAS would wait busily, and the products here are small."""
    from threadpoolctl import ThreadpoolController

    loaded = ThreadpoolController()
    files = [library["filepath"] for library in loaded.info() if library["internal_api"] == "openblas"]
    torchs = {"torch", "torch.libs"}  # on some processors torch brings its own OpenBLAS, for its own large products
    with loaded.select(filepath=[file for file in files if not torchs & {*Path(file).parts}]).limit(limits=1):
        yield


# The Hugging Face hub, before something large is fetched: does it answer, and how much will come?
#
# The hub's own clients try again for most of a minute before they say that there is no network.

T = TypeVar("T")
SECONDS = 5.0
"""How long to wait for the hub's first answer, with name look-up and redirects."""

logger = logging.getLogger(__name__)


def announce(what: str, repository: str, names: Sequence[str]) -> None:
    """Say what will be fetched and how large it is; say nothing if one of the files is on this machine already.

    Args:
        what: the name of the model in messages.
        repository: ORG/REPO of a model.
        names: possible names of the file; the first that the hub has counts.

    Raises:
        InputError: the file is not on this machine and the hub does not answer. A wrong name is no error here: the
            fetching that follows reports it.
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
    """Return the hub's answer to a small question; None if the answer is an error other than "no such file".

    Args:
        ask: asks the hub.
        what: the thing that is asked for, for messages.
        advice: what else to do, for messages.

    Raises:
        EntryNotFoundError: there is no such file.
        HFValidationError: there can be no such name.
        InputError: the hub does not answer, or HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    if constants.HF_HUB_OFFLINE:
        raise InputError(f"{what} is not on this machine and HF_HUB_OFFLINE is set; unset it, or {advice}.")
    try:
        return answer_within(ask, SECONDS)
    except (EntryNotFoundError, HFValidationError):
        raise
    except HfHubHTTPError:
        return None
    except Exception as error:  # errors below HTTP have no common class
        raise InputError(
            f"{what} is not on this machine and the Hugging Face hub does not answer ({reason(error)}); {advice}."
        ) from error
