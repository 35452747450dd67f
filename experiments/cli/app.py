"""The `ipo` command. Everything heavy is imported inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ipo.experiments.cli import data_app, models_app
from ipo.metrics.errors import InputError

# Read when OpenMP is loaded: with other work on the cores, spinning workers are slower than one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

app = typer.Typer(
    name="ipo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find prompt templates for CLIP that people can read: an LLM writes them, a frozen CLIP scores them.",
)
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")

INTERRUPTED = 130
WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[CONFIG.yaml] [key=value …]", help="settings, listed below")
]
Data = Annotated[
    str | None,
    typer.Option(
        help="embedded[:NAME], folder:PATH, csv:PATH, parquet:PATH, hf:NAME, or a name of `ipo data list`",
        metavar="SPEC",
    ),
]
ClipName = Annotated[str | None, typer.Option("--clip", help="embedded, ViT-B-16/openai, hf-hub:…", metavar="SPEC")]
Lm = Annotated[str | None, typer.Option("--lm", help="local, openai/gpt-4o-mini, …, replay/RUN_DIR", metavar="NAME")]
Describer = Annotated[
    str | None, typer.Option(help="clip, none, or a multimodal model such as openai/gpt-4o-mini", metavar="NAME")
]
Seed = Annotated[int | None, typer.Option(help="of the pictures drawn and of the language model")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress")]


class _WithSettings(TyperCommand):
    """Lists every setting below the flags, from the configuration itself, so that the help cannot go stale."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from ipo.experiments.run.config import RunConfig

        rows = [
            (name if field.default is None else f"{name}={field.default}", field.description or "")
            for name, field in RunConfig.model_fields.items()
        ]
        with formatter.section("Settings, in CONFIG.yaml or as key=value, with their defaults"):
            formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)


@app.command(
    cls=_WithSettings,
    context_settings=WORDS,
    epilog="\b\nExamples:\n  ipo optimize\n  ipo optimize --data folder:pets --clip ViT-B-16/openai "
    "--lm openai/gpt-4o-mini --budget-usd 0.50\n  ipo optimize my.yaml steps=50 shots=4\n  "
    "ipo optimize --resume runs/RUN",
)
def optimize(
    context: typer.Context,
    words: Words = None,
    data: Data = None,
    clip: ClipName = None,
    lm: Lm = None,
    describer: Describer = None,
    steps: Annotated[int | None, typer.Option(help="how often the language model is asked")] = None,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="run directory; default runs/DATE-NAME", metavar="DIR")] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with the run in this directory", metavar="DIR")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="stop before this many US dollars are spent")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="stop before this many tokens are used")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="stop after this many minutes")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be asked and what it would cost")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search a better template, choose it on held-back pictures, test it once on sealed ones."""
    from ipo.experiments.cli import optimize as command

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
    all_words = [*(words or []), *context.args]
    raise typer.Exit(command.run(all_words, flags, out=out, resume=resume, dry_run=dry_run, as_json=json_, quiet=quiet))


@app.command(epilog="Example:  ipo evaluate --template 'a photo of a <CLASS>.' --template 'a sketch of a <CLASS>.'")
def evaluate(
    template: Annotated[list[str] | None, typer.Option(help="a template; may be given several times")] = None,
    templates_file: Annotated[Path | None, typer.Option(help="a text file, one template a line")] = None,
    data: Data = None,
    clip: ClipName = None,
    part: Annotated[str, typer.Option(help="which pictures: train, val or test")] = "test",
    seed: Seed = None,
    json_: Json = False,
) -> None:
    """Score templates on a data set; later ones are compared with the first."""
    from ipo.experiments.cli import evaluate as command

    raise typer.Exit(
        command.run(
            template or [], templates_file, data or "embedded", clip or "embedded", part, seed or 0, as_json=json_
        )
    )


@app.command(epilog="Example:  ipo predict runs/RUN holiday/ cat.jpg --format csv > labels.csv")
def predict(
    program: Annotated[Path, typer.Argument(help="a run directory or its program.json")],
    pictures: Annotated[list[Path], typer.Argument(help="pictures, or folders of them")],
    format_: Annotated[str, typer.Option("--format", help="table, csv or jsonl")] = "table",
) -> None:
    """Label pictures with an optimised program."""
    from ipo.experiments.cli import predict as command

    raise typer.Exit(command.run(program, pictures, format_))


@app.command(
    context_settings=WORDS,
    epilog="\b\nExamples:\n  ipo benchmark embedded --dry-run\n  ipo benchmark embedded --executor pool:2\n  "
    "ipo benchmark main-1-shot lm=openai/gpt-4o-mini --budget-usd 20\n  ipo benchmark my-grid.yaml seeds=5",
)
def benchmark(
    context: typer.Context,
    grid: Annotated[str, typer.Argument(help="a grid file, or the name of a shipped grid", metavar="GRID[.yaml]")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="keys of the grid, or settings of all methods")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where the cells go; default runs/GRID", metavar="DIR")] = None,
    executor: Annotated[str, typer.Option(help="here, pool:N, ray, ray:ADDRESS", metavar="SPEC")] = "here",
    budget_usd: Annotated[float | None, typer.Option(help="stop once the cells have cost so many US dollars")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be asked and what it would cost")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a grid of protocol, data sets, methods and seeds to a table; the same command goes on with a killed one."""
    from ipo.experiments.cli import benchmark as command

    all_words = [*(words or []), *context.args]
    raise typer.Exit(
        command.run(
            grid,
            all_words,
            out=out,
            executor=executor,
            budget_usd=budget_usd,
            dry_run=dry_run,
            as_json=json_,
            quiet=quiet,
        )
    )


