"""The settings of a search, for `IPO` and for the configuration of every run.

Settings of a single strategy are defined by that strategy; see `strategies/`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import BASELINE, problem

LIMITS = frozenset({"budget_usd", "budget_tokens", "max_minutes"})
"""The settings that may change when a search is resumed. After a stop by a limit, a larger limit lets it go on."""


class SearchSettings(BaseModel):
    """How long a search lasts, where it starts, how the winner is chosen, and what its program decides with.

    These are the settings of every strategy. All that searches takes its defaults from here: `ipo optimize`,
    `ipo.optimize`, `IPO` and `IPOClassifier`. `IPO` gets class names, and not labels that could be read otherwise. So
    `auto` and `normalised` leave them as they are, like the names that a person wrote for a run.

    Example:
        >>> SearchSettings(steps=3).patience
        12
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(12, ge=1, description="the number of steps; each step proposes new templates")
    candidates_per_step: int = Field(5, ge=1, le=100, description="how many templates a step proposes")
    initial_template: str = Field(
        BASELINE, description="the template that the search starts from; the winner is compared with it"
    )
    selection: Literal["validation", "train"] = Field(
        "validation",
        description="validation: choose the winner on train and validation images; train: take the best template on "
        "the train images",
    )
    patience: int | None = Field(12, ge=1, description="stop after this many steps without a better template")
    scored_templates: int = Field(
        5000, ge=0, description="how many templates a strategy may score without proposing them"
    )
    seed: int = Field(0, ge=0, description="seed of the draw of images and of the language model")
    classifier: Literal["auto", "text", "text+images"] = Field(
        "auto",
        description="text: classify by the template; text+images: with the template and the labelled train "
        "and validation images; auto: with the images if they tell left-out images apart",
    )
    names: Literal["auto", "search", "normalised", "as-is"] = Field(
        "auto",
        description="normalised: read labels of folders, tables and hf: data as captions write names; search: also try "
        "other names, from WordNet and lm, in the chosen template, and take them if images that did not choose them "
        "show a clear gain; auto: search for such labels, as-is for all other names",
    )
    budget_usd: float | None = Field(None, gt=0, description="stop before this many US dollars are spent")
    budget_tokens: int | None = Field(None, gt=0, description="stop before this many tokens are used")
    max_minutes: float | None = Field(None, gt=0, description="end the search after this many minutes")

    @field_validator("initial_template")
    @classmethod
    def _usable(cls, template: str) -> str:
        reason = problem(template)
        if reason:
            raise ValueError(f"{template!r} cannot be used: {reason}")
        return template


_PUBLISHED = {"steps": 100, "selection": "train", "patience": None, "names": "as-is", "classifier": "text"}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        **_PUBLISHED,
        "candidates_per_step": 5,
        "strategy": {"name": "history", "size": 20, "phrases": False},
    },
    "code": {
        **_PUBLISHED,
        "candidates_per_step": 8,
        "strategy": {
            "name": "history",
            "size": 30,
            "pin_initial": False,
            "floor": 0.20,
            "phrases": False,
            "one_by_one": True,
        },
    },
}
"""The settings of the two published searches (Du, Sun and Snoek, NeurIPS 2024): `paper` for the search in the article,
`code` for the search in its public code. One thing differs from the code: here scores come from all images, without
random crops and dropped batches. The presets do not choose images or models."""


def preset(name: str) -> dict[str, Any]:
    """Return the settings of a published search, for `IPO` and for a run's configuration.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}; there are: {', '.join(PRESETS)}.")
    return dict(PRESETS[name])
