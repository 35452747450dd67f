"""Find a language model by its name, and return a `dspy.LM` whose requests and replies are recorded.

A model `local…` runs in this process. `replay/RUN_DIR` answers from a recorded run. litellm knows every other name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dspy
from dspy.clients.backend_selection import CLIENT_KEYS
from dspy.clients.engines import LiteLLMEngine, LM15Engine
from dspy.lm15 import LM15Error, Request, Response, request_from_openai_chat

from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.files import cache_dir
from ipo_prompts.programs.lm import quiet_litellm
from ipo_prompts.programs.lm.recording import ABILITIES, QUESTION_SECONDS, Price, RecordedEngine, Recorder
from ipo_prompts.programs.lm.replies import ReplyFile
from ipo_prompts.programs.record.journal import Event, read
from ipo_prompts.programs.record.redaction import check_address, check_key

REPLAY = "replay/"
"""The start of a name such as `replay/RUN_DIR`: the recorded run in the folder RUN_DIR answers the requests."""
WITHOUT_PROVIDER = {
    "optimizer": ("local", "replay/RUN", "none"),
    "describer": ("replay/RUN", "clip", "none"),
}
"""For each role: the valid names that litellm does not know. The message about an unknown name shows them."""
TIMEOUT_SECONDS = 120.0
"""The longest wait for one whole reply. The wait is shorter if the run's time limit ends earlier."""


@dataclass(frozen=True)
class Backend:
    """A language model that can be asked. It was checked as far as possible before the run begins.

    Attributes:
        model: the name of the model in requests and results. The name of a local model holds the hash of its weights.
        engine: the engine that answers requests; None if a recorded run answers them.
        price: the function that returns the price of a call from its numbers of tokens.
        small: whether the model is small. A small model is asked for one template at a time, under a grammar.
        cache: the replies of earlier runs: a `ReplyFile`, or DSPy's own cache. None: no replies are kept.
        scope: values, such as the seed and the server, that are added to the request to make the key of a cached reply.
        options: the options of this model, such as its temperature. They override the options of the role.
        own: the `dspy.LM` that the user made, if there is one; its history and callbacks record each request.
    """

    model: str
    engine: Any
    price: Price
    small: bool
    cache: Any = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    own: dspy.BaseLM | None = None

    @classmethod
    def of(cls, lm: dspy.BaseLM, seed: int = 0) -> Backend:
        """Return the backend of a `dspy.LM` that a user has made; the model is asked with the options of the user.

        If the model uses DSPy's cache, so does the backend. Answers from the cache are then booked as free. `seed` is
        the seed of the run, as in `find_backend`.

        Raises:
            InputError: the model only completes texts and cannot answer questions.
        """
        if lm.model_type == "text":
            raise InputError(f"{lm.model} has model_type='text' and completes texts; give one that answers questions.")
        options = options_of(lm)
        if "max_completion_tokens" in options:  # DSPy's name for `max_tokens` in models that reason
            options["max_tokens"] = options.pop("max_completion_tokens")
        options, others = _carried(options)
        small = is_local(lm.model)
        # DSPy does not cache the replies of `DummyLM`, nor those of a class that overrides `forward`.
        keeps = bool(lm.cache and isinstance(lm, dspy.LM) and type(lm).forward is dspy.LM.forward)
        scope = {"lm": lm.model, "seed": seed, "others": others}
        cache = dspy.cache if keeps else None
        price = _free if small else _litellm_price(lm.model)
        return cls(lm.model, _Asks(lm, others), price, small, cache, scope, options, lm)

    @property
    def loads(self) -> bool:
        """Whether the model has weights to load."""
        return hasattr(self.engine, "load")

    def load(self) -> None:
        """Load the weights now rather than at the first request, so that a damaged file is found before a run begins.

        Raises:
            InputError: the weights cannot be loaded.
        """
        if self.loads:
            self.engine.load()

    def check_price(self, budget_usd: float | None) -> None:
        """Refuse a budget in dollars if the price of the model is not known.

        Raises:
            InputError: `budget_usd` is a number, and the price is not known.
        """
        if budget_usd is not None and self.price(1, 1) is None:
            raise InputError(
                f"the price of {self.model} is not known, so --budget-usd cannot be kept; use --budget-tokens."
            )

    def connect(self, recorder: Recorder, role: str, temperature: float | None, max_tokens: int | None) -> dspy.LM:
        """Return the `dspy.LM` of one role (`optimizer` or `describer`) of a run, for `dspy.context(lm=…)`.

        Raises:
            InputError: the run has a budget in dollars, and the price of the model is not known.
        """
        self.check_price(recorder.ledger.limit_usd)
        engine = RecordedEngine(recorder, self.engine, role, self.model, self.price, self.cache, self.scope)
        # A small model needs no limit of tokens here: its adapter asks for one line.
        options = {"temperature": temperature, "max_tokens": None if self.small else max_tokens, **self.options}
        connected = dspy.LM(
            self.model,
            engine=engine,
            cache=False,  # the journal and our own cache store replies; DSPy's cache would bypass the journal
            num_retries=0,  # `RecordedEngine` tries again, up to the deadline
            callbacks=self.own.callbacks if self.own else None,
            **options,
        )
        if self.own:
            connected.history = self.own.history
        return connected


