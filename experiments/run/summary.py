"""What a run found, as its last lines on a terminal say it: the whole, or the answer alone."""

from __future__ import annotations

import shlex
from pathlib import Path

from ipo.experiments.report.gather import Program
from ipo.experiments.run.comparison import Comparison, Measured
from ipo.experiments.run.config import CONFIG_FILE, load_config
from ipo.experiments.run.files import read_model
from ipo.experiments.run.live_view import money
from ipo.experiments.run.result import RunResult
from ipo.metrics.errors import InputError
from ipo.programs.lm.connect import REPLAY


def answer(result: RunResult) -> str:
    """Return the template in a line of its own, then what it is worth: all that a quiet run prints."""
    known = result.baselines
    general = [line.strip() for line in _general(result)]
    warning = [known.warning] if known and known.warning else []
    return "\n".join([*_told(result), result.verdict, *general, *warning])


def _told(result: RunResult) -> list[str]:
    """Return the template; of an ensemble all, with their weights."""
    if len(result.templates) == 1:
        return [result.template]
    return [f"{member.weight:g} x {member.template}" for member in result.templates]


def summary(result: RunResult, folder: Path) -> str:
    """Format a result for a person: the template, what it gains where, how sure that is, what to do next."""
    quoted = shlex.quote(str(folder))
    found_on = "search and selection" if "selection" in result.scores else "search"
    unit, measure = result.reward.unit, result.reward.measure
    rows: dict[str, Comparison] = {f"{part}": score for part, score in result.scores.items()}
    rows |= {f"test, {name}": score for name, score in result.other_measures.items()}
    width = max(10, *map(len, rows))
    known = result.baselines
    told = [*(f"  {template}" for template in _told(result)), ""]
    warning = [f"  {known.warning}", ""] if known and known.warning else []
    near_guessing = known and known.weak == "near guessing"
    lines = ["", *(warning + told if near_guessing else told + warning)]
    lines.append(f"  {unit:{width}} {'n':>6}  {'initial':>22}  {'optimised':>22}  {'difference':>24}")
    lines += [f"  {part:{width}} {_row(score)}" for part, score in rows.items()]
    if h := result.harmonic_mean:
        lines.append(f"  harmonic mean of test and new: {100 * h.initial:.2f} → {100 * h.optimised:.2f}")
    lines += [
        f"  {measure} in percent with 95 % intervals; the template was found on {found_on} {unit} only",
        "",
        "  " + result.verdict,
        *_general(result),
        *([f"  {known.words}"] if known else []),
        *([f"  {result.ensemble.words}"] if result.ensemble else []),
        *([f"  {result.offsets.words}"] if result.offsets else []),
        *([f"  {result.started.words}"] if result.started else []),
        *([f"  Before the search: {result.headroom.verdict}"] if result.headroom else []),
    ]
    scored = result.templates_scored
    tried = f"{scored} template{'s' * (scored != 1)} in {result.seconds['total']:.0f} s"
    if result.looked_at:
        tried += f", {result.looked_at:,} more looked at"
    used = result.lm.optimizer
    asked = "no language model"
    if used:
        calls = "recorded calls" if _is_replay(folder) else "calls"
        asked = f"{used.name}: {used.calls} {calls}, {used.tokens_in + used.tokens_out:,} tokens, {money(used.usd)}"
    lines += [
        f"  {tried}; {asked}",
        f"  run directory: {folder}   (journal.jsonl holds every request and reply)",
        f"  read: {folder / 'report.html'}",
        *_instead(result, folder),
        f"  next: ipo predict {quoted} PICTURES, or ipo export {quoted} --to {_target(folder)}",
    ]
    return "\n".join(lines)


def _instead(result: RunResult, folder: Path) -> list[str]:
    """Say what is better than to use a template that is not shown to be one; nothing where that is another CLIP."""
    file, weak = folder / CONFIG_FILE, result.baselines and result.baselines.weak
    gained = any(result.scores[part].difference.outcome == "gain" for part in ("test", "new") if part in result.scores)
    if gained or weak or not file.is_file():
        return []
    config = load_config(file)
    more = [f"shots={2 * config.shots}"]
    if config.selection == "held-back":
        more.append(f"selection_shots={2 * max(1, config.selection_shots)}")
    again = shlex.join(["ipo", "optimize", str(file), *more])
    return [
        f"  advice: stay with the initial template, {result.initial_template}",
        f"          or search with more labelled pictures, if each class has so many: {again}",
    ]


def _is_replay(folder: Path) -> bool:
    file = folder / CONFIG_FILE
    return file.is_file() and load_config(file).lm.startswith(REPLAY)


def _target(folder: Path) -> str:
    """Return the arguments of an export that can hold the program; open_clip has no place for synonyms and offsets."""
    try:
        program = read_model(Program, folder / "program.json")
    except InputError:  # the folder was moved since
        return "open_clip --out DIR"
    return "npz --out FILE.npz" if program.synonyms or program.offsets else "open_clip --out DIR"


def _general(result: RunResult) -> list[str]:
    general = result.scores["test"].like_these
    base = " (the base ones)" if "new" in result.scores else ""
    return [f"  For {general.covers}{base}: {general.numbers}."] if general else []


def _row(score: Comparison) -> str:
    gain = score.difference
    return (
        f"{score.initial.n:6,}  {_percent(score.initial):>22}  {_percent(score.optimised):>22}  "
        f"{100 * gain.mean:+7.2f} [{100 * gain.ci95[0]:+.2f}, {100 * gain.ci95[1]:+.2f}]"
    )


def _percent(score: Measured) -> str:
    low, high = score.ci95
    return f"{100 * score.value:6.2f} [{100 * low:.1f}, {100 * high:.1f}]"
