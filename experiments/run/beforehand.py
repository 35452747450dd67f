"""Before money is spent: what a run would cost (`--dry-run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.data.dataset import in_threads
from ipo_prompts.experiments.run.plan import Plan
from ipo_prompts.experiments.run.tested_before import times_before
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.surrogate import texts_for
from ipo_prompts.programs.candidates import forecast_names
from ipo_prompts.programs.domain import forecast_domain
from ipo_prompts.programs.lm.ledger import total_usd
from ipo_prompts.programs.strategies.base import Expected, Forecast, forecast_of, room_for_words

if TYPE_CHECKING:
    from ipo_prompts.programs.lm.connect import Backend

LOCAL_SECONDS = 1.5
"""The seconds of one call of the default local model, measured on two free cores."""
REMOTE_SECONDS = 3.0
"""The seconds of one call of a server that answers in a few lines; assumed, not measured."""


def estimate(planned: Plan) -> dict[str, Any]:
    """Forecast the calls of the language models in a run, and the most that they can cost.

    Calls that are repeated after unusable answers are not forecast: only a budget limits their number.

    Args:
        planned: the plan of the run.

    Returns:
        A dictionary with these keys:

        `optimizer`, `describer`: `name, calls, tokens_in, tokens_out, usd, seconds` of each model; None for a model
        that the run does not use. `usd` is the highest price; None: not known.
        `usd`, `seconds`: the price and the waiting time of both models together.
        `pictures`: the number of pictures of the run, the sealed ones included.
        `texts`: the most texts that are encoded: a template with a class name each.
    """
    drawn = planned.drawn
    roles = {
        "optimizer": _optimizer(planned, planned.optimizer) if planned.optimizer else None,
        "describer": _describer(planned, planned.describer) if planned.describer else None,
    }
    usd = total_usd(role["usd"] for role in roles.values() if role)
    seconds = sum(role["seconds"] for role in roles.values() if role)
    return {
        **roles,
        "usd": usd,
        "seconds": seconds,
        "pictures": sum(map(len, (drawn.search, drawn.selection, drawn.test, drawn.new_test))),
        "texts": _texts(planned),
    }


def tested_before(planned: Plan) -> int:
    """Return how many tests had at least half of the sealed pictures of a run; no CLIP is loaded for this.

    Return 0 if the pictures cannot be read yet: they are still to be fetched, or the run will refuse them.
    """
    sealed = [item.picture for item in (*planned.drawn.test, *planned.drawn.new_test)]
    try:
        return times_before(in_threads(Picture.content, sealed))
    except InputError:
        return 0


def _texts(planned: Plan) -> int:
    search, classes = planned.config.search, len(planned.drawn.class_names)
    forecast = forecast_of(planned.strategy, _expected(planned))
    tried = min(forecast.scored_only, search.scored_templates)
    scored_only = texts_for(tried, classes, forecast.promising_only)
    return classes * (1 + search.steps * search.candidates_per_step) + scored_only


def _optimizer(planned: Plan, backend: Backend) -> dict[str, Any]:
    config = planned.config
    asked = forecast_of(planned.strategy, _expected(planned))
    about = planned.drawn.class_names, planned.data.task, config.max_tokens
    further = [forecast_domain(*about)] if room_for_words(planned.strategy) else []
    if planned.search.names == "search" and not backend.small:
        further.append(forecast_names(*about))
    for more in further:
        tokens = asked.tokens_in + more.tokens_in, asked.tokens_out + more.tokens_out
        asked = Forecast(asked.calls + more.calls, *tokens)
    return _forecast(backend, asked)


def _expected(planned: Plan) -> Expected:
    from ipo_prompts.programs.describe import MOST_CHARACTERS, QUESTIONS

    config, drawn = planned.config, planned.drawn
    described = 0
    if config.describer != "none":
        number = min(config.described_pictures, len(drawn.search))
        longest = QUESTIONS[config.describer_question].max_characters
        described = min(MOST_CHARACTERS, number * (longest + 1) - 1)
    return Expected(
        config.search, planned.data.task, described, config.max_tokens, len(drawn.class_names), config.asks_lm
    )


def _describer(planned: Plan, backend: Backend) -> dict[str, Any]:
    import dspy

    from ipo_prompts.programs.describe import QUESTIONS
    from ipo_prompts.programs.lm.ledger import TOKENS_PER_PICTURE

    asked = QUESTIONS[planned.config.describer_question]
    calls = min(planned.config.described_pictures, len(planned.drawn.search))
    inputs = {"task": planned.data.task, "image": dspy.Image("data:image/png;base64,")}
    told = {name: value for name, value in inputs.items() if name in asked.signature.input_fields}
    messages = dspy.ChatAdapter().format(asked.signature, [], told)
    question = sum(len(str(message["content"]).encode()) for message in messages) + TOKENS_PER_PICTURE
    return _forecast(backend, Forecast(calls, calls * question, calls * asked.max_tokens))


def _forecast(backend: Backend, expected: Forecast) -> dict[str, Any]:
    return {
        "name": backend.model,
        "calls": expected.calls,
        "tokens_in": expected.tokens_in,
        "tokens_out": expected.tokens_out,
        "usd": backend.price(expected.tokens_in, expected.tokens_out),
        "seconds": round(expected.calls * (LOCAL_SECONDS if backend.small else REMOTE_SECONDS)),
    }