def find_backend(name: str, *, role: str, api_base: str | None = None, seed: int = 0, ready: bool = True) -> Backend:
    """Return the backend of a language model, given its name. The model is not asked anything.

    Args:
        name: `local`, `local/small`, `local/PATH.gguf`, `replay/RUN_DIR`, or a litellm name such as
            `openai/gpt-4o-mini`.
        role: `optimizer` or `describer`. In a recorded run, each role may have had a model of its own.
        api_base: the address of an OpenAI-compatible server; None uses the address of the model's provider.
        seed: the seed of the run. Cached replies are used again only by runs with the same seed.
        ready: whether the model will be asked later. With False, as for a forecast, no key, no weights and no network
            are needed.

    Raises:
        InputError: the model is unknown, its weights or key are missing, or nothing is recorded to replay.
    """
    if name.startswith(REPLAY):
        model = _replayed_model(Path(name.removeprefix(REPLAY)), role)
        return Backend(model, None, _free, small=is_local(model))
    if is_local(name):
        from ipo_prompts.programs.lm.local import local_lm

        engine, model = local_lm(name) if ready else (None, name)
        return Backend(model, engine, _free, small=True)
    if not ready:
        _check_provider(name, api_base, role)
        return Backend(name, None, _litellm_price(name), small=False)
    engine = _litellm_engine(name, api_base, role)
    cache = ReplyFile(cache_dir() / "replies" / "replies.sqlite")
    scope = {"seed": seed, "api_base": api_base}
    return Backend(name, engine, _litellm_price(name), small=False, cache=cache, scope=scope)


def is_local(name: str) -> bool:
    """Return whether the model runs in this process."""
    return name == "local" or name.startswith("local/")


def recorded_events(name: str) -> list[Event] | None:
    """Return the recorded events of the run if `name` is `replay/RUN_DIR`, else None.

    Raises:
        InputError: the folder is not a run directory, or its record is damaged.
    """
    return read(Path(name.removeprefix(REPLAY))) if name.startswith(REPLAY) else None


def _replayed_model(folder: Path, role: str) -> str:
    for event in read(folder):
        if event["type"] == "lm" and event["role"] == role:
            return str(event["request"]["model"])
    raise InputError(f"the run in {folder} recorded no reply of the {role}; there is nothing to replay.")


def _free(tokens_in: int, tokens_out: int) -> float:
    return 0.0


def _litellm_engine(name: str, api_base: str | None, role: str) -> Any:
    if api_base:
        check_address(api_base)
    check_key(name)
    _check_provider(name, api_base, role)
    import litellm

    from ipo_prompts.programs.lm.transport import HttpEngine

    missing = [] if api_base else litellm.validate_environment(name)["missing_keys"]
    if missing:
        raise InputError(f"the language model {name} needs {' and '.join(missing)} in the environment.")
    return HttpEngine(TIMEOUT_SECONDS, api_base, _address_of(role))


def _address_of(role: str) -> str:
    """Return the name of the setting that holds the address of the server of a role."""
    return "describer_api_base" if role == "describer" else "lm_api_base"


def _check_provider(name: str, api_base: str | None, role: str) -> None:
    if "://" in name:  # some providers would ask this address, and only a setting may choose an address
        raise InputError(
            f"the name of a language model cannot hold an address, as {name[:80]!r} does; write the address beside the "
            f"name, as {_address_of(role)}=http://HOST/v1."
        )
    litellm = quiet_litellm()
    try:
        litellm.get_llm_provider(name, api_base=api_base)
    except litellm.exceptions.BadRequestError as error:
        hint, others = did_you_mean(name, WITHOUT_PROVIDER[role]), ", ".join(WITHOUT_PROVIDER[role])
        raise InputError(
            f"litellm knows no provider for {name!r}{hint}; a name reads PROVIDER/MODEL, such as openai/gpt-4o-mini, "
            f"or is one of {others}."
        ) from error


def _litellm_price(name: str) -> Price:
    def price(tokens_in: int, tokens_out: int) -> float | None:
        litellm = quiet_litellm()
        try:
            cost_in, cost_out = litellm.cost_per_token(name, prompt_tokens=tokens_in, completion_tokens=tokens_out)
        except Exception:  # litellm raises a bare Exception for a model that is not in its price list
            return None
        return float(cost_in + cost_out)

    return price


