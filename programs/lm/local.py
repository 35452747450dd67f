"""A language model that runs in this process: a DSPy engine object that uses llama.cpp (through `xllamacpp`).

The model needs no key and no network. A reply depends only on the weights, the request (with its seed) and the number
of threads, not on earlier requests. So a run that was stopped and then resumed gets the same replies.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import secrets
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dspy.lm15 import (
    ContextLengthError,
    InvalidRequestError,
    Message,
    Request,
    Response,
    ServerError,
    TextPart,
    TimeoutError,
    UnsupportedFeatureError,
    Usage,
)

from ipo_prompts.metrics.clock import given_up
from ipo_prompts.metrics.errors import InputError, to_install
from ipo_prompts.programs.lm import weights

LOCAL_ORDER = ("base", "small")
"""The models that the name `local` can mean, in this order: the first installed model is used."""
DEFAULT_MAX_TOKENS = 1024
"""The most tokens of a reply if the request sets no limit: a small model may never stop by itself."""

_EXTENSIONS = ("grammar", "logit_bias", "min_p")


_ENGINES: weakref.WeakSet[LocalEngine] = weakref.WeakSet()
ENDS_WITHIN = 10.0
"""The longest time, in seconds, that the process waits for a running reply before it ends."""


@atexit.register
def _close_all() -> None:
    """Close all engines before Python ends: a thread that is still in the runtime's C code would crash the process.

    The locks are not released, so that no thread starts the runtime again while Python shuts down.
    """
    for engine in list(_ENGINES):
        if engine._server is not None and engine._lock.acquire(timeout=ENDS_WITHIN):
            engine._server = None


class LocalEngine:
    """One model file behind DSPy's engine interface: `dspy.LM(model_string, engine=LocalEngine(path))`.

    The weights are loaded by `load`, or else by the first request. Requests of several threads are answered one after
    another.
    `request.config.extensions` may hold `grammar` (GBNF), `logit_bias` (pairs of text and bias) and `min_p`.
    """

    supports_response_schema = True
    supported_params = ("response_format", "temperature", "top_p", "max_tokens", "seed", "stop")

    def __init__(self, path: Path, *, threads: int | None = None, context: int = 4096) -> None:
        """Make the engine of the model file `path`, without loading it.

        `context` is the most tokens of prompt and reply together. `threads` is the number of threads; None means
        `default_threads()`.
        """
        self.path = path
        self.threads = threads or default_threads()
        self.context = context
        self._lock = threading.Lock()
        self._server: Any = None
        self._primed: str | None = None
        _ENGINES.add(self)

    def load(self) -> None:
        """Load the weights now, which takes seconds; otherwise the first request loads them.

        Raises:
            InputError: the runtime is not installed or does not start, or the file is missing or is not a model that
                the runtime can read.
        """
        with self._lock:
            self._loaded()

    def close(self) -> None:
        """Free the memory; a later request loads the weights again."""
        with self._lock:
            self._server = self._primed = None

    def complete(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            InputError: see `load`.
            UnsupportedFeatureError: the request has tools, pictures or an unknown extension.
            ContextLengthError: the prompt does not fit `context`.
            InvalidRequestError: the runtime refuses the request, for example a grammar that does not parse.
            ServerError: the runtime failed.
            TimeoutError: nobody waits for the reply any more; the runtime stops after the next token.
        """
        body = _body(request)
        prompt = json.dumps([body["messages"], body.get("response_format")])
        with self._lock:
            answer = self._ask(self._loaded(), body, prompt)
        choice, usage = answer["choices"][0], answer["usage"]
        return Response(
            id=answer["id"],
            model=request.model,
            message=Message.assistant(choice["message"].get("content") or ""),
            finish_reason="length" if choice["finish_reason"] == "length" else "stop",
            usage=Usage(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"]),
        )

    def _ask(self, server: Any, body: dict[str, Any], prompt: str) -> dict[str, Any]:
        """Return the server's answer, which does not depend on the prompts before this prompt.

        If the evaluation of a part of another prompt were reused, the batches would have other shapes. This changes the
        last bits of the logits, which is enough to change a sampled word. So only a whole prompt is reused. The prompt
        is first evaluated once without the cache (the server is then primed). Each request with this prompt then
        evaluates only the last token of the prompt again.
        """
        for fresh in (False, True) if self._primed == prompt else (True,):
            if fresh:
                self._primed = None
                call(server, {**body, "max_tokens": 1, "grammar": "", "cache_prompt": False})
                self._primed = prompt
            answer = generate(server, {**body, "cache_prompt": True})
            if answer["timings"]["prompt_n"] == 1:
                return answer
        # Some architectures (sliding windows, recurrent models) cannot go back by one token. Their whole prompt is
        # evaluated for each request.
        self._primed = None
        return generate(server, {**body, "cache_prompt": False})

    def _loaded(self) -> Any:
        if self._server is None:
            if not self.path.is_file():
                raise InputError(f"there is no model file {str(self.path)!r}; see `ipo models list`.")
            runtime = import_runtime()
            parameters = runtime.CommonParams()
            parameters.model.path = str(self.path)
            parameters.n_ctx = self.context
            parameters.n_parallel = 1
            parameters.cache_ram_mib = 0  # the default keeps up to 8 GiB of old prompts
            parameters.warmup = False
            parameters.verbosity = 0
            parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = self.threads
            # The runtime always listens on a free port of 127.0.0.1. Other users of the machine must not use the port.
            parameters.api_keys = [secrets.token_hex(16)]
            parameters.ui = parameters.endpoint_slots = False
            parameters.endpoint_metrics = True  # `start_server` asks the server for its metrics
            try:
                self._server = start_server(runtime, parameters)
            except RuntimeError as error:
                raise InputError(
                    f"the model file {str(self.path)!r} is damaged or not a GGUF language model."
                ) from error
        return self._server


def local_lm(name: str) -> tuple[LocalEngine, str]:
    """Return the engine and the model string of `local`, `local/small|base|large` or `local/PATH.gguf`.

    The model string is `local/<file stem>@<start of the SHA-256>`. It holds the hash of the weights because DSPy's
    cache tells engines apart by this string. The weights are not loaded yet.

    Raises:
        InputError: the name is unknown, or the file of the weights is missing.
    """
    wanted = wanted_weights(name)
    if wanted is not None:
        known, path = weights.model(wanted), weights.find(wanted)
        if path is None:
            raise InputError(
                f"the local model {wanted!r} is not installed; run `ipo models pull {wanted}` "
                f"({known.size_bytes / 1e6:.0f} MB)."
            )
        digest = known.sha256
    else:
        path = Path(_asked(name)).expanduser()
        if not path.is_file():
            raise InputError(f"there is no model file {str(path)!r}.")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return LocalEngine(path), f"local/{path.stem}@{digest[:12]}"


def wanted_weights(name: str) -> str | None:
    """Return the name in `weights.MODELS` of the weights that a model name means; None if it names a file.

    For `local`, this is the first installed model of `LOCAL_ORDER`, or the first of all if none is installed.
    """
    asked = _asked(name)
    if asked.endswith(".gguf") or (asked and asked not in weights.MODELS and Path(asked).expanduser().is_file()):
        return None
    return asked or next((known for known in LOCAL_ORDER if weights.find(known)), LOCAL_ORDER[0])


def _asked(name: str) -> str:
    return name.removeprefix("local").removeprefix("/")


def default_threads() -> int:
    """Return the default number of threads: OMP_NUM_THREADS, or else the number of cores that this process may use.

    The number is at most 4: more threads do not make small models faster.
    """
    if os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        usable = max(1, int(os.environ["OMP_NUM_THREADS"]))
    else:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 4)


