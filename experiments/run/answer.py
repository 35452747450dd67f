"""The answer of a finished run: what helped, a table of what each step did on the held-out test, and what to type next.

Terminal, page, notebook and `ipo report` show the same lines.
"""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import NamedTuple

from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.result import AnswerRow, PartName, RunResult, What
from ipo_prompts.metrics.errors import money, printable
from ipo_prompts.metrics.verdict import format_p, points, share
from ipo_prompts.programs.lm import REPLAY
from ipo_prompts.programs.trust import resume_command

PAGE = "report.html"
DEMO_ENDS = "ipo docs own-images"
"""The command that a person types after a run with the demo CLIP."""
LABEL = "label your images"
"""What the command `ipo predict` is for, on the page."""
BIBTEX = """\
@inproceedings{du2024ipo,
  title = {{IPO}: Interpretable Prompt Optimization for Vision-Language Models},
  author = {Du, Yingjun and Sun, Wenfang and Snoek, Cees G. M.},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {37},
  year = {2024}
}"""
WIDTH = 120
"""The width of the table where the terminal has none, in characters."""
NEARLY_ALL = 0.8
"""The share of the gain in all from which one step gave nearly all of it."""
CALLED: dict[What, str] = {"other names": "names by search", "images": "labelled images"}
"""What gave a gain, where it is not called as its step."""


def headline(result: RunResult) -> str:
    """Say the gain of all steps together, and what gave it: only steps that can be told from chance.

    If nothing was tested, nothing can be told from chance, so no step is named.
    """
    *steps, total = result.rows_on(result.judged_on)
    mean, kept = total.difference.mean, [row for row in steps if row.kept]
    helped = [row for row in kept if row.difference.outcome == "gain"]
    found = f"{_gain(total)} points"
    if not kept:
        found = "nothing was convincingly better"
    elif kept[0].difference.outcome == "no test":
        found += f", {_shown(kept[0])}"
    elif not helped or mean <= 0:
        found = f"no gain for certain: {found}"
    else:
        most = [row for row in helped if row.difference.mean >= NEARLY_ALL * mean]
        if len(most) == 1 < len(kept):
            helped, found = most, f"{found}, nearly all"
        found += f" by {' and '.join(CALLED.get(row.what, row.what) for row in helped)}"
    return f"{found}, on {total.n:,} {total.part} {result.reward.unit}"


class AnswerLine(NamedTuple):
    """One line of the answer.

    Attributes:
        what: the step, or what the line is about.
        value: the score after the step, with its interval.
        gain: the gain over the line above, with its interval, in percentage points.
        note: whether the gain is shown; how many images were tested.
    """

    what: str
    value: str = ""
    gain: str = ""
    note: str = ""


def table(result: RunResult, part: PartName = "test") -> list[AnswerLine]:
    """Return the lines of one part of the images: the start, each step, and all steps together."""
    rows = result.rows_on(part)
    if not rows:
        return []
    lines = [AnswerLine(result.initial_template, share(rows[0].before))]
    lines += [_line(row) for row in rows[:-1]]
    total = rows[-1]
    note = f"{total.n:,} {result.reward.unit}"
    if total.classes and total.classes[0] < total.classes[1]:
        note += f" of {total.classes[0]:,} of {total.classes[1]:,} classes"
    if total.difference.over_classes:
        note += "; each class counts the same"
    return [*lines, AnswerLine("in all", "", _gain(total), note)]


def further(result: RunResult) -> list[AnswerLine]:
    """Return the sums by other measures: further measures of the reward, and the mean over imbalanced classes."""
    others = [row for row in result.rows if row.measure != result.reward.measure]
    return [
        AnswerLine(f"{row.measure}{', new classes' if row.part == 'new' else ''}", share(row.after), _gain(row))
        for row in others
    ]


def _line(row: AnswerRow) -> AnswerLine:
    prefix = {"names": "names: ", "template": "template: ", "other names": "names by search: ", "images": "and "}
    if not row.kept:
        stays = "the initial one stays" if row.what == "template" else row.how
        return AnswerLine(f"{'images: ' if row.what == 'images' else prefix[row.what]}{stays}")
    return AnswerLine(f"{prefix[row.what]}{row.how}", share(row.after), _gain(row), _shown(row))


def _gain(row: AnswerRow) -> str:
    low, high = row.difference.ci95
    return f"{points(row.difference.mean, 1)} [{points(low, 1)}, {points(high, 1)}]"


def _shown(row: AnswerRow) -> str:
    found = row.difference
    if found.p_corrected is None:
        alone = row.classes is not None and row.classes[0] < 2
        return "not tested" if alone or row.part in ("train", "val") else "tested before"
    low, high = found.ci95
    chance = "may be chance" if low <= 0 <= high else "may be chance, as one of several rows"
    return {"gain": format_p(found.p_corrected), "loss": "a loss"}.get(found.outcome, chance)


