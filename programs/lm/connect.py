"""Find a language model by its name, and return a `dspy.LM` whose questions and replies are recorded.

A model `local…` runs in this process. `replay/RUN_DIR` answers from a recorded run. litellm knows every other name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import LM15Error, request_from_openai_chat

from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.programs.lm import REPLAY, is_local, quiet_litellm
from ipo_prompts.programs.lm.engine import RETRIES, Price, Recorded
from ipo_prompts.programs.lm.ledger import Ledger, Question, read_questions
from ipo_prompts.programs.redaction import check_address, check_key

WITHOUT_PROVIDER = {
    "optimizer": ("local", "replay/RUN", "none"),
    "describer": ("replay/RUN", "file:PATH", "none"),
}
"""For each role: the valid names that litellm does not know. The message about an unknown name shows them."""
TIMEOUT_SECONDS = 120.0
"""The longest wait for one whole reply of a server."""
OWN_TIMEOUT_SECONDS = 600.0
"""The longest wait for one whole reply of a `dspy.LM` that a user has made."""
CONNECTION = {
    *("api_key", "api_base", "base_url", "headers", "extra_headers", "timeout", "api_version", "organization"),
    *("azure_ad_token_provider", "project", "extra_query", "custom_llm_provider", "rollout_id"),
}
"""The options of a `dspy.LM` that belong to its connection with a server, or to DSPy's cache."""


@dataclass(frozen=True)
class Backend:
    """A language model that can be asked. It was checked as far as possible before the run begins.

    Attributes:
        model: the name of the model in questions and results. The name of a local model holds the hash of its weights.
        lm: the model that answers questions; None if only a recorded run answers them.
        price: the function that returns the price of a call from its numbers of tokens.
        timeout: the longest wait for a reply, see `Recorded`.
        replies: the recorded questions of another run that answer first.
        options: the options of a user's model, such as its temperature. They override the options of the role.
        others: the options of a user's model that only its server understands.
        own: the `dspy.LM` that the user made, if there is one. Its history and callbacks are used.
    """

    model: str
    lm: dspy.BaseLM | None
    price: Price
    timeout: float | None = None
    replies: Sequence[Question] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)
    own: dspy.BaseLM | None = None

    @classmethod
    def of(cls, lm: dspy.BaseLM) -> Backend:
        """Return the backend of a `dspy.LM` that a user has made; the model is asked with the options of the user.

        Raises:
            InputError: the model only completes texts and cannot answer questions.
        """
        if lm.model_type == "text":
            raise InputError(f"{lm.model} has model_type='text' and completes texts; give one that answers questions.")
        price = _free if is_local(lm.model) else _litellm_price(lm.model)
        # A reply from DSPy's cache would be booked as paid, and a retry by the model would not be booked at all.
        asked = lm.copy(cache=False, num_retries=0, callbacks=[])
        options = options_of(lm)
        if "max_completion_tokens" in options:  # DSPy's name for `max_tokens` in models that reason
            options["max_tokens"] = options.pop("max_completion_tokens")
        others = {name: value for name, value in options.items() if not _is_carried(name, value)}
        if others and getattr(asked, "engine", None) == "auto":
            asked = asked.copy(engine="litellm")
        carried = {name: value for name, value in options.items() if name not in others}
        return cls(lm.model, asked, price, OWN_TIMEOUT_SECONDS, options=carried, others=others, own=lm)

    @property
    def small(self) -> bool:
        """Whether the model is small. A small model is asked for a template a line, under a grammar."""
        return is_local(self.model)

    def load(self, say: Callable[[str], None]) -> None:
        """Load the weights, if there are any, now rather than at the first question: a damaged file is found earlier.

        `say` is told that they are loaded.

        Raises:
            InputError: the weights cannot be loaded.
        """
        load = getattr(getattr(self.lm, "engine", None), "load", None)
        if load:
            say(f"loading the language model {self.model}")
            load()

    def check_price(self, budget_usd: float | None) -> None:
        """Refuse a budget in dollars if the price of the model is not known.

        Raises:
            InputError: `budget_usd` is a number, and the price is not known.
        """
        if budget_usd is not None and self.price(1, 1) is None:
            raise InputError(
                f"the price of {self.model} is not known, so --budget-usd cannot be kept; use --budget-tokens."
            )

    def connect(self, ledger: Ledger, role: str, temperature: float | None, max_tokens: int | None) -> dspy.LM:
        """Return the `dspy.LM` of one role (`optimizer` or `describer`) of a run, for `dspy.context(lm=…)`.

        Raises:
            InputError: the run has a budget in dollars, and the price of the model is not known.
        """
        self.check_price(ledger.limit_usd)
        ledger.models.setdefault(role, self.model)
        ledger.replay(question for question in self.replies if question.role == role)
        engine = Recorded(self.lm, role, ledger, self.price, self.timeout, self.others)
        # A small model needs no limit of tokens here: its adapter sets one.
        options = {"temperature": temperature, "max_tokens": None if self.small else max_tokens, **self.options}
        retries = self.own.num_retries if self.own else RETRIES
        callbacks = self.own.callbacks if self.own else None
        connected = dspy.LM(self.model, engine=engine, cache=False, num_retries=retries, callbacks=callbacks, **options)
        if self.own:
            connected.history = self.own.history
        return connected


