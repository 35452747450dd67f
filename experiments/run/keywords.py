"""The settings of a run as keywords, which editors complete and type checkers check; `config.py` holds them."""

from __future__ import annotations

from typing import Any, Literal

from ipo_prompts.metrics.pictures import Background
from ipo_prompts.programs.settings import SearchKeywords


class RunKeywords(SearchKeywords, total=False):
    """The fields of `RunConfig`, but for `data` and `start_from`, which `ipo.optimize` names itself."""

    preset: Literal["default", "paper", "code"]
    task: str | None
    class_names: dict[Any, Any] | None
    background: Background
    clip: str
    device: str
    reward: str | dict[str, Any]
    strategy: str | dict[str, Any]
    lm: str
    lm_api_base: str | None
    lm_context: int | None
    temperature: float
    max_tokens: int
    describer: str
    describer_api_base: str | None
    describer_question: Literal["default", "paper", "code"]
    described_pictures: int
    shots: int
    selection_shots: int
    search_pictures: int | None
    classes: Literal["all", "base-to-new"]
    also_fit: list[str]
    track: Literal["none", "wandb"]
