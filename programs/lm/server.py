"""Start llama.cpp (through `xllamacpp`) so that a process that starts it and ends at once does not hang."""

from __future__ import annotations

import threading
from typing import Any

from ipo.metrics.errors import InputError

FIRST_ANSWER_SECONDS = 60
"""How long a loaded model may take to say that it is ready; this takes milliseconds, even on a busy machine."""


def import_runtime() -> Any:
    """Import xllamacpp. Torch first: it may bring the libgomp that xllamacpp's wheel needs and does not bring."""
    import torch  # noqa: F401

    try:
        import xllamacpp
    except ModuleNotFoundError as error:
        raise InputError("the local language model needs its runtime: pip install 'ipo-prompts[local]'.") from error
    except ImportError as error:
        raise InputError(
            f"the local model's runtime cannot be loaded ({error}); if libgomp is missing: apt-get install libgomp1."
        ) from error
    return xllamacpp


def start_server(xllamacpp: Any, parameters: Any) -> Any:
    """Start a server and return it once its loop has answered.

    A server that is destroyed before its loop has begun misses the signal to end, and its destructor then waits
    forever with the interpreter locked. So a thread of its own holds it until then; Ctrl-C cannot end that thread,
    since Python raises it in the main thread only. Asking for metrics passes through the loop's queue and evaluates
    nothing, so the replies stay the same to the bit.
    """
    outcome: list[Any] = []
    is_loaded = threading.Event()

    def start() -> None:
        try:
            server = xllamacpp.Server(parameters)
            is_loaded.set()
            server.handle_metrics()
            outcome.append(server)
        except BaseException as error:
            outcome.append(error)
            is_loaded.set()

    thread = threading.Thread(target=start, name="start of the local model", daemon=True)
    thread.start()
    try:
        is_loaded.wait()
    finally:
        thread.join(FIRST_ANSWER_SECONDS)
    if not outcome:
        raise InputError(
            f"the local model's runtime did not answer within {FIRST_ANSWER_SECONDS} s after it had loaded "
            f"{parameters.model.path!r}; try again, or choose another `lm`."
        )
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
