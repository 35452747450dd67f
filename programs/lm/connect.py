"""From the name of a language model to a recorded `dspy.LM`.

`local…` runs in this process, `replay/RUN_DIR` answers from a recorded run, every other name is litellm's.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dspy
from dspy.clients.backend_selection import CLIENT_KEYS
from dspy.lm15 import LM15Error, Request, Response

from ipo_prompts.metrics.cache import cache_dir
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.nearest import did_you_mean
from ipo_prompts.programs.lm.keys import check_key
from ipo_prompts.programs.lm.recording import Price, Recorder
from ipo_prompts.programs.lm.replies import ReplyCache, open_reply_cache
from ipo_prompts.programs.record.journal import Event, read
from ipo_prompts.programs.record.redaction import check_address

REPLAY = "replay/"
"""Stands before the folder of a recorded run that answers."""
WITHOUT_PROVIDER = {
    "optimizer": ("local", "replay/RUN", "none"),
    "describer": ("replay/RUN", "clip", "clip-greedy", "none"),
}
"""The names beside litellm's that a role can have."""
TIMEOUT_SECONDS = 120.0
"""For one whole reply; with a time limit, less is left near its end."""


@dataclass(frozen=True)
class Backend:
    """A language model that was found; what can be checked before a run begins has been checked.

    Attributes:
        model: its name in requests and results; a local one carries the hash of its weights.
        engine: answers requests; None when a recorded run answers them.
        price: of its tokens.
        small: whether it is best asked for one template at a time, under a grammar.
        cache: replies of earlier runs; None for a model that costs nothing, or that is not ours.
        options: what it is asked with, whatever the role would be asked with.
    """

    model: str
    engine: Any
    price: Price
    small: bool
    cache: ReplyCache | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, lm: dspy.BaseLM, seed: int = 0) -> Backend:
        """Return a language model that a user has made, to be asked as it stands.

        Where it uses DSPy's cache, so do its recorded answers, which are then known to cost nothing; see `find_backend`
        for the seed.
        """
        options = {key: value for key, value in lm.kwargs.items() if key not in CLIENT_KEYS | {"rollout_id"}}
        limit = options.pop("max_completion_tokens", None)  # as DSPy calls it for models that reason
        options |= {} if limit is None else {"max_tokens": limit}
        small = is_local(lm.model)
        cache = _Seeded(dspy.cache, {"lm": lm.model, "seed": seed}) if lm.cache else None
        return cls(lm.model, _Asks(lm), _free if small else _litellm_price(lm.model), small, cache, options)

    @property
    def loads(self) -> bool:
        """Whether it has weights to load."""
        return hasattr(self.engine, "load")

    def load(self) -> None:
        """Load the weights now rather than lazily, so that a damaged file is found before a run begins.

        Raises:
            InputError: the weights cannot be loaded.
        """
        if self.loads:
            self.engine.load()

    def connect(self, recorder: Recorder, role: str, temperature: float | None, max_tokens: int | None) -> dspy.LM:
        """Return it ready to be asked in one role (`optimizer` or `describer`) of a run, for `dspy.context(lm=…)`."""
        engine = recorder.wrap(self.engine, role=role, name=self.model, price=self.price, cache=self.cache)
        # The small models' adapter asks for one line.
        options = {"temperature": temperature, "max_tokens": None if self.small else max_tokens, **self.options}
        return dspy.LM(
            self.model,
            engine=engine,
            cache=False,  # the journal and our own cache keep replies; DSPy's would bypass the journal
            num_retries=0,  # `RecordedEngine` tries again, up to the deadline
            **options,
        )


def find_backend(name: str, *, role: str, api_base: str | None = None, seed: int = 0) -> Backend:
    """Find a language model by name, without asking it anything.

    Args:
        name: `local`, `local/small`, `local/PATH.gguf`, `replay/RUN_DIR`, or a litellm name such as
            `openai/gpt-4o-mini`.
        role: `optimizer` or `describer`; a recorded run may have had different ones.
        api_base: address of an OpenAI-compatible server.
        seed: of the run: paid replies are only used again by runs with the same seed.

    Raises:
        InputError: unknown model, missing weights or key.
    """
    if name.startswith(REPLAY):
        model = _replayed_model(Path(name.removeprefix(REPLAY)), role)
        return Backend(model, None, _free, small=is_local(model))
    if is_local(name):
        from ipo_prompts.programs.lm.local import local_lm

        engine, model = local_lm(name)
        return Backend(model, engine, _free, small=True)
    engine = _litellm_engine(name, api_base, role)
    cache = _Seeded(open_reply_cache(cache_dir() / "replies"), {"seed": seed, "api_base": api_base})
    return Backend(name, engine, _litellm_price(name), small=False, cache=cache)


