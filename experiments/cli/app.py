"""The command line `ipo`. Each command imports heavy libraries only when it runs, so that `--help` answers at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ipo_prompts.experiments.cli import benchmark, data, docs, installation, optimize, predict, results
from ipo_prompts.experiments.cli.common import INTERRUPTED, WORDS, WithSettings, drop_output, fail, tell_error

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


def new_app(name: str) -> typer.Typer:
    """Return an app that has no commands yet. It prints help and errors as `ipo` does."""
    return typer.Typer(
        name=name,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = new_app("ipo")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"ipo {version('ipo-prompts')}")
        raise typer.Exit


@app.callback()
def _ipo(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Find prompt templates for CLIP that people can read, and test them on pictures that the search never saw."""


app.command("optimize", epilog=optimize.EXAMPLES, context_settings=WORDS, cls=WithSettings)(optimize.search_template)
app.command("evaluate", epilog=results.EVALUATE)(results.evaluate_templates)
app.command(epilog=predict.EXAMPLES)(predict.predict)
app.command(epilog=benchmark.EXAMPLES, context_settings=WORDS)(benchmark.benchmark)
app.command(epilog=results.REPORT)(results.report)
app.command("export", epilog=results.EXPORT)(results.export_program)
app.command()(installation.doctor)
app.command()(docs.docs)
app.add_typer(data.data_app, name="data")
app.add_typer(installation.models_app, name="models")


def main(arguments: list[str] | None = None, of: typer.Typer = app) -> int:
    """Run the command line of `ipo` or of another app. An error that a person can fix is one sentence on stderr.

    Args:
        arguments: the words after the name of the command; None for those that were typed.
        of: the app.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad input, 3 stopped by a budget with a valid result, 130 interrupted.
    """
    words = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(of)
    if sys.stderr is None:  # else `print` would write messages to stdout, among the answers
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        return fail("stdout is closed, so the answer cannot be printed; send it to a file, or to /dev/null.", 2)
    try:
        with _stopped_as_from_the_keyboard():
            code = command.main(args=words, prog_name=of.info.name, standalone_mode=False)
        _flush()  # so that a failure to write is reported here, and not by the interpreter
    except Exception as error:
        if isinstance(error, BrokenPipeError) and not _flush():
            return 0
        failed = tell_error(error, _named(command, words))
        if failed is None:
            raise
        return failed
    if code == INTERRUPTED:  # typer catches Ctrl-C without a message; `optimize` prints its own message
        resumed = words[0] == "benchmark"
        kept = "what was done is kept: resume with the same command" if resumed else "repeat the command"
        return fail(f"interrupted; {kept}.", INTERRUPTED)
    return int(code or 0)


def _flush() -> bool:
    """Flush stdout. Return whether stdout still has a reader; `head`, for one, stops reading when it has enough lines.

    Raises:
        OSError: stdout cannot be written.
    """
    try:
        sys.stdout.flush()
        return True
    except BrokenPipeError:
        drop_output()
        return False
    except OSError:
        drop_output()
        raise


@contextmanager
def _stopped_as_from_the_keyboard() -> Iterator[None]:
    """Within the block, let SIGTERM end the command as Ctrl-C does. Schedulers send SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _named(command: Any, words: list[str]) -> str:
    """Return the full name of the command that `words` begin with, such as `ipo data check`."""
    path = str(command.name)
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        path += f" {word}"
    return path


if __name__ == "__main__":
    sys.exit(main())
