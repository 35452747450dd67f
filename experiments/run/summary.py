"""What a run found, as its last lines on a terminal say it: the whole, or the answer alone."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path

from ipo_prompts.experiments.report.gather import Program
from ipo_prompts.experiments.run.comparison import Comparison, Measured
from ipo_prompts.experiments.run.config import CONFIG_FILE, load_config
from ipo_prompts.experiments.run.files import read_model
from ipo_prompts.experiments.run.live_view import money
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.connect import REPLAY
from ipo_prompts.programs.record.resuming import to_type


def answer(result: RunResult) -> str:
    """Return the template in a line of its own, then what it is worth: all that a quiet run prints."""
    known = result.baselines
    warning = [known.warning] if known and known.warning else []
    return "\n".join([*_told(result), result.verdict, *_general(result), *warning])


def _told(result: RunResult) -> list[str]:
    """Return the template; of an ensemble all, with their weights."""
    if len(result.templates) == 1:
        return [result.template]
    return [f"{member.weight:g} x {member.template}" for member in result.templates]


def summary(result: RunResult, folder: Path, width: int | None = None) -> str:
    """Format a result for a person: the template, what it gains where, how sure that is, what to do next.

    Args:
        result: of a finished run.
        folder: its directory.
        width: of the terminal; longer sentences are wrapped at words, and nothing is where there is none.
    """
    quoted = shlex.quote(str(folder))
    found_on = "search and selection" if "selection" in result.scores else "search"
    unit, measure = result.reward.unit, result.reward.measure
    known = result.baselines
    told = [*(f"  {template}" for template in _told(result)), ""]
    warning = [_prose(known.warning, width), ""] if known and known.warning else []
    near_guessing = known and known.weak == "near guessing"
    lines = ["", *(warning + told if near_guessing else told + warning), *_table(result)]
    if h := result.harmonic_mean:
        lines.append(f"  harmonic mean of test and new: {100 * h.initial:.2f} → {100 * h.optimised:.2f}")
    lines += [
        _prose(f"{measure} in percent with 95 % intervals; the template was found on {found_on} {unit} only", width),
        "",
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
    sentences = [
        result.verdict,
        *_general(result),
        *([known.words] if known else []),
        *([result.left_out] if result.left_out else []),
        *([result.ensemble.words] if result.ensemble else []),
        *([result.offsets.words] if result.offsets else []),
        *([result.started.words] if result.started else []),
        *([f"Before the search: {result.headroom.verdict}"] if result.headroom else []),
        f"{tried}; {asked}",
        f"run directory: {folder}   (journal.jsonl holds every request and reply)",
        f"read: {folder / 'report.html'}",
    ]
    lines += [_prose(sentence, width) for sentence in sentences]
    lines += [
        *_instead(result, folder, width),
        _command("  next: ", f"ipo predict {quoted}", "PICTURES", width),
        _command("    or: ", f"ipo export {quoted}", f"--to {_target(folder)}", width),
    ]
    return "\n".join(lines)


def _instead(result: RunResult, folder: Path, width: int | None) -> list[str]:
    """Say what is better than to use a template that is not shown to be one; nothing where that is another CLIP."""
    file, weak = folder / CONFIG_FILE, result.baselines and result.baselines.weak
    gained = any(result.scores[part].difference.outcome == "gain" for part in ("test", "new") if part in result.scores)
    if gained or weak or not file.is_file():
        return []
    config = load_config(file)
    typed = [shlex.quote(f"{key}={value}") for key, value in to_type(config.model_dump()).items()]
    more = " ".join([*typed, f"shots={2 * config.shots}"])
    if config.selection == "held-back":
        more += f" selection_shots={2 * max(1, config.selection_shots)}"
    stay = f"advice: stay with the initial template, {result.initial_template}"
    search = "or search with more labelled pictures, if each class has so many:"
    again = _command("          ", f"ipo optimize {shlex.quote(str(file))}", more, width)
    return [_prose(stay, width), _prose(f"        {search}", width), again]


def _prose(text: str, width: int | None) -> str:
    """Indent a sentence, and wrap it between words where it is longer than a line."""
    if width is None:
        return f"  {text}"
    indented = textwrap.TextWrapper(
        width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return indented.fill(text)


def _command(label: str, start: str, rest: str, width: int | None) -> str:
    """Return a command to copy in one line, or in two that a shell takes as one."""
    line = f"{label}{start} {rest}"
    return line if width is None or len(line) <= width else f"{label}{start} \\\n{' ' * len(label)}  {rest}"


def _table(result: RunResult) -> list[str]:
    """Return the scores as lines of no more than 80 characters."""
    named: dict[str, Comparison] = {f"{part}": score for part, score in result.scores.items()}
    named |= {f"test, {name}": score for name, score in result.other_measures.items()}
    rows = [(result.reward.unit, "n", "initial", "optimised", "difference")]
    rows += [(name, *_cells(score)) for name, score in named.items()]
    name, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        f"  {row[0]:{name}} " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        for row in rows
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
    return "npz --out FILE.npz" if any(program.synonyms) or program.offsets else "open_clip --out DIR"


def _general(result: RunResult) -> list[str]:
    general = result.scores["test"].like_these
    base = " (the base ones)" if "new" in result.scores else ""
    return [f"For {general.covers}{base}: {general.numbers}."] if general else []


def _cells(score: Comparison) -> tuple[str, str, str, str]:
    gain = score.difference
    difference = f"{100 * gain.mean:+.2f} [{100 * gain.ci95[0]:+.2f}, {100 * gain.ci95[1]:+.2f}]"
    return f"{score.initial.n:,}", _percent(score.initial), _percent(score.optimised), difference


def _percent(score: Measured) -> str:
    """Format a score and the ends of its interval in whole percent; the report has these to a tenth."""
    low, high = score.ci95
    return f"{100 * score.value:.2f} [{100 * low:.0f}, {100 * high:.0f}]"