@app.command(
    epilog="\b\nExamples:\n  ipo report runs/RUN\n  ipo report sweep/seed-0 sweep/seed-1 sweep/seed-2 --out sweep.html"
)
def report(
    runs: Annotated[list[Path], typer.Argument(help="run directories", metavar="RUN…")],
    out: Annotated[
        Path | None,
        typer.Option(help="the file; default RUN/report.html, for several runs report.html", metavar="FILE"),
    ] = None,
) -> None:
    """Make the page that a person reads: one run told from answer to command, or several side by side."""
    from ipo.experiments.cli import report as command

    raise typer.Exit(command.run(runs, out))


@app.command(epilog="Example:  ipo export runs/RUN --to open_clip --out pets-open_clip")
def export(
    program: Annotated[Path, typer.Argument(help="a run directory or its program.json")],
    to: Annotated[str, typer.Option(help="open_clip, clip_benchmark, hf, npz, txt or program.json", metavar="TARGET")],
    out: Annotated[Path, typer.Option(help="where to; must not exist yet", metavar="PATH")],
    pictures: Annotated[
        Path | None, typer.Option(help="pictures to compare on; default some that ship with us", metavar="PATH")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="clip_benchmark: its name of the data set; default wds/ipo", metavar="NAME")
    ] = None,
    hf_model: Annotated[
        str | None, typer.Option(help="hf: hub id or folder of the same CLIP in its format", metavar="ID")
    ] = None,
) -> None:
    """Carry an optimised program into another tool, and check it there by that tool's own library."""
    from ipo.experiments.cli import export as command

    raise typer.Exit(command.run(program, to, out, pictures, dataset, hf_model))


@app.command(
    context_settings=WORDS,
    epilog="\b\nExamples:\n  ipo sweep history --executor pool:2\n  ipo sweep my-sweep.yaml --count 20\n  "
    "ipo sweep ENTITY/PROJECT/ID",
)
def sweep(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            help="a W&B sweep file, llm, history or seeds, or a sweep to join", metavar="FILE|ENTITY/PROJECT/ID"
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="settings of `ipo optimize` for every run")
    ] = None,
    count: Annotated[int | None, typer.Option(help="most runs; a random search needs it", metavar="N")] = None,
    executor: Annotated[str, typer.Option(help="here, pool:N, ray, ray:ADDRESS", metavar="SPEC")] = "here",
    out: Annotated[Path | None, typer.Option(help="where the runs go; default runs/sweep-NAME", metavar="DIR")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be run and what it would cost")] = False,
) -> None:
    """Run a Weights & Biases sweep: with a key its server's agents, without one the same search on this machine."""
    from ipo.experiments.cli import sweep as command

    all_words = [*(words or []), *context.args]
    raise typer.Exit(command.run(target, all_words, count=count, executor=executor, out=out, dry_run=dry_run))


@app.command()
def doctor(
    lm: Lm = None, clip: ClipName = None, describer: Describer = None, data: Data = None, json_: Json = False
) -> None:
    """Say what is installed, which models and keys are there, what a run would do and cost."""
    from ipo.experiments.cli import doctor as command

    raise typer.Exit(command.run({"lm": lm, "clip": clip, "describer": describer, "data": data}, as_json=json_))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; every error that a person can mend is one sentence on stderr.

    Returns:
        0 done, 1 failed, 2 bad input, 3 stopped by a budget with a valid result, 130 interrupted.
    """
    command = typer.main.get_command(app)
    try:
        outcome: Any = command.main(args=arguments, prog_name="ipo", standalone_mode=False)
        if outcome == INTERRUPTED:  # typer catches Ctrl-C and says nothing
            return _fail(
                "interrupted; what was done is kept: go on with --resume and the run directory; a benchmark or a sweep "
                "goes on with the same command.",
                INTERRUPTED,
            )
        return int(outcome or 0)
    except InputError as error:
        return _fail(str(error), 2)
    except PermissionError as error:
        return _fail(f"cannot get at {error.filename}: {error.strerror}; change its permissions or name another.", 2)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's own: a wrong flag or a missing argument
            return _usage_error(error)
        if type(error).__name__ == "Abort":
            return _fail("interrupted.", INTERRUPTED)
        message = _failure(error)
        if message is None:
            raise
        return _fail(message, 1)


def _usage_error(error: Any) -> int:
    """Word a wrong flag or a missing argument in our form; a command without arguments answers with its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        path = error.ctx.command_path if getattr(error, "ctx", None) else "ipo"
        reason = " ".join(error.format_message().split()).rstrip(". ")
        _fail(f"{reason[:1].lower()}{reason[1:]}; see `{path} --help`.", error.exit_code)
    return int(error.exit_code)


def _failure(error: Exception) -> str | None:
    """Word the failures that are not the user's to mend but are expected: the language model's."""
    if "dspy" not in sys.modules:
        return None
    from dspy.utils.exceptions import AdapterParseError, LMError

    from ipo.programs.optimizer import NothingUsable
    from ipo.programs.record.journal import redact

    if isinstance(error, NothingUsable):
        return str(error)
    if isinstance(error, LMError):
        reason = redact(" ".join(str(error).split()))[:400]
        return (
            f"the language model failed ({type(error).__name__}: {reason}); what was done is kept, go on with --resume."
        )
    if isinstance(error, AdapterParseError):
        answer = redact(" ".join(str(error.lm_response or "").split()))[:200]
        return f"the language model's answer cannot be read ({answer!r}); try another model with --lm or --describer."
    return None


def _fail(message: str, code: int) -> int:
    print(f"ipo: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
