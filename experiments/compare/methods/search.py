"""IPO and the controls that share its language model: each fit is an ordinary run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo.experiments.compare.methods.base import Budget, Job, Method, Templates, seen_by_a_search
from ipo.experiments.run.config import RunConfig, build, is_begun

if TYPE_CHECKING:
    from ipo.programs.record.journal import Event


class LanguageModelSearch(Method):
    """A search with a language model.

    Args:
        label, shows: see `Method`.
        preset: the settings that the job's own are laid over: `default`, `paper` or `code`.
        **own: the settings that make this method what it is; nothing overrides them.
    """

    uses_lm = True

    def __init__(self, label: str, preset: str = "default", shows: str = "", **own: Any) -> None:
        self.label = label
        self.shows = shows
        self.is_opponent = bool(shows)  # IPO is held against its controls, not against its own variants
        self._preset = preset
        self._own = own

    def config(self, shared: RunConfig) -> RunConfig:
        """Return the complete configuration of the run, with the budget of all methods.

        Raises:
            InputError: a setting is wrong.
        """
        given = {key: getattr(shared, key) for key in shared.model_fields_set}
        # Of the presets only what shapes the search is taken: their steps and candidates would be another budget.
        budget = {"steps": shared.steps, "candidates_per_step": shared.candidates_per_step, "patience": None}
        return build({**given, **budget, "preset": self._preset, **self._own}, where="the settings of the grid")

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return those of a search with this method's way to choose."""
        return seen_by_a_search(self.config(config))

    def fit(self, job: Job) -> Templates:
        """Run the search in the job's folder, or go on with the one that is there.

        The run opens the test pictures itself, at its own end, to write an ordinary `result.json`; its template is
        chosen by then.

        Raises:
            InputError: see `optimize`, or the folder holds a run of another configuration.
            NothingUsable, dspy.LMError: see `optimize`.
        """
        from ipo.experiments.run.live_view import Ui
        from ipo.experiments.run.pipeline import optimize

        config, folder = self.config(job.config), job.folder / "run"
        begun = is_begun(config, folder)
        result = optimize(config, folder, Ui(config.steps, quiet=True), resume=begun).result
        templates = tuple((member["template"], member["weight"]) for member in result["templates"])
        return Templates(job.clip, templates, result["selection"], _budget(config, folder, result))


def _budget(config: RunConfig, folder: Path, result: dict[str, Any]) -> Budget:
    """Count what the search used, whether its replies were made for it or came from the cache of earlier runs.

    Methods of one seed share that cache, so that what each really paid depends on which of them ran first.
    """
    from ipo.programs.lm.connect import find_backend
    from ipo.programs.record.journal import read

    replies = [event for event in read(folder) if event["type"] == "lm"]
    models = {
        "optimizer": (config.lm, config.lm_api_base),
        "describer": (config.describer, config.describer_api_base),
    }
    price = {}
    for role in {event["role"] for event in replies if event["cached"]}:
        name, base = models[role]
        price[role] = find_backend(name, role=role, api_base=base, seed=config.seed).price
    used = [_tokens(event) for event in replies]
    dollars: list[float | None] = [
        price[event["role"]](*tokens) if event["cached"] else event["usd"]
        for event, tokens in zip(replies, used, strict=True)
    ]
    return Budget(
        proposals=result["templates_scored"] - 1,
        calls=len(replies),
        tokens_in=sum(tokens for tokens, _ in used),
        tokens_out=sum(tokens for _, tokens in used),
        usd=None if None in dollars else round(sum(paid or 0.0 for paid in dollars), 6),
    )


def _tokens(reply: Event) -> tuple[int, int]:
    """Return the tokens in and out of a recorded reply, also of one that cost nothing."""
    usage = reply["reply"].get("usage") or {}
    return usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