def options_of(lm: dspy.BaseLM) -> dict[str, Any]:
    """Return the options of a language model, such as its temperature, without those of the server connection."""
    return {name: value for name, value in lm.kwargs.items() if name not in CLIENT_KEYS | {"rollout_id"}}


def models_in(thing: Any) -> list[dspy.BaseLM]:
    """Return all language models in a strategy or a describer, and in its parts. Each model is listed once."""
    found: dict[int, dspy.BaseLM] = {}
    waiting, seen = [thing], set[int]()
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, dspy.BaseLM):
            found.setdefault(id(part), part)
        elif id(part) not in seen:
            seen.add(id(part))
            waiting += _parts(part, outermost=part is thing).values()
    return list(found.values())


def asking(thing: Any, other: Callable[[dspy.BaseLM], dspy.BaseLM]) -> Any:
    """Return a copy of a strategy or a describer in which each language model `lm` is replaced by `other(lm)`."""
    models: dict[int, dspy.BaseLM] = {id(lm): other(lm) for lm in models_in(thing)}
    copies: dict[int, Any] = {}

    def changed(part: Any) -> Any:
        if isinstance(part, dspy.BaseLM):
            return models[id(part)]
        if id(part) in copies or not models_in(part):
            return copies.get(id(part), part)
        if isinstance(part, (list, tuple)):
            copies[id(part)] = type(part)([changed(one) for one in part])
        elif isinstance(part, dict):
            copies[id(part)] = {key: changed(one) for key, one in part.items()}
        else:
            copies[id(part)] = copied = copy.copy(part)
            vars(copied).update({name: changed(one) for name, one in vars(part).items()})
        return copies[id(part)]

    return changed(thing)


def _parts(thing: Any, *, outermost: bool) -> Mapping[Any, Any]:
    """Return the parts of a strategy or a describer that may hold a language model."""
    if isinstance(thing, dict):
        return thing
    if isinstance(thing, (list, tuple)):
        return dict(enumerate(thing))
    known = outermost or isinstance(thing, dspy.Module) or hasattr(thing, "ask")
    return vars(thing) if known and hasattr(thing, "__dict__") and not isinstance(thing, type) else {}


def _carried(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split options into those that a DSPy request can hold, and those that only the model's server understands."""
    carried, others = {}, {}
    question = {"model": "any", "messages": [{"role": "user", "content": "?"}]}
    for name, value in options.items():
        try:
            if value is not None and name not in ("n", "prompt_cache"):  # options of DSPy itself
                request_from_openai_chat({**question, name: value})
            carried[name] = value
        except (LM15Error, TypeError, ValueError):
            others[name] = value
    return carried, others


class _Asks:
    """An engine that passes requests unchanged to a user's language model.

    History, callbacks and usage are switched off in the user's model here, so that DSPy records each request only once:
    for the `dspy.LM` that uses this engine.

    Args:
        lm: the user's language model.
        others: the options that a DSPy request cannot hold; litellm sends them to the server.
    """

    def __init__(self, lm: dspy.BaseLM, others: Mapping[str, Any]) -> None:
        self.retries = lm.num_retries
        self._others = dict(others)
        # An answer from DSPy's cache would be booked as paid, and a retry by the model would not be booked at all.
        self._lm = lm.copy(cache=False, num_retries=0, callbacks=[])
        # The clients that DSPy makes give up by themselves if a server sends nothing for a while.
        own = getattr(lm, "engine", None)
        if others and own == "auto":
            self._lm = self._lm.copy(engine="litellm")
        over_http = isinstance(own, (str, LM15Engine, LiteLLMEngine))
        self.timeout = getattr(own, "timeout", QUESTION_SECONDS if over_http else None)
        self._is_over_http = over_http and type(lm).forward is dspy.LM.forward

    def __getattr__(self, name: str) -> Any:
        if name in ABILITIES:  # read only when an adapter asks: litellm's list of models is large
            return getattr(self._lm, name, False)
        raise AttributeError(name)

    def complete(self, request: Request) -> Response:
        if self._others:
            extensions = {**(request.config.extensions or {}), **self._others}
            request = replace(request, config=replace(request.config, extensions=extensions))
        if not self._is_over_http:
            return self._ask(request)
        from ipo_prompts.programs.lm.transport import readable

        base = self._lm.kwargs.get("api_base") or self._lm.kwargs.get("base_url")
        return readable(lambda: self._ask(request), request, base, "dspy.LM(…, api_base=) at ")

    def _ask(self, request: Request) -> Response:
        try:
            with dspy.context(disable_history=True, callbacks=[], usage_tracker=None):
                return self._lm(request)
        except dspy.LMError as error:  # raise the error that DSPy has wrapped: its type says what happened
            raise (error.__cause__ if isinstance(error.__cause__, LM15Error) else error) from None
