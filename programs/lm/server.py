"""Start and ask llama.cpp (through `xllamacpp`) so that neither a process that ends at once nor an answer hangs."""

from __future__ import annotations

import threading
from typing import Any

from dspy.lm15 import ContextLengthError, InvalidRequestError, ServerError, TimeoutError

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.waiting import given_up

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


def generate(server: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Answer as `call` does, token by token: a callback that returns true ends a reply that nobody waits for.

    Raises:
        TimeoutError: nobody waits any more.
        dspy.lm15.LM15Error: see `call`.
    """
    pieces: list[str] = []
    answer: dict[str, Any] = {}

    def receive(chunk: dict[str, Any]) -> bool:
        if "error" in chunk:
            answer.update(chunk)
        for choice in chunk.get("choices") or ():
            pieces.append((choice.get("delta") or {}).get("content") or "")
            answer["finish_reason"] = choice["finish_reason"] or answer.get("finish_reason")
        answer.update({name: chunk[name] for name in ("id", "usage", "timings") if chunk.get(name)})
        return given_up()

    if given_up():
        raise TimeoutError("nobody waits for the reply any more")
    call(server, {**body, "stream": True, "stream_options": {"include_usage": True}}, receive)
    if given_up():
        raise TimeoutError("nobody waits for the reply any more")
    _check(answer)
    message = {"content": "".join(pieces)}
    return {**answer, "choices": [{"message": message, "finish_reason": answer["finish_reason"]}]}


def call(server: Any, body: dict[str, Any], receive: Any = None) -> dict[str, Any]:
    """Ask a server, and return its answer; `receive` gets the chunks of a streamed one.

    Raises:
        InvalidRequestError, ContextLengthError: the request cannot be answered.
        ServerError: the runtime failed.
    """
    try:
        answer: dict[str, Any] = server.handle_chat_completions(body, *([receive] if receive else ())) or {}
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error
    except RuntimeError as error:
        raise ServerError(str(error)) from error
    return _check(answer)


def _check(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that is none of the runtime's errors."""
    problem = answer.get("error")
    if problem is None:
        return answer
    message = str(problem.get("message", problem))
    if problem.get("type") == "exceed_context_size_error":
        raise ContextLengthError(message)
    if 400 <= int(problem.get("code", 500)) < 500:
        raise InvalidRequestError(message)
    raise ServerError(message)
