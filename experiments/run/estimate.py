"""What a run would ask for and cost, before anything is spent (`--dry-run`)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo.experiments.run.config import ASK_NO_MODEL
from ipo.experiments.run.earlier import read_earlier
from ipo.experiments.run.plan import Plan
from ipo.programs.lm.ledger import total_usd
from ipo.programs.strategies.base import Expected, Forecast

if TYPE_CHECKING:
    from ipo.programs.lm.connect import Backend

DESCRIPTION_BY_CLIP = 400
"""Characters of what the CLIP says of all pictures together, at most."""
LOCAL_SECONDS = 1.5
"""Measured: one call of the default local model on two free cores."""
REMOTE_SECONDS = 3.0
"""Assumed: an answer of a few lines from a server."""


def estimate(planned: Plan) -> dict[str, Any]:
    """Forecast the calls of a run, and the most that they can use in tokens and dollars.

    An answer that has to be asked for again is not forecast: only a budget limits how often that happens.

    Returns:
        `optimizer` and `describer`, each with `name, calls, tokens_in, tokens_out, usd, seconds`, or None when not
        used; `usd` is None where the price is not known. `usd` and `seconds` of waiting for both together.
        `start_from` with the `run` that it starts from and how many `templates` that has, or None.

    Raises:
        InputError: there is no run to start from.
    """
    roles = {"optimizer": _optimizer(planned), "describer": _describer(planned)}
    usd = total_usd(role["usd"] for role in roles.values() if role)
    seconds = sum(role["seconds"] for role in roles.values() if role)
    start = read_earlier(Path(planned.config.start_from)) if planned.config.start_from else None
    taken = {"run": planned.config.start_from, "templates": len(start.templates)} if start else None
    return {**roles, "usd": usd, "seconds": seconds, "start_from": taken}


def _optimizer(planned: Plan) -> dict[str, Any] | None:
    if planned.optimizer is None:
        return None
    from ipo.programs.describers.multimodal import QUESTIONS

    config = planned.config
    pictures = min(config.described_pictures, len(planned.drawn.search))
    characters = max(0, pictures * (QUESTIONS[config.describer_question].max_characters + 1) - 1)
    if config.describer in ASK_NO_MODEL:
        characters = 0 if config.describer == "none" else DESCRIPTION_BY_CLIP
    expected = Expected(config.search, planned.data.task, characters, config.max_tokens)
    return _forecast(planned.optimizer, planned.strategy().forecast(expected))


def _describer(planned: Plan) -> dict[str, Any] | None:
    import dspy

    from ipo.programs.describers.multimodal import QUESTIONS
    from ipo.programs.lm.bounds import TOKENS_PER_PICTURE

    if planned.describer is None:
        return None
    asked = QUESTIONS[planned.config.describer_question]
    calls = min(planned.config.described_pictures, len(planned.drawn.search))
    inputs = {"task": planned.data.task, "image": dspy.Image("data:image/png;base64,")}
    told = {name: value for name, value in inputs.items() if name in asked.signature.input_fields}
    messages = dspy.ChatAdapter().format(asked.signature, [], told)
    question = sum(len(str(message["content"]).encode()) for message in messages) + TOKENS_PER_PICTURE
    return _forecast(planned.describer, Forecast(calls, calls * question, calls * asked.max_tokens))


def _forecast(backend: Backend, expected: Forecast) -> dict[str, Any]:
    return {
        "name": backend.model,
        **asdict(expected),
        "usd": backend.price(expected.tokens_in, expected.tokens_out),
        "seconds": round(expected.calls * (LOCAL_SECONDS if backend.small else REMOTE_SECONDS)),
    }