def find_backend(name: str, *, role: str, api_base: str | None = None, ready: bool = True) -> Backend:
    """Return the backend of a language model, given its name. The model is not asked anything.

    Args:
        name: `local`, `local/small`, `local/PATH.gguf`, `replay/RUN_DIR`, or a litellm name such as
            `openai/gpt-4o-mini`.
        role: `optimizer` or `describer`. In a recorded run, each role may have had a model of its own.
        api_base: the address of an OpenAI-compatible server; None uses the address of the model's provider.
        ready: whether the model will be asked later. With False, as for a forecast, no key, no weights and no network
            are needed.

    Raises:
        InputError: the model is unknown, its weights or key are missing, or nothing is recorded to replay.
    """
    if name.startswith(REPLAY):
        return _replayed(Path(name.removeprefix(REPLAY)), role)
    if is_local(name):
        return _local(name) if ready else Backend(name, None, _free)
    _check_provider(name, api_base, role)
    price = _litellm_price(name)
    if not ready:
        return Backend(name, None, price)
    check_key(name)
    if api_base:
        check_address(api_base)
        server = {"api_base": api_base, **_key_for(name)}
    else:
        missing = quiet_litellm().validate_environment(name)["missing_keys"]
        if missing:
            raise InputError(f"the language model {name} needs {' and '.join(missing)} in the environment.")
        server = {}
    lm = dspy.LM(name, cache=False, num_retries=0, timeout=TIMEOUT_SECONDS, **server)
    return Backend(name, lm, price, timeout=TIMEOUT_SECONDS)


def _key_for(name: str) -> dict[str, str]:
    """Return the key of a server of one's own. It may need none, but most clients do not work without one.

    Only the clients of AWS look for their keys by themselves.
    """
    provider = name.partition("/")[0]
    if provider in ("bedrock", "sagemaker", "sagemaker_chat"):
        return {}
    return {"api_key": os.environ.get(f"{provider.upper()}_API_KEY") or "none"}


def _local(name: str) -> Backend:
    from ipo_prompts.programs.lm.local import local_lm

    engine, model = local_lm(name)
    lm = dspy.LM(model, engine=engine, cache=False, num_retries=0)
    return Backend(model, lm, _free)


def _replayed(folder: Path, role: str) -> Backend:
    replies = read_questions(folder)
    models = [question.model for question in replies if question.role == role]
    if not models:
        raise InputError(f"the run in {folder} recorded no reply of the {role}; there is nothing to replay.")
    return Backend(models[0], None, _free, replies=replies)


def _free(tokens_in: int, tokens_out: int) -> float:
    return 0.0


def _check_provider(name: str, api_base: str | None, role: str) -> None:
    if "://" in name:  # some providers would ask this address, and only a setting may choose an address
        setting = "describer" if role == "describer" else "lm"
        raise InputError(
            f"the name of a language model cannot hold an address, as {name[:80]!r} does; write the address beside the "
            f"name, as {setting}_api_base=http://HOST/v1."
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
    return {name: value for name, value in lm.kwargs.items() if name not in CONNECTION}


def _is_carried(name: str, value: Any) -> bool:
    """Return whether a DSPy request can hold an option."""
    if value is None or name in ("n", "prompt_cache"):  # options of DSPy itself
        return True
    try:
        request_from_openai_chat({"model": "any", "messages": [{"role": "user", "content": "?"}], name: value})
    except (LM15Error, TypeError, ValueError):
        return False
    return True


def models_in(describer: Any) -> list[dspy.BaseLM]:
    """Return the language models that the predictors of a describer hold themselves."""
    predictors = describer.predictors() if isinstance(describer, dspy.Module) else []
    return [predictor.lm for predictor in predictors if getattr(predictor, "lm", None)]


def asking(describer: Any, other: Callable[[dspy.BaseLM], dspy.BaseLM]) -> Any:
    """Return a copy of a describer in which each of its language models `lm` is replaced by `other(lm)`."""
    if not models_in(describer):
        return describer
    copied = describer.deepcopy()
    for before, predictor in zip(describer.predictors(), copied.predictors(), strict=True):
        predictor.lm = other(before.lm) if before.lm else None
    return copied
