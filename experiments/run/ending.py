"""What a run says at its end, as one list: what it found, what to do, and the words to type.

The terminal prints the list, and the page shows it first. How sure a number is beyond its interval, what else was
compared and what it cost is on the page, below.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ipo_prompts.experiments.run.comparison import verdict
from ipo_prompts.experiments.run.config import CONFIG_FILE, RunConfig
from ipo_prompts.experiments.run.result import MEAN_OFF, PROGRAM, RunResult
from ipo_prompts.experiments.run.scores import Comparison
from ipo_prompts.experiments.run.ui import money
from ipo_prompts.metrics.verdict import between, points, share
from ipo_prompts.programs.record.trust import to_type

REPORT = "report.html"


@dataclass(frozen=True)
class Line:
    """One line of the end of a run.

    Attributes:
        label: what it is about, such as `test`; empty for a sentence that speaks for itself.
        text: a sentence or a number; empty where there is only something to type.
        command: what to type, in parts between which a long line may be broken; empty where nothing is typed.
    """

    label: str
    text: str
    command: tuple[str, ...] = ()


def ending(result: RunResult, config: RunConfig | None, folder: Path) -> list[Line]:
    """Return what a finished run says, in order: the verdict, the numbers, one piece of advice, the next commands.

    Args:
        result: of the run.
        config: its configuration; None where a result stands alone, of which no command can be given.
        folder: the run directory, as commands name it.
    """
    more = "; labels.csv has what the template names every picture" if result.untested else ""
    where = [Line("cost", _cost(result, config)), Line("run directory", f"{folder}   (open {REPORT} in it{more})")]
    if result.untested:
        commands = commands_to_test(result, folder, config.data) if config else []
        tests = [Line("test", "", (command,)) for command in commands]
        return [Line("", result.verdict), Line("", result.untested.words), *where, *tests, *_next(result, folder)]
    found = [Line("", short_verdict(result)), *_numbers(result), *_advice(result, config, folder)]
    return [*found, *where, *_next(result, folder)]


def short_verdict(result: RunResult, *, numbers: bool = True) -> str:
    """Return the verdict with its interval and p, without the power of the test and other openings of it."""
    return verdict(
        result.scores["test"],
        result.reward.unit,
        1,
        new=result.scores.get("new"),
        untried=result.ended if result.templates_scored == 1 else None,
        numbers=numbers,
        limit=False,
    )


def is_gain(result: RunResult) -> bool:
    """Whether the chosen template is shown to be better than the initial one, on either sealed part."""
    return any(result.scores[part].difference.outcome == "gain" for part in ("test", "new") if part in result.scores)


def stays(result: RunResult) -> bool:
    """Whether the program of the run is the initial template."""
    return result.template == result.initial_template


def commands_to_test(result: RunResult, folder: Path, data: str) -> list[str]:
    """Return the commands that test a run without labels: what it found, and its rival, by clicks."""
    pictures = data.removeprefix("folder:")
    programs = [str(folder / name) for name in (PROGRAM, MEAN_OFF)]
    rival = shlex.join(["ipo", "label", *programs, "--data", pictures, "--out", f"{folder}-rival"])
    kept = result.template == result.initial_template
    return [rival] if kept else [shlex.join(["ipo", "label", str(folder)]), rival]


def _numbers(result: RunResult) -> list[Line]:
    """Return the values on the sealed pictures, a line each, and what else was asked for."""
    lines = [Line("test", f"{_before_and_after(result, result.scores['test'])} (95 % intervals)")]
    if new := result.scores.get("new"):
        lines.append(Line("new classes", _before_and_after(result, new)))
    known = result.baselines
    if known and known.class_mean:
        lines.append(
            Line("class mean", f"{share(known.class_mean)}, no words: {known.labelled:.3g} labelled pictures a class")
        )
    if names := result.names:
        found = names.sealed
        told = (
            f"{len(names.renamed)} have another name: {points(found.difference)} points {between(found)}"
            if found
            else ""
        )
        lines.append(Line("names", told or "all classes keep theirs"))
    if (offsets := result.offsets) and offsets.gain is not None:
        added = offsets.sealed["test"].template
        kept = "kept" if offsets.kept else "not kept"
        lines.append(Line("offsets", f"{kept}: they add {points(added.difference)} points {between(added)}"))
    if head := result.head:
        over = f"{points(head.over_words.difference)} points {between(head.over_words)} over words"
        kept = f"{share(head.both)}, {over}" if head.kept else "not taken: words alone decide better"
        lines.append(Line("with pictures", kept))
    return lines


def _before_and_after(result: RunResult, score: Comparison) -> str:
    measure, n = result.reward.measure, f"n = {score.optimised.n:,}"
    if score.difference.outcome == "same templates":
        return f"{measure} {share(score.initial)}, {n}"
    return f"{measure} {share(score.initial)} → {share(score.optimised)}, {n}"


def _advice(result: RunResult, config: RunConfig | None, folder: Path) -> list[Line]:
    """Return the one thing that is most likely to help, from what the run knows; nothing where nothing is known."""
    known, head, near = result.baselines, result.head, "near guessing"
    again = _again(config, folder)
    lead = known.lead if known else None
    if lead and lead.ci95[0] > 0 and not head and again:
        told = (
            "pictures tell more than words here: the mean picture of a class names "
            f"{points(lead.difference)} points {between(lead)} more than the template, on pictures left out of it; "
            "let both decide:"
        )
        return [Line("advice", told, (again, "head=blend"))]
    if head and head.kept:
        return [Line("advice", "use the program as it is: words and pictures decide together")]
    if (known and known.weak == near) or (result.headroom and result.headroom.outcome == near and not is_gain(result)):
        return [Line("advice", "another CLIP is likely to help more than words: this one is near guessing here")]
    if is_gain(result):
        return [Line("advice", "use it")]
    stay = "" if stays(result) else f"stay with the initial template, {result.initial_template}; "
    if result.scores["test"].difference.outcome == "no test":
        until = f"until new {result.reward.unit} have tested this one"
        return [Line("advice", f"stay with the initial template, {result.initial_template}, {until}")]
    if known and known.weak:
        told = "class names that this CLIP knows better, or another CLIP, are likely to help more than other words"
        return [Line("advice", f"{stay}{told}")]
    if again and config and result.data.more:
        twice = config.with_twice_the_shots()
        more = f"shots={twice.shots}"
        if config.selection == "held-back":
            more += f" selection_shots={twice.selection_shots}"
        told = (
            f"search and choose with {result.data.more:,} more of the labelled {result.reward.unit}; the sealed ones "
            "are opened again then, so that a gain has to be larger:"
        )
        return [Line("advice", f"{stay}{told}", (again, more))]
    if stays(result):
        return [Line("advice", "label more pictures: the run had all that there are")]
    asked = (f"ipo label {shlex.quote(str(folder))}", "--data PICTURES")
    return [Line("advice", f"{stay}label more pictures, or compare both by clicks, on pictures of your own:", asked)]


def _again(config: RunConfig | None, folder: Path) -> str | None:
    """Return the command that makes the run again, to which settings are added; None where its file is gone."""
    if config is None or not (file := folder / CONFIG_FILE).is_file():
        return None
    typed = [f"{key}={value}" for key, value in to_type(config.model_dump()).items()]
    return shlex.join(["ipo", "optimize", str(file), *typed])


def _next(result: RunResult, folder: Path) -> list[Line]:
    """Return what names pictures, and what takes the program away, where it is worth that."""
    quoted, above = shlex.quote(str(folder)), "" if result.above is None else f" --above {result.above:g}"
    if not (result.untested or is_gain(result) or stays(result) or result.head):
        instead = f"--template {shlex.quote(result.initial_template)}"
        return [Line("next", "", (f"ipo predict {quoted}{above}", instead, "PICTURES"))]
    away = [Line("or", "", (f"ipo export {quoted}", f"--to {result.export} --out DIR"))]
    return [Line("next", "", (f"ipo predict {quoted}{above}", "PICTURES")), *([] if result.untested else away)]


def _cost(result: RunResult, config: RunConfig | None) -> str:
    """Say how many templates were tried, how long that took and what it asked."""
    from ipo_prompts.programs.lm.connect import REPLAY  # which imports DSPy; tables of cells need none

    scored = result.templates_scored
    tried = f"{scored} template{'s' * (scored != 1)} in {result.seconds['total']:.0f} s"
    used = result.lm.optimizer
    asked = "no language model"
    if used:
        calls = "recorded calls" if config and config.lm.startswith(REPLAY) else "calls"
        asked = f"{used.name}: {used.calls} {calls}, {used.tokens_in + used.tokens_out:,} tokens, {money(used.usd)}"
    return f"{tried}; {asked}"