def summary(result: RunResult, config: RunConfig | None, folder: Path, width: int | None = None) -> str:
    """Format a result for a person: what helped, the template, the table, advice, and what to type next.

    Args:
        result: the result of a finished run.
        config: the configuration of the run; None if only a result is at hand.
        folder: the run directory, as it stands in commands.
        width: the width of the terminal, in characters.
    """
    from rich.table import Table
    from rich.text import Text

    lines = ["", f"  {headline(result)}", f"  {result.template}"]
    judge = result.judged_on
    titles: dict[PartName, str] = {judge: f"{judge} {result.reward.measure}", "new": "new classes"}
    for part, title in titles.items():
        if not result.rows_on(part):
            continue
        shown = Table("", title, "gain", "", box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
        for line in table(result, part):
            shown.add_row(*(Text(printable(cell)) for cell in line))
        lines += [f"  {line}" for line in _drawn(shown, (width or WIDTH) - 2)]
        if part == judge and result.controls:
            lines.append(f"  {comparison(result)}")
    if unused := unusable(result):
        lines.append(f"  {unused}")
    if result.advice:
        lines.append(f"advice: {result.advice}")
    lines.append(f"  cost: {cost(result, config)}")
    lines.append(f"  next: {next(iter(next_commands(result, folder).values()))}   (or open {folder / PAGE})")
    return "\n".join(lines)


def _drawn(shown: object, width: int) -> list[str]:
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width, no_color=True, highlight=False, legacy_windows=False).print(shown)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def comparison(result: RunResult) -> str:
    """Return the line with the controls."""
    return f"for comparison: {', '.join(f'{name} {share(found)}' for name, found in result.controls.items())}"


def unusable(result: RunResult) -> str:
    """Say that a language model was asked for templates and none could be used; "" if some could."""
    asked = result.lm.optimizer
    return f"no template of {asked.name} could be used" if asked and result.written == 0 else ""


def one_line(result: RunResult) -> str:
    """Return what a quiet run prints: the template, then what helped."""
    return f"{result.template}\n{headline(result)}"


def cost(result: RunResult, config: RunConfig | None) -> str:
    """Say how many templates were scored, how long the run took, and how often which language model was asked."""
    scored = result.templates_scored + result.scored_only
    tried = f"{scored:,} template{'s' * (scored != 1)} in {result.seconds['total']:.0f} s"
    used = result.lm.optimizer
    asked = "no language model"
    if used:
        recorded = "recorded " if config and config.lm.startswith(REPLAY) else ""
        calls = f"{used.calls} {recorded}call{'s' * (used.calls != 1)}"
        asked = f"{used.name}: {calls}, {used.tokens_in + used.tokens_out:,} tokens, {money(used.usd)}"
    return f"{tried}; {asked}"


def next_commands(result: RunResult, folder: Path) -> dict[str, str]:
    """Return the commands that use the program, the most likely one first: what it is for → the command.

    open_clip does not have the demo CLIP, so the last one names the page about the user's own images then.
    """
    quoted = shlex.quote(str(folder))
    if not result.rows_on("test"):
        return {"open the test": resume_command(folder, None, "test=yes"), LABEL: f"ipo predict {quoted} IMAGES"}
    elsewhere = {"use it in other tools": f"ipo export {quoted} --to {result.export} --out DIR"}
    if result.export == "open_clip" and result.clip.name == "embedded":
        elsewhere = {"try your own images": DEMO_ENDS}
    with_images = result.rows_on("test")[-2]
    alone = {}
    if with_images.what == "images" and with_images.kept:
        alone = {"the same, by text alone": f"ipo predict {quoted} IMAGES --text-only --out predicted.csv"}
    return {LABEL: f"ipo predict {quoted} IMAGES --out predicted.csv", **alone, **elsewhere}


def citation(result: RunResult) -> str:
    """Return a sentence for the methods section of a paper, and the BibTeX entry that it cites."""
    total = result.rows_on(result.judged_on)[-1]
    beside = "" if result.templates else " and labelled images"
    return (
        f"With IPO \\cite{{du2024ipo}}, {result.clip.name} decides on {result.data.name} ({result.data.classes:,} "
        f"classes) by the template “{result.template}”{beside}. On {total.n:,} {total.part} {result.reward.unit} its "
        f"{total.measure} is {share(total.after)}, a gain of {_gain(total)} points over “{result.initial_template}” "
        f"(brackets: 95 % intervals).\n\n{BIBTEX}"
    )