def named(name: str, *, role: str, api_base: str | None = None) -> Backend:
    """Return what is known of a language model by its name alone, for a forecast: no key, no weights, no network.

    Raises:
        InputError: there can be no such model, or nothing is recorded to replay.
    """
    if name.startswith(REPLAY):
        return find_backend(name, role=role)
    if is_local(name):
        return Backend(name, None, _free, small=True)
    _check_provider(name, api_base, role)
    return Backend(name, None, _litellm_price(name), small=False)


def is_local(name: str) -> bool:
    """Whether the model runs in this process."""
    return name == "local" or name.startswith("local/")


def recorded_events(name: str) -> list[Event] | None:
    """Return the events to answer from when `name` is `replay/RUN_DIR`, else None.

    Raises:
        InputError: the folder holds no run.
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
    """Return the setting that holds the address of a role's server."""
    return "describer_api_base" if role == "describer" else "lm_api_base"


def _check_provider(name: str, api_base: str | None, role: str) -> None:
    if "://" in name:  # some providers would ask there, and an address is the user's to type
        raise InputError(
            f"the name of a language model holds no address, and {name[:80]!r} does; write the address beside it, as "
            f"{_address_of(role)}=http://HOST/v1."
        )
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else litellm downloads its price list
    level = os.environ.get("LITELLM_LOG", "INFO")
    if not isinstance(logging.getLevelName(level.upper()), int):  # litellm could not be imported
        raise InputError(f"LITELLM_LOG={level!r} is no level of logging; write DEBUG, INFO or ERROR, or leave it out.")
    import litellm

    litellm.suppress_debug_info = True  # it prints a feedback banner to stdout on errors
    litellm.telemetry = False
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
        import litellm

        try:
            cost_in, cost_out = litellm.cost_per_token(name, prompt_tokens=tokens_in, completion_tokens=tokens_out)
        except Exception:  # litellm raises a bare Exception for a model that is not in its price list
            return None
        return float(cost_in + cost_out)

    return price


def model_in(thing: Any) -> dspy.BaseLM | None:
    """Return the language model that a strategy or a describer holds, itself or in the strategy that it hands on to."""
    held = list(getattr(thing, "__dict__", {}).values())
    inner = (model_in(value) for value in held if hasattr(value, "ask"))
    return next((value for value in held if isinstance(value, dspy.BaseLM)), None) or next(filter(None, inner), None)


def asking(thing: Any, lm: dspy.BaseLM) -> Any:
    """Return a copy of what `model_in` looks into that asks another language model."""
    copied = copy.copy(thing)
    for name, value in list(getattr(thing, "__dict__", {}).items()):
        if isinstance(value, dspy.BaseLM) or (hasattr(value, "ask") and model_in(value)):
            setattr(copied, name, lm if isinstance(value, dspy.BaseLM) else asking(value, lm))
    return copied


class _Asks:
    """The engine that is another language model: a request goes through it as it is."""

    def __init__(self, lm: dspy.BaseLM) -> None:
        self._lm = lm.copy(cache=False)  # an answer from DSPy's cache would be booked as paid
        self._lm.history = lm.history
        self.supports_response_schema = bool(getattr(lm, "supports_response_schema", False))
        self.supported_params = tuple(getattr(lm, "supported_params", ()))

    def complete(self, request: Request) -> Response:
        try:
            return self._lm(request)
        except dspy.LMError as error:  # told by its kind, not by DSPy's name for it
            raise (error.__cause__ if isinstance(error.__cause__, LM15Error) else error) from None


class _Seeded:
    """A reply cache with entries of one seed and server: other seeds must draw their own replies."""

    def __init__(self, cache: ReplyCache, scope: dict[str, Any]) -> None:
        self._cache = cache
        self._scope = scope

    def get(self, request: dict[str, Any]) -> Any:
        return self._cache.get({**request, **self._scope})

    def put(self, request: dict[str, Any], value: Any) -> None:
        self._cache.put({**request, **self._scope}, value)