def _body(request: Request) -> dict[str, Any]:
    """Return a request in the runtime's format; refuse a request with a part that this format cannot hold."""
    config = request.config
    extensions: Mapping[str, Any] = config.extensions or {}
    unknown = sorted(set(extensions) - set(_EXTENSIONS))
    if unknown or request.tools:
        raise UnsupportedFeatureError(f"the local model takes no {', '.join(unknown) or 'tools'}")
    messages = [{"role": "system", "content": _text(request.system)}] if request.system else []
    messages += [{"role": message.role, "content": _text(message.parts)} for message in request.messages]
    body: dict[str, Any] = {"messages": messages, "max_tokens": config.max_tokens or DEFAULT_MAX_TOKENS, **extensions}
    for key in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"):
        if getattr(config, key) is not None:
            body[key] = getattr(config, key)
    body.setdefault("seed", 0)  # the runtime's default seed comes from the clock
    if config.stop:
        body["stop"] = list(config.stop)
    if config.response_format is not None:
        shape = dict(config.response_format)
        if shape["type"] == "json_schema":
            shape = {"type": "json_schema", "json_schema": {"name": "reply", "schema": shape["schema"]}}
        body["response_format"] = shape
    return body


def _text(parts: Any) -> str:
    if isinstance(parts, str):
        return parts
    if not all(isinstance(part, TextPart) for part in parts):
        raise UnsupportedFeatureError("the local model reads text only, no pictures")
    return "\n".join(part.text for part in parts)


# Start llama.cpp (through `xllamacpp`) and ask it. Neither an answer nor the end of the process may wait forever.

FIRST_ANSWER_SECONDS = 60
"""The longest wait for the first answer of a server; it usually takes milliseconds, even on a busy machine."""


def import_runtime() -> Any:
    """Import torch, then xllamacpp; return xllamacpp. It needs libgomp, which its wheel lacks; torch may bring it."""
    import torch  # noqa: F401

    try:
        import xllamacpp
    except ModuleNotFoundError as error:
        raise InputError(f"the local language model needs its runtime: {to_install('local')}.") from error
    except ImportError as error:
        raise InputError(
            f"the local model's runtime cannot be loaded ({error}); if libgomp is missing: apt-get install libgomp1."
        ) from error
    return xllamacpp


def start_server(xllamacpp: Any, parameters: Any) -> Any:
    """Start a server and return it once its loop has answered.

    A server that is destroyed before its loop has begun does not see the signal to end. Its destructor then waits
    forever and keeps the interpreter locked. So a separate thread holds a reference to the server until the loop has
    answered. Ctrl-C cannot end that thread, since Python raises the interrupt in the main thread only. The first
    question asks for metrics: this evaluates no token, so later replies stay the same to the bit.
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
    """Return the answer of `call`, but receive it token by token, and stop as soon as nobody waits for the answer.

    Raises:
        TimeoutError: nobody waits for the reply any more.
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
    """Ask a server and return its answer; `receive` gets the chunks of a streamed answer.

    Raises:
        InvalidRequestError, ContextLengthError: the server cannot answer the request.
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
    """Return an answer of the runtime; if the answer holds an error, raise that error."""
    problem = answer.get("error")
    if problem is None:
        return answer
    message = str(problem.get("message", problem))
    if problem.get("type") == "exceed_context_size_error":
        raise ContextLengthError(message)
    if 400 <= int(problem.get("code", 500)) < 500:
        raise InvalidRequestError(message)
    raise ServerError(message)
