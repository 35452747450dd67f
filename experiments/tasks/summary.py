"""What several runs of an example show: each seed, the mean gain, and what the controls say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ipo.experiments.compare.text_table import code, text_table

if TYPE_CHECKING:
    from ipo.metrics.evidence import Effect, Part

Runs = Sequence[dict[str, Any]]


def summary(results: dict[str, list[dict[str, Any]]], unit: str) -> str:
    """Word the results as Markdown.

    Args:
        results: for each arm (the method first) its runs, in the order of the seeds; see `command.run_all`.
        unit: what n counts.
    """
    method, *controls = results
    blocks = [_table(results), *(_means(arm, runs, unit) for arm, runs in results.items())]
    blocks.append(_verdicts(results[method], {arm: results[arm] for arm in controls}))
    return "\n\n".join(blocks)


def _table(results: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for arm, runs in results.items():
        for run in runs:
            kept = " (kept)" if run["template"] == run["initial_template"] else ""
            for name, found in run["test"].items():
                low, high = found["difference"]["ci95"]
                rows.append(
                    [
                        arm,
                        str(run["settings"]["seed"]),
                        name,
                        f"{100 * found['initial']['accuracy']:.2f}",
                        f"{100 * found['optimised']['accuracy']:.2f}",
                        _gain(found["difference"]["mean"], low, high),
                        code(run["template"]) + kept,
                    ]
                )
    return text_table(["arm", "seed", "measure", "anchor", "optimised", "gain, sealed", "template"], rows)


def _means(arm: str, runs: Runs, unit: str) -> str:
    from ipo.metrics.statistics import mean_over_seeds

    scored = sum(run["templates_scored"] for run in runs) / len(runs)
    minutes = sum(run["seconds"] for run in runs) / 60 / len(runs)
    lines = [f"{arm}: {len(runs)} seed{'s'[: len(runs) > 1]}, {scored:.1f} templates and {minutes:.1f} minutes a run."]
    for name, found in runs[0]["test"].items():
        low, high = found["initial"]["ci95"]
        seeds = mean_over_seeds([run["test"][name]["difference"]["mean"] for run in runs])
        both = _effect(runs, name)
        lines.append(
            f"- {name}: anchor {100 * found['initial']['accuracy']:.2f} [{100 * low:.2f}, {100 * high:.2f}], mean gain "
            f"{_gain(both.mean, both.low, both.high)} over seeds and {unit} (n = {found['initial']['n']})"
            + (f", [{100 * seeds.low:+.2f}, {100 * seeds.high:+.2f}] over seeds alone" if len(runs) > 1 else "")
        )
    return "\n".join(lines)


def _verdicts(method: Runs, controls: dict[str, Runs]) -> str:
    """Compare with the anchor and each control by what the search maximises, corrected for their number."""
    from ipo.metrics.evidence import holm, verdict

    measure = next(iter(method[0]["test"]))
    effects = {"the anchor": _effect(method, measure)}
    effects |= {arm: _effect(method, measure, runs) for arm, runs in controls.items()}
    corrected = holm([effect.p for effect in effects.values()])
    return "\n".join(
        [f"In {measure}, which the search maximises, the method shows:"]
        + [
            f"- {verdict(other, effect, p, len(effects))}."
            for (other, effect), p in zip(effects.items(), corrected, strict=True)
        ]
    )


def _effect(runs: Runs, measure: str, against: Runs | None = None) -> Effect:
    """Return the gain over the anchor, or over another arm under the same seeds; pictures and seeds both vary.

    Units that are right or wrong have an exact test as well; units that contribute numbers only the t.
    """
    import numpy as np

    from ipo.metrics.evidence import SAME, Part, effect_of, paired_effect, spread

    others = [run["template"] for run in against] if against else [run["initial_template"] for run in runs]
    if [run["template"] for run in runs] == others:
        return SAME
    values = np.array([run["test"][measure]["units"] for run in runs])
    if against:
        values = values - np.array([run["test"][measure]["units"] for run in against])
    part: Part = Part(values, runs[0]["test"][measure]["groups"])
    if np.array_equal(values, np.rint(values)):
        return paired_effect([part])
    found = spread([part])
    return effect_of(found.mean, [found.pictures, found.seeds])


def _gain(mean: float, low: float, high: float) -> str:
    return f"{100 * mean + 0.0:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
