"""The page: one file that needs nothing else, runs no script, and shows foreign text as text.

Everything printed into it is escaped; its security policy allows one style sheet, known by its hash, and embedded
pictures, and nothing else. There is no script, so there is none to be attacked. A notebook gets a part of it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.report import figures, formatting
from ipo_prompts.experiments.report.crossed import crossed
from ipo_prompts.experiments.report.curve import curve
from ipo_prompts.experiments.report.gather import Run, read_run
from ipo_prompts.experiments.report.words import edits, layers
from ipo_prompts.experiments.run.comparison import RewardNames
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.experiments.run.live_view import money

FILE_NAME = "report.html"
_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write `report.html` into a finished run directory; return where it is.

    Raises:
        InputError: see `read_run`; or the folder cannot be written.
    """
    file = folder / FILE_NAME
    write_text(file, run_page(read_run(folder)))
    return file


def run_page(run: Run) -> str:
    """Return the page of one run."""
    words = run.analysis.words if run.analysis else None
    return _render(
        "run.html.j2",
        run=run,
        reward=run.result.reward,
        title=f"{run.result.template} · IPO report",
        verdict=run.verdict,
        headline=run.headline,
        weak=run.weak,
        curve=curve(run.search),
        search_alt=figures.search_alt(run),
        optimism_plot=None if run.kept_initial else figures.optimism_plot(run),
        layers=layers(words.template, words.changes, words.n) if words else [],
    )


def notebook_part(run: Run) -> str:
    """Return what a notebook shows of a run: the answer, the search as a plot, a few pictures whose label changed.

    Without a style sheet or a script of its own, which notebooks do not let through.
    """
    template = _environment().get_template("notebook.html.j2")
    return str(template.render(run=run, reward=run.result.reward, plot=figures.search_plot(run)))


def compare_page(runs: Sequence[Run]) -> str:
    """Return the page that lays several runs side by side, in the order given."""
    from ipo_prompts.metrics.statistics import mean_over_seeds

    configs = [run.config.model_dump() for run in runs]
    differing = [key for key in configs[0] if any(config[key] != configs[0][key] for config in configs)]
    gains = [run.result.scores["test"].difference.mean for run in runs]
    same_clip = len({run.result.clip.fingerprint for run in runs}) == 1
    return _render(
        "runs.html.j2",
        runs=runs,
        reward=_shared_reward(runs),
        title=f"{len(runs)} runs side by side · IPO report",
        verdicts=[run.result.verdict for run in runs],
        plot=figures.comparison_plot(runs),
        configs=configs,
        differing=differing,
        crossed=crossed(runs),
        # A mean over runs says something about luck only where nothing but luck differs.
        mean=mean_over_seeds(gains) if differing == ["seed"] and same_clip else None,
        same_pictures=len({_tested_on(run) for run in runs}) == 1,
        same_clip=same_clip,
    )


def _tested_on(run: Run) -> tuple[str, int, tuple[str, ...]]:
    """What identifies a sealed test; the digest of all pictures differs from seed to seed where these are the same."""
    return run.result.data.name, run.result.scores["test"].optimised.n, tuple(run.program.class_names)


def _shared_reward(runs: Sequence[Run]) -> RewardNames:
    """What all runs call their measure and units; general words where they differ."""
    rewards = {run.result.reward for run in runs}
    return rewards.pop() if len(rewards) == 1 else RewardNames(name="several", measure="score", unit="units")


def _render(template: str, **content: Any) -> str:
    css = (_HERE / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return str(_environment().get_template(template).render(css=css, policy=policy, **content))


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=formatting.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        formatting.capital,
        formatting.percent,
        formatting.percents,
        formatting.whole_percent,
        formatting.points,
        formatting.interval,
        formatting.nats,
        formatting.nats_change,
        formatting.nats_interval,
        formatting.p_value,
        formatting.unbroken,
        formatting.duration,
        money,
    )
    environment.filters.update({one.__name__: one for one in filters})
    environment.filters["own_style"] = Markup  # for our own style sheet alone, whose hash is in the policy
    environment.globals.update(edits=edits, part_titles=figures.TITLES)
    return environment
