"""The command `ipo optimize`: search for a template, test the template, and write the run directory."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipo_prompts.experiments.cli.app import Interrupted, new_app
from ipo_prompts.experiments.cli.common import (
    WORDS,
    Clip,
    Data,
    Describer,
    DryRun,
    Json,
    Lm,
    Quiet,
    Seed,
    WithSettings,
    examples,
    meaning,
    print_json,
    show,
)
from ipo_prompts.metrics.errors import InputError, at_most

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.config import RunConfig

EXAMPLES = examples(
    "ipo optimize",
    "ipo optimize --data folder:pets --clip ViT-B-16/openai --lm openai/gpt-4o-mini --budget-usd 0.50",
    "ipo optimize my.yaml steps=50 shots=4",
    "ipo optimize paper-1-shot --data eurosat",
    "ipo optimize --resume runs/RUN",
)


app = new_app()


@app.command("optimize", epilog=EXAMPLES, context_settings=WORDS, cls=WithSettings)
def search_template(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG] [DATA] [key=value …]",
            help="settings, listed below. DATA is as for --data. CONFIG is a YAML file or one of the published "
            "settings: paper-1-shot, paper-16-shot, code-1-shot",
        ),
    ] = None,
    data: Data = None,
    clip: Clip = None,
    lm: Lm = None,
    describer: Describer = None,
    steps: Annotated[int | None, typer.Option(help=meaning("steps"))] = None,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="run directory; default runs/DATE-NAME", metavar="DIR")] = None,
    resume: Annotated[Path | None, typer.Option(help="resume the run in this directory", metavar="DIR")] = None,
    budget_usd: Annotated[float | None, typer.Option(help=meaning("budget_usd"))] = None,
    budget_tokens: Annotated[int | None, typer.Option(help=meaning("budget_tokens"))] = None,
    max_minutes: Annotated[float | None, typer.Option(help=meaning("max_minutes"))] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Search for a better template, choose the winner with validation images, and test it once on test images."""
    from ipo_prompts.experiments.run.files import check_writable, default_folder, reserved
    from ipo_prompts.programs.redaction import check_key
    from ipo_prompts.programs.trust import resume_command

    if resume and out:
        raise InputError("--resume works in its own directory; leave --out away.")
    flags = {
        "data": data,
        "clip": clip,
        "lm": lm,
        "describer": describer,
        "steps": steps,
        "seed": seed,
        "budget_usd": budget_usd,
        "budget_tokens": budget_tokens,
        "max_minutes": max_minutes,
    }
    config = _configure(words or [], flags, resume)
    folder = resume or out or default_folder(config)
    # Keys, names, data and the folder are checked before heavy libraries are imported.
    if not dry_run:
        for name in (config.lm if config.asks_lm else "none", config.describer):
            check_key(name)
    if not resume:  # a finished run needs no images
        from ipo_prompts.experiments.data.load import check_spec
        from ipo_prompts.metrics.clip import check_name

        check_name(config.clip)
        check_spec(config.data)
        if not dry_run:
            check_writable(folder)
    from ipo_prompts.experiments.run.live_view import Ui, view

    ui = view(config, Ui(config.steps, quiet=quiet))
    if dry_run:
        from ipo_prompts.experiments.run.plan import estimate, plan, tested_before

        planned = plan(config, ready=False, say=ui.say)
        show(estimate(planned) | {"tested_before": tested_before(planned)}, forecast_text, as_json)
        return 0
    from dspy import LMError

    from ipo_prompts.experiments.pipeline import run_job
    from ipo_prompts.experiments.run.answer import one_line, summary
    from ipo_prompts.experiments.run.files import content_of
    from ipo_prompts.programs.journal import last

    try:
        with nullcontext(folder) if resume or out else reserved(folder) as folder:
            result = run_job(config, folder, ui, resume=resume is not None)
    except KeyboardInterrupt:
        if last(folder, "start") is None:
            raise Interrupted("interrupted before the search began; nothing is kept: repeat the command.") from None
        again = resume_command(folder, config.model_dump())
        raise Interrupted(f"interrupted; what was done is kept in {folder}: {again}") from None
    except LMError as error:
        error.resume_with = resume_command(folder, config.model_dump())
        raise
    if as_json:
        print_json(content_of(result))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(one_line(result) if quiet else summary(result, config, folder, width))
    return 3 if result.stopped else 0


def _configure(words: Sequence[str], flags: dict[str, Any], resume: Path | None) -> RunConfig:
    from ipo_prompts.experiments.run.config import shipped_config, shipped_configs
    from ipo_prompts.experiments.run.files import load_config, resumed
    from ipo_prompts.metrics.errors import did_you_mean

    words, flags["data"] = _take_data(words, flags["data"])
    first = words[0] if words else ""
    file = Path(first) if re.search(r"\.ya?ml$", first) else shipped_config(first)
    a_name = file is None and "=" not in first and not first.startswith("-")
    if a_name and (near := did_you_mean(first, shipped_configs())):
        known = ", ".join(shipped_configs())
        raise InputError(f"there is no configuration {first!r}{near}; give a YAML file or one of: {known}.")
    rest = list(words[1:] if file else words)
    if resume is None:
        return load_config(file, rest, to_run=True, **flags)
    again = [*words, *(f"{key}={value}" for key, value in flags.items() if value is not None)]
    given = load_config(file, rest, to_run=True, **flags)
    return resumed(resume, given, "the command line", again)


def _take_data(words: Sequence[str], flag: str | None) -> tuple[list[str], str | None]:
    """Separate the word that names data, such as `folder:pets`, from the other words.

    Args:
        words: the words on the command line.
        flag: the value of `--data`; None if it was not given.

    Returns:
        The other words, and the name of the data; None if neither a word nor the flag names data.
    """
    from ipo_prompts.experiments.data.load import names_data

    named = [word for word in words if names_data(word)]
    if flag is not None:
        named.append(flag)
    if len(named) > 1:
        raise InputError(f"data is given twice, {named[0]} and {named[1]}; name one.")
    return [word for word in words if not names_data(word)], named[0] if named else None


def forecast_text(forecast: dict[str, Any]) -> str:
    """Format a forecast of `estimate`, with `tested_before`, for a person."""
    from ipo_prompts.experiments.run.tested_before import told

    lines = [
        f"{role}: {part['name']}, about {part['calls']:,} calls if each answer can be used, with at most "
        f"{part['tokens_in']:,} tokens in and {part['tokens_out']:,} out, {at_most(part['usd'])}"
        for role in ("optimizer", "describer")
        if (part := forecast[role])
    ]
    taken = [told(forecast["tested_before"])] if forecast["tested_before"] else []
    taken.append(
        f"{forecast['images']:,} images are encoded, the test ones included, and at most {forecast['texts']:,} texts"
    )
    if forecast["views"]:
        taken[-1] += f"; if images help, {forecast['views']:,} further views of them, too"
    if not lines:
        return "\n".join([*taken, "no language model is asked; it costs nothing."])
    minutes = max(1, round(forecast["seconds"] / 60))
    waiting = f"about {minutes} min of waiting, and more if an answer has to be asked for again"
    together = f"together: {at_most(forecast['usd'])}, {waiting}; nothing was asked yet"
    return "\n".join([*taken, *lines, together])
