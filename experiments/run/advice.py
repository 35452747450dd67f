"""Advice after a run: one piece of advice from the result, and the commands that a person can type next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from ipo_prompts.experiments.run.config import CONFIG_FILE, RunConfig
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.programs.record.trust import to_type

DEMO_ENDS = "ipo docs own-pictures"
"""The command that a person types after a run with the demo CLIP."""


def is_gain(result: RunResult) -> bool:
    """Return whether the chosen template is shown to be better than the initial template on a sealed part."""
    return any(result.scores[part].difference.outcome == "gain" for part in ("test", "new") if part in result.scores)


def stays(result: RunResult) -> bool:
    """Return whether the chosen template is the initial template."""
    return result.template == result.initial_template


def weak(result: RunResult) -> Literal["near guessing", "far below the class mean"] | None:
    """Return why no template can be a good answer on these pictures, by the baselines; None if none is known."""
    return result.baselines.weak if result.baselines else None


def advice(result: RunResult, config: RunConfig | None, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Return the advice that is most likely to help, as a text, and the parts of its command, empty if it has none.

    Args:
        result: the result of a tested run.
        config: the configuration of the run; None if only a result is at hand: then no run is repeated.
        folder: the run directory, as it stands in commands.
    """
    known, head = result.baselines, result.head
    again = _again(config, folder)
    if head:
        if head.over_words.difference < 0 and again:
            return "pictures added nothing on the test pictures; let words alone decide:", (again, "head=words")
        return "use the program as it is: words and pictures decide together", ()
    if weak(result) == "near guessing":
        return "another CLIP is likely to help more than words: this one is near guessing here", ()
    if is_gain(result):
        return "use it", ()
    stay = "" if stays(result) else f"stay with the initial template, {result.initial_template}; "
    if result.scores["test"].difference.outcome == "no test":
        until = f"until new {result.reward.unit} have tested this one"
        return f"stay with the initial template, {result.initial_template}, {until}", ()
    if known and known.weak:
        better = "class names that this CLIP knows better, or another CLIP, are likely to help more than other words"
        return f"{stay}{better}", ()
    if again and config and result.data.more:
        twice = config.with_twice_the_shots()
        more = f"shots={twice.shots}"
        if config.selection == "held-back":
            more += f" selection_shots={twice.selection_shots}"
        return (
            f"{stay}search and choose with {result.data.more:,} more of the labelled {result.reward.unit}; the sealed "
            "ones are then opened again, so a gain has to be larger:"
        ), (again, more)
    return f"{stay}label more pictures: the run had all that there are", ()


def _again(config: RunConfig | None, folder: Path) -> str | None:
    """Return the command that repeats the run; a caller adds changed settings to it.

    Return None without a configuration, or if the run directory has no `config.yaml`.
    """
    if config is None or not (file := folder / CONFIG_FILE).is_file():
        return None
    typed = [f"{key}={value}" for key, value in to_type(config.model_dump()).items()]
    return shlex.join(["ipo", "optimize", str(file), *typed])


def commands_to_use(result: RunResult, folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the commands that use the program, by label, each in parts.

    `next` labels pictures. `or` exports the program; it is given only for a tested program that is worth using.
    open_clip does not have the demo CLIP, so `or` names the page about the user's own pictures then.
    """
    quoted = shlex.quote(str(folder))
    predict = f"ipo predict {quoted}"
    if not (is_gain(result) or stays(result) or result.head):
        initial = f"--template {shlex.quote(result.initial_template)}"
        return {"next": (predict, initial, "PICTURES")}
    ends = result.export == "open_clip" and result.clip.name == "embedded"
    elsewhere = (DEMO_ENDS,) if ends else (f"ipo export {quoted}", f"--to {result.export} --out DIR")
    return {"next": (predict, "PICTURES"), "or": elsewhere}
