"""The command line `ipo`: which commands there are, how one is run, and how its errors are told.

The file of a command is loaded only when the command is typed, so that `--help` answers at once. An expected error is
printed as one sentence on stderr, and gives an exit code. Any other error is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ipo_prompts.metrics.errors import InputError, InputFaults, causes, printable

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""
COMMANDS = {
    "optimize": ("optimize", "Search for a better template, and test it once on test images."),
    "predict": ("predict", "Label images with an optimised program."),
    "evaluate": ("results", "Score templates on a data set, and compare each with the first."),
    "report": ("results", "Make a page that explains a run, or print the tables of a grid."),
    "export": ("results", "Export an optimised program to another tool, and check the export."),
    "benchmark": ("benchmark", "Run a grid of data sets, methods and seeds, and make a table."),
    "data": ("data", "List and check data sets."),
    "models": ("installation", "List, fetch and delete the weights of local language models."),
    "doctor": ("installation", "Print what is installed and missing, and what a run would cost."),
    "docs": ("installation", "Print a page of the documentation, or list the pages."),
}
"""Each command: the file in this folder that holds it, and what `ipo --help` says of it."""


def new_app(name: str = "ipo", **more: Any) -> typer.Typer:
    """Return an app that has no commands yet. It prints help and errors as `ipo` does."""
    return typer.Typer(
        name=name,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        **more,
    )


class _Files(Mapping[str, Any]):
    """The commands, each loaded from its file when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        file = import_module(f"ipo_prompts.experiments.cli.{COMMANDS[name][0]}")
        return typer.main.get_group(file.app).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(TyperGroup):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _Files()  # type: ignore[assignment]  # read only

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into the help, without loading their files."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


app = new_app("ipo", cls=_Commands)


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
    """Find prompt templates for CLIP that people can read, and test them on images that the search never saw."""


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


class Interrupted(Exception):
    """The command was interrupted. The message says how to go on, and names the command to type."""


def tell_error(error: Exception, command: str = "ipo") -> int | None:
    """Print the message of an expected error and return the exit code. For a bug, print nothing and return None."""
    if isinstance(error, InputFaults):
        where, faults = error.args
        print("\n".join(f"  {printable(fault)}" for fault in faults), file=sys.stderr)
        return fail(f"{where} has the faults above.", 2)
    if isinstance(error, InputError):
        return fail(str(error), 2)
    if isinstance(error, Interrupted):
        return fail(str(error), INTERRUPTED)
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # an error of click: a wrong flag or a missing argument
        return _usage_error(error, command)
    if type(error).__name__ == "Abort":
        return fail("interrupted.", INTERRUPTED)
    if refused := _refused(error):
        return fail(refused, 2)
    message = _failure(error)
    return None if message is None else fail(message, 1)


_CURES = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EACCES: "change its permissions or name another",
    errno.EPERM: "change its permissions or name another",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _refused(error: Exception) -> str | None:
    """Return a sentence that says which file cannot be used, and why; None for other errors.

    A full or read-only disk is recognised even if a library raised another error because of it.
    """
    if isinstance(error, OSError) and (cure := _CURES.get(error.errno or 0)):
        return f"cannot get at {error.filename}: {error.strerror}; {cure}."
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _FULL:
            where = f" {cause.filename}" if cause.filename else ""
            return f"cannot write{where}: {cause.strerror}; make room, then repeat the command or --resume the run."
    return None


def drop_output() -> None:
    """Discard everything that is printed on stdout from now on. Else the last flush would fail again."""
    with suppress(OSError, ValueError):  # in a test or a notebook stdout is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int) -> int:
    """Print one sentence on stderr; return `code`, the exit code."""
    note(message)
    return code


def note(message: str) -> None:
    """Print a sentence on stderr. Control characters from servers or file names are escaped."""
    print(f"ipo: {printable(' '.join(message.split()))}", file=sys.stderr)


def _usage_error(error: Any, command: str) -> int:
    """Print one sentence for a wrong flag or a missing argument; return the exit code.

    If all arguments are missing, print the help of the command instead.
    """
    kind = type(error).__name__
    if kind == "NoArgsIsHelpError":
        error.show()
    else:
        path = error.ctx.command_path if getattr(error, "ctx", None) else command
        reason = " ".join(error.format_message().split()).rstrip(". ")
        reason = reason.replace("Value error, ", "").replace("Input should", "it should")  # pydantic's
        if path == "ipo" and kind == "NoSuchOption":
            reason = reason.partition(" (")[0] + "; options stand after the command, as in `ipo optimize --quiet`"
        if kind == "MissingParameter" and (example := re.search(r"\bipo .*", error.ctx.command.epilog or "")):
            reason += f"; for example `{example[0]}`"
        see = " See" if reason.endswith("?") else "; see"
        fail(f"{reason[:1].lower()}{reason[1:]}{see} `{path} --help`.", error.exit_code)
    return int(error.exit_code)


def _failure(error: Exception) -> str | None:
    """Return a sentence for a failure of the language model or of the strategy; None for any other error."""
    if "dspy" not in sys.modules:
        return None
    from dspy import AdapterParseError, LMError, LMTransportError

    from ipo_prompts.programs.redaction import redact
    from ipo_prompts.programs.search import NothingUsable

    if isinstance(error, NothingUsable):
        return str(error)
    if isinstance(error, LMError):
        reason = redact(" ".join(str(error).split()))[:400]
        again = getattr(error, "resume_with", "use --resume")
        failed = "failed"
        if isinstance(error, LMTransportError):
            failed = "cannot be reached; check the network"
        return f"the language model {failed} ({type(error).__name__}: {reason}); what was done is kept: {again}"
    if isinstance(error, AdapterParseError):
        answer = redact(" ".join(str(error.lm_response or "").split()))[:200]
        return f"the language model's answer cannot be read ({answer!r}); try another model with --lm or --describer."
    return None


if __name__ == "__main__":
    sys.exit(main())
