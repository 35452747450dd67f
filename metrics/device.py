"""The devices and cores that a run uses, and the Hugging Face hub that it fetches models from."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from ipo_prompts.metrics.clock import answer_within
from ipo_prompts.metrics.errors import InputError, reason

AUTO = "auto"
Precision = Literal["fp32", "fp16", "bf16"]
T = TypeVar("T")


def devices() -> list[str]:
    """Return the names of the torch devices of this machine, the fastest first."""
    import torch

    here = ["cpu"]
    if best := torch.accelerator.current_accelerator(check_available=True):
        here[:0] = [best.type, *(f"{best.type}:{number}" for number in range(torch.accelerator.device_count()))]
    return here


def find_device(wanted: str) -> str:
    """Return the name of the torch device to use. `auto` means CUDA, MPS or another accelerator, else the CPU.

    Raises:
        InputError: this machine has no such device; the message lists the devices that it has.
    """
    here = devices()
    if wanted == AUTO:
        return here[0]
    if wanted not in here:
        raise InputError(f"there is no device {wanted!r} here; device can be {', '.join([AUTO, *here])}.")
    return wanted


# Errors of a device.


_NO_MEMORY = re.compile("out of memory|not enough memory|can't allocate memory", re.IGNORECASE)
"""The texts of torch's errors for memory that is used up. Only CUDA and XPU have a class for this error."""
_OF_A_DEVICE = re.compile(
    r"(same|different) devices?\b|is on CPU|on MPS device|not .*implemented for the \w+ device|"
    r"(CUDA|HIP|MPS|XPU|cuDNN) error"
)
"""The texts of torch's errors, of no class of their own, for tensors on two devices and for a device that failed."""


def is_of_device(error: Exception) -> bool:
    """Whether an error says something of the device, and nothing of the model or the input."""
    import torch

    if isinstance(error, (torch.AcceleratorError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)) or _OF_A_DEVICE.search(str(error)))


def halving(run: Callable[[int], T], size: int) -> T:
    """Return `run(size)`. While the memory of the device does not suffice, halve `size`, down to 1.

    Each call begins with the whole size again, because other processes may have freed memory since.
    """
    while True:
        try:
            return run(size)
        except RuntimeError as error:  # its traceback holds tensors, so the next attempt begins after this block
            if size == 1 or not _NO_MEMORY.search(str(error)):
                raise
        size //= 2
        warnings.warn(f"the memory of the device is too small: batches have {size} rows now.", stacklevel=2)


# How the threads of numerical libraries share the cores of the machine.


SPINS = 1000
"""How many rounds a thread of GNU's OpenMP waits busily for more work before it sleeps.

The rounds take some microseconds, about the time between two layers. On two free cores a search takes 45 s with this
wait, and 60 s if threads sleep at once; without a language model, 17 s and 21 s. Beside another process on the same
cores the wait is slower: 85 s and 69 s. So the wait is no longer than this.
"""


def wait_briefly() -> None:
    """Let OpenMP's threads sleep after a short wait, unless the user has set OMP_WAIT_POLICY.

    This has to be called before a library loads OpenMP.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return
    if sys.platform == "linux":
        # "passive" would let threads sleep at once if two libraries use OpenMP, as torch and llama.cpp do here.
        os.environ["OMP_WAIT_POLICY"] = "active"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    else:
        os.environ["OMP_WAIT_POLICY"] = "passive"


@contextmanager
def one_for_numpy() -> Iterator[None]:
    """Let numpy multiply matrices in one thread while the block runs.

    The products here are small, and further threads of OpenBLAS would wait busily.
    """
    from threadpoolctl import ThreadpoolController

    loaded = ThreadpoolController()
    files = [library["filepath"] for library in loaded.info() if library["internal_api"] == "openblas"]
    torchs = {"torch", "torch.libs"}  # on some processors torch brings its own OpenBLAS, for its own large products
    with loaded.select(filepath=[file for file in files if not torchs & {*Path(file).parts}]).limit(limits=1):
        yield


# Before a large file is fetched from the Hugging Face hub: does the hub answer, and how large is the file?
#
# The hub's own clients try again for most of a minute before they report that there is no network.


class Unreachable(InputError):
    """A file is not on this machine, and the Hugging Face hub does not answer or may not be asked."""


SECONDS = 5.0
"""The seconds to wait for the hub's first answer; name look-up and redirects count."""

logger = logging.getLogger(__name__)


def announce(what: str, repository: str, names: Sequence[str]) -> None:
    """Tell the user which model will be fetched and how large its file is.

    Nothing is told if a file with one of the names is already on this machine.

    Args:
        what: the name of the model in messages.
        repository: the repository of the model, ORG/REPO.
        names: the names that the file may have; the first name that the hub has is the file.

    Raises:
        InputError: the file is not on this machine and the hub does not answer. A wrong name is no error here: it is
            reported when the file is fetched.
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
    """Return the hub's answer to a small question; None if the answer is an HTTP error other than "no such file".

    Args:
        ask: the function that asks the hub.
        what: the name, in messages, of the thing that is asked for.
        advice: the remedy that messages propose.

    Raises:
        EntryNotFoundError: there is no such file.
        HFValidationError: the hub allows no such name.
        Unreachable: the hub does not answer, or HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    if constants.HF_HUB_OFFLINE:
        raise Unreachable(f"{what} is not on this machine and HF_HUB_OFFLINE is set; unset it, or {advice}.")
    try:
        return answer_within(ask, SECONDS)
    except (EntryNotFoundError, HFValidationError):
        raise
    except HfHubHTTPError:
        return None
    except Exception as error:  # errors of the network, below HTTP, have no common class
        raise Unreachable(
            f"{what} is not on this machine and the Hugging Face hub does not answer ({reason(error)}); {advice}."
        ) from error
