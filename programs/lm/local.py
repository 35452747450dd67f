"""A small language model that runs in this process: a DSPy engine (llama.cpp, through `xllamacpp`), and how to ask it.

The model needs no key and no network. A reply depends only on the weights, the request (with its seed) and the number
of threads, not on earlier requests. So a run that was stopped and then resumed gets the same replies.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import (
    Config,
    InvalidRequestError,
    Message,
    Request,
    Response,
    TextPart,
    UnsupportedFeatureError,
    Usage,
)

from ipo_prompts.metrics.errors import InputError, to_install
from ipo_prompts.metrics.template import content_words
from ipo_prompts.programs.lm import weights
from ipo_prompts.signatures.propose import SMALL_QUESTIONS

LOCAL_ORDER = ("base", "small")
"""The models that the name `local` can mean, in this order: the first installed model is used."""
CONTEXT = 4096
"""The most tokens of a prompt and its reply together."""
MOST_TOKENS = 1024
"""The most tokens of a reply if the request sets no limit: a small model may never stop by itself."""
MOST_THREADS = 4
"""More threads do not make small models faster."""
ENDS_WITHIN = 60.0
"""The longest time, in seconds, that the process waits for a running reply before it ends."""


def local_lm(name: str) -> tuple[LocalEngine, str]:
    """Return the engine and the model string of `local`, `local/small|base|large` or `local/PATH.gguf`.

    The model string is `local/<file stem>@<start of the SHA-256>`, so that replies of other weights are not taken for
    replies of these. The weights are not loaded yet.

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
        return LocalEngine(path), f"local/{path.stem}@{known.sha256[:12]}"
    path = Path(name.removeprefix("local/")).expanduser()
    if not path.is_file():
        raise InputError(f"there is no model file {str(path)!r}.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return LocalEngine(path), f"local/{path.stem}@{digest[:12]}"


def wanted_weights(name: str) -> str | None:
    """Return the name in `weights.MODELS` of the weights that a model name means; None if it names a file.

    For `local`, this is the first installed model of `LOCAL_ORDER`, or the first of all if none is installed.
    """
    asked = name.removeprefix("local").removeprefix("/")
    if asked.endswith(".gguf"):
        return None
    return asked or next((known for known in LOCAL_ORDER if weights.find(known)), LOCAL_ORDER[0])


class LocalEngine:
    """One model file behind DSPy's engine interface: `dspy.LM(model_string, engine=LocalEngine(path))`.

    The weights are loaded by `load`, or else by the first request. Requests of several threads are answered one after
    another. `request.config.extensions` may hold what else llama.cpp's server takes, such as `grammar` (GBNF).

    Args:
        path: the model file, in the format GGUF.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._servers: list[Any] = []  # none before the weights are loaded, then one
        self._primed = ""
        weakref.finalize(self, _close, self._lock, self._servers)

    def load(self) -> None:
        """Load the weights now, which takes seconds; otherwise the first request loads them.

        Raises:
            InputError: the runtime is not installed, or the file is not a model that it can read.
        """
        with self._lock:
            self._loaded()

    def complete(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            InputError: see `load`.
            UnsupportedFeatureError: the request has tools or images.
            InvalidRequestError: the runtime refuses the request: a grammar does not parse, a prompt is too long.
        """
        body = _body(request)
        with self._lock:
            answer = self._answer(self._loaded(), body)
        choice, usage = answer["choices"][0], answer["usage"]
        return Response(
            id=answer["id"],
            model=request.model,
            message=Message.assistant(choice["message"].get("content") or ""),
            finish_reason="length" if choice["finish_reason"] == "length" else "stop",
            usage=Usage(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"]),
        )

    def _answer(self, server: Any, body: dict[str, Any]) -> dict[str, Any]:
        """Return the server's answer, which does not depend on the prompts before this prompt.

        If the evaluation of a part of another prompt were reused, the batches would have other shapes. This changes the
        last bits of the logits, which is enough to change a sampled word. So a new prompt is first evaluated once as a
        whole, and each request with this prompt evaluates only its last token again.
        """
        prompt = json.dumps(body["messages"])
        if prompt != self._primed:
            self._primed = ""
            _ask(server, {**body, "max_tokens": 1, "grammar": "", "cache_prompt": False})
            self._primed = prompt
        answer = _ask(server, {**body, "cache_prompt": True})
        if answer["timings"]["prompt_n"] == 1:
            return answer
        # Some architectures (sliding windows, recurrent models) cannot go back by one token.
        self._primed = ""
        return _ask(server, {**body, "cache_prompt": False})

    def _loaded(self) -> Any:
        if not self._servers:
            self._servers.append(_start(self.path))
        return self._servers[0]


def _close(lock: threading.Lock, servers: list[Any]) -> None:
    """Close an engine before Python ends: a thread that is still in the runtime's C code would crash the process.

    The lock is not released, so that no thread starts the runtime again while Python shuts down.
    """
    if lock.acquire(timeout=ENDS_WITHIN):
        servers.clear()


def runtime() -> Any:
    """Import the runtime of local models, the package xllamacpp, and return it.

    Raises:
        InputError: it is not installed.
    """
    import torch  # noqa: F401 - before xllamacpp, which needs libgomp: its wheel lacks it, and torch may bring it

    try:
        import xllamacpp
    except ImportError as error:
        raise InputError(
            f"the local language model needs its runtime ({error}): {to_install('local')}; if libgomp is missing: "
            "apt-get install libgomp1; or search without a language model, `--lm none`."
        ) from error
    return xllamacpp


def _start(path: Path) -> Any:
    """Start llama.cpp's server for a model file.

    A server that is destroyed before its loop has begun does not see the signal to end. Its destructor then waits
    forever and keeps the interpreter locked. So a separate thread holds the server until its loop has answered: Ctrl-C
    cannot end that thread, since Python raises the interrupt in the main thread only. The question asks for metrics:
    this evaluates no token, so later replies stay the same to the bit.
    """
    import torch

    xllamacpp = runtime()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.cache_ram_mib = 0  # the default keeps up to 8 GiB of old prompts
    parameters.warmup = False
    parameters.verbosity = 0
    threads = min(torch.get_num_threads(), MOST_THREADS)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    # The runtime always listens on a free port of 127.0.0.1. Other users of the machine must not use the port.
    parameters.api_keys = [secrets.token_hex(16)]
    parameters.ui = parameters.endpoint_slots = False
    parameters.endpoint_metrics = True
    started = Future[Any]()

    def start() -> None:
        try:
            server = xllamacpp.Server(parameters)
            server.handle_metrics()
            started.set_result(server)
        except BaseException as error:
            started.set_exception(error)

    thread = threading.Thread(target=start, name="start of the local model", daemon=True)
    thread.start()
    try:
        return started.result()
    except RuntimeError as error:
        raise InputError(f"the model file {str(path)!r} is damaged or not a GGUF language model.") from error
    finally:
        thread.join()


def _body(request: Request) -> dict[str, Any]:
    """Return a request in the runtime's format; refuse a request with a part that this format cannot hold."""
    parts = [part for message in request.messages for part in message.parts]
    if request.tools or not all(isinstance(part, TextPart) for part in parts):
        raise UnsupportedFeatureError("the local model reads text only, no images and no tools")
    turns = [("system", str(request.system))] if request.system else []
    turns += [(message.role, "\n".join(part.text for part in message.parts)) for message in request.messages]
    config = request.config
    settings = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "stop": list(config.stop) or None,
    }
    return {
        "messages": [{"role": role, "content": text} for role, text in turns],
        "max_tokens": config.max_tokens or MOST_TOKENS,
        "seed": config.seed or 0,  # the runtime's default seed comes from the clock
        **{name: value for name, value in settings.items() if value is not None},
        **(config.extensions or {}),
    }


def _ask(server: Any, body: dict[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = server.handle_chat_completions(body)
    except (ValueError, RuntimeError) as error:
        raise InvalidRequestError(str(error)) from error
    if "error" in answer:
        raise InvalidRequestError(str(answer["error"]["message"]))
    return answer


# How a small model is asked: for plain lines, under a grammar that admits nothing else.

LINES = 4
"""The number of lines if the question has no `count`."""
TOKENS_OF_A_LINE = 48
SHOWN_LINES = 12
SHOWN_CHARACTERS = 160
"""The most lines of an input, and the most characters of a line: a long prompt costs time in every step."""
SLOT_BIAS = 2.0
"""The bias on the logits of the slot's first token: without it, the smallest model rambles before the slot."""
BAN_BIAS = -5.0
"""The bias on the logits of words of the examples and of the task, which names classes: a small model copies them."""
NOT_SHOWN = ("count", "refused_templates")
"""The inputs that are not shown: the grammar keeps the count, and a small model copies what was refused."""


class LinesAdapter(dspy.Adapter):  # type: ignore[misc,unused-ignore]
    """Asks a small local model for the list that a signature wants first, an entry a line.

    A model of half a billion parameters cannot keep DSPy's formats: it repeats itself and runs on. So the question is a
    chat with worked examples (`SMALL_QUESTIONS`), and a grammar ends the reply after the wanted number of lines. The
    seed is the `rollout_id`, so that a question that is asked again gets another reply.
    """

    def __call__(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Ask once, and return the lines as the first output field; the others are empty."""
        wanted, *others = signature.output_fields
        asked = SMALL_QUESTIONS[wanted]
        count = inputs.get("count", LINES)
        more = ' "\\n" line' * (count - 1)
        known = " ".join([inputs["task"], *(f"{told(example)} {answer}" for example, answer in asked.examples)])
        banned = [[f" {word}", BAN_BIAS] for word in sorted(set(content_words(known)))]
        examples = [(Message.user(told(example)), Message.assistant(answer)) for example, answer in asked.examples]
        request = Request(
            model=lm.model,
            system=asked.system,
            messages=(*(turn for pair in examples for turn in pair), Message.user(told(inputs))),
            config=Config(
                temperature=lm.kwargs.get("temperature"),
                top_p=0.95,
                top_k=50,
                max_tokens=TOKENS_OF_A_LINE * count,
                seed=lm_kwargs.get("rollout_id", 0) % 2**31,
                extensions={
                    "grammar": f"root ::= line{more}\n{asked.grammar}",
                    "min_p": 0.05,
                    "logit_bias": [[" <", SLOT_BIAS], ["<", SLOT_BIAS], *banned],
                },
            ),
        )
        lines = (lm(request).text or "").splitlines()
        return [{wanted: lines, **{other: [] for other in others}}]


def told(inputs: Mapping[str, Any]) -> str:
    """Return the inputs of a signature as one turn of a chat. Empty inputs are left out.

    >>> told({"task": "pictures of pets", "image_descriptions": "", "classes": ["cat", "dog"], "count": 2})
    'task: pictures of pets\\n\\nclasses: cat, dog'
    """
    parts = []
    for name, value in inputs.items():
        if not value or name in NOT_SHOWN:
            continue
        text = value if isinstance(value, str) else ", ".join(value[:SHOWN_LINES])
        lines = [line[:SHOWN_CHARACTERS] for line in text.splitlines()[-SHOWN_LINES:]]
        parts.append(f"{name.replace('_', ' ')}:{' ' if len(lines) == 1 else chr(10)}" + "\n".join(lines))
    return "\n\n".join(parts)
