"""What a run will likely cost, beside the most that it can cost.

The most is bounded by the longest question and the longest reply. The likely price counts tokens as they usually are.
Where no source says how long replies are, the likely price is None, which means not known. After `ENOUGH` replies of a
model, what its server really counted takes the place of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ipo_prompts.experiments.run.config import ASK_NO_MODEL, RunConfig
from ipo_prompts.metrics.errors import money
from ipo_prompts.programs.lm.ledger import Usage
from ipo_prompts.programs.record.journal import FILE_NAME, read
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Forecast, forecast_of
from ipo_prompts.programs.strategies.window import listed

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.plan import Plan

ENOUGH = 20
"""The replies of a model after which their mean is used instead of the table."""
BYTES_PER_TOKEN = 4
"""The bytes of English text in one token; the printed templates have 4.2 (cl100k_base)."""
TEMPLATE = "a photo of a <CLASS>, with fine details in bright light."
"""A template of likely length: 95 of 100 printed templates of the paper, which gpt-3.5-turbo wrote, are no longer."""
DESCRIPTIONS = {("paper", "minicpm-v"): 42, ("code", "minicpm-v"): 42}
"""The question to the describer, and its model → the likely tokens of a description.

The source is the description files of the paper's code (github.com/lmsdss/IPO, desc/, revision ac804a9): the means of
its twelve files are 28 to 67 tokens (cl100k_base), and their mean is 42. For the question `default`, which is ours, no
replies of a model are published or recorded. So its descriptions have no likely length before twenty replies.
"""
DOMAIN_REPLY = 100
"""The tokens of a reply with domain words, which is asked for once; assumed, not measured."""
AROUND_REPLY = 16
"""The tokens of the marks around the answer in a reply, such as `[[ ## completed ## ]]`."""


def prices(likely: float | None, most: float | None) -> str:
    """Return a likely price and the highest price as text; None means not known."""
    if not most:
        return money(most)
    return f"{'likely price not known' if likely is None else f'likely {money(likely)}'}, at most {money(most)}"


def counted(text: str) -> int:
    """Return the likely tokens of a text."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def mean(used: Usage | None) -> tuple[float, float] | None:
    """Return the mean tokens in and out of the replies that were paid for; None if there are fewer than `ENOUGH`."""
    paid = used.calls - used.cached if used else 0
    return (used.tokens_in / paid, used.tokens_out / paid) if used and paid >= ENOUGH else None


def used_in(folders: Iterable[Path]) -> dict[str, Usage]:
    """Return what the runs in these folders have used together, by role. Folders without a run are left out."""
    used: dict[str, Usage] = {}
    for folder in folders:
        for event in read(folder) if (folder / FILE_NAME).is_file() else ():
            if event["type"] == "lm":
                used.setdefault(event["role"], Usage(event["role"])).add(event)
    return used


def description_tokens(config: RunConfig, used: Mapping[str, Usage | None]) -> float | None:
    """Return the likely tokens of one description by a multimodal model; None if they are not known."""
    if found := mean(used.get("describer")):
        return max(1.0, found[1] - AROUND_REPLY)
    asked, model = config.describer_question, config.describer.lower()
    return next((n for (question, part), n in DESCRIPTIONS.items() if question == asked and part in model), None)


def likely_usd(
    planned: Plan, most: Mapping[str, Forecast], described: tuple[int, int], used: Mapping[str, Usage | None]
) -> dict[str, float | None]:
    """Return the likely price in US dollars of a whole run, by role; None where it is not known.

    Args:
        planned: the plan of the run.
        most: the forecast of the most tokens, by role.
        described: the number of descriptions, and the most characters of one.
        used: what replies in the same setting have used so far, by role.
    """
    found: dict[str, float | None] = {}
    for role, forecast in most.items():
        backend = planned.optimizer if role == "optimizer" else planned.describer
        tokens = mean(used.get(role))
        if tokens is None and role == "optimizer":
            tokens = _of_a_call(planned, forecast, described, used)
        if backend is None or backend.price(1, 1) in (None, 0):
            found[role] = None if backend is None else backend.price(1, 1)
        elif tokens is None:
            found[role] = None
        else:
            found[role] = backend.price(round(forecast.calls * tokens[0]), round(forecast.calls * tokens[1]))
    return found


def _of_a_call(
    planned: Plan, most: Forecast, described: tuple[int, int], used: Mapping[str, Usage | None]
) -> tuple[float, float] | None:
    """Return the likely mean tokens in and out of a call of the optimizer; None if they are not known."""
    config, number = planned.config, described[0]
    length: float | None = described[1] / BYTES_PER_TOKEN
    if config.describer not in ASK_NO_MODEL:
        length = description_tokens(config, used)
    reasons = listed(config.lm).get("supports_reasoning")  # its thoughts are paid for, and as long as it likes
    if length is None or reasons or config.strategy["name"] not in STRATEGIES or config.names == "search":
        return None
    shown = number * (length + 1)
    if planned.room:
        shown = min(shown, planned.room.tokens)
    expected = Expected(config.search, planned.data.task, round(shown * BYTES_PER_TOKEN), config.max_tokens)
    asked = forecast_of(planned.unasked, replace(expected, count=counted, template=TEMPLATE))
    once = most.calls - asked.calls  # the question for domain words
    tokens_in = asked.tokens_in + once * asked.tokens_in / max(1, asked.calls)
    return tokens_in / most.calls, (asked.tokens_out + once * DOMAIN_REPLY) / most.calls
