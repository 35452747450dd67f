"""What a run would ask and cost, before anything is spent (`--dry-run`)."""

from __future__ import annotations

from typing import Any

import dspy

from ipo.experiments.run.config import RunConfig
from ipo.experiments.run.pipeline import Plan
from ipo.programs.lm.connect import Backend
from ipo.programs.lm.recording import TOKENS_PER_PICTURE
from ipo.signatures.propose import ProposeTemplates

CHARACTERS_PER_TOKEN = 4
"""Of English text, for every tokenizer in use; a forecast, not a bound."""
TOKENS_PER_TEMPLATE = 18
SMALL_PROMPT_TOKENS = 420
"""Measured: the prompt that small local models get with twelve scored templates."""
SMALL_TRIES = 1.3
"""Measured: calls per usable template of a small local model."""
DESCRIPTION_TOKENS = 60
LOCAL_SECONDS = 1.5
"""Measured: one call of the default local model on two free cores."""
REMOTE_SECONDS = 3.0
"""Assumed: an answer of a few lines from a server."""


def estimate(config: RunConfig, planned: Plan) -> dict[str, Any]:
    """Forecast calls, tokens and dollars of a run.

    Returns:
        `optimizer` and `describer`, each with `name, calls, tokens_in, tokens_out, usd, seconds`, or None when not
        used; `usd` is None where the price is not known. `usd` and `seconds` of waiting for both together.
    """
    roles = {"optimizer": _optimizer(config, planned), "describer": _describer(config, planned)}
    prices = [role["usd"] for role in roles.values() if role]
    seconds = sum(role["seconds"] for role in roles.values() if role)
    return {**roles, "usd": None if None in prices else sum(prices), "seconds": seconds}


def _optimizer(config: RunConfig, planned: Plan) -> dict[str, Any]:
    if planned.optimizer.small:
        calls = round(config.steps * config.candidates_per_step * SMALL_TRIES)
        return _forecast(planned.optimizer, calls, SMALL_PROMPT_TOKENS, TOKENS_PER_TEMPLATE)
    lines = ["accuracy 50.00 %, loss 1.0000: a photo of a <CLASS> on a plain background."] * config.history_size
    described = 0 if config.describer == "none" else 1 if config.describer == "clip" else config.described_pictures
    inputs = {
        "task": planned.data.task,
        "image_descriptions": "\n".join(["word " * (DESCRIPTION_TOKENS * 3 // 4)] * described),
        "scored_templates": "\n".join(lines),
        "refused_templates": "",
        "count": config.candidates_per_step,
    }
    messages = dspy.ChatAdapter().format(ProposeTemplates, [], inputs)
    prompt = sum(len(str(message["content"])) for message in messages) // CHARACTERS_PER_TOKEN
    return _forecast(planned.optimizer, config.steps, prompt, config.candidates_per_step * TOKENS_PER_TEMPLATE + 20)


def _describer(config: RunConfig, planned: Plan) -> dict[str, Any] | None:
    if planned.describer is None:
        return None
    calls = min(config.described_pictures, len(planned.drawn.search))
    return _forecast(planned.describer, calls, TOKENS_PER_PICTURE, DESCRIPTION_TOKENS)


def _forecast(backend: Backend, calls: int, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    total_in, total_out = calls * tokens_in, calls * tokens_out
    return {
        "name": backend.model,
        "calls": calls,
        "tokens_in": total_in,
        "tokens_out": total_out,
        "usd": backend.price(total_in, total_out),
        "seconds": round(calls * (LOCAL_SECONDS if backend.small else REMOTE_SECONDS)),
    }
