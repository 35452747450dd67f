"""What the commands share: options, help, documents in JSON, and errors.

An expected error is one sentence on stderr and an exit code. Any other error is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand

from ipo_prompts.experiments.run.config import CHOSEN, RunConfig
from ipo_prompts.metrics.errors import InputError, printable, several

Content = TypeVar("Content")


def meaning(setting: str) -> str | None:
    """Return the description of a setting, which is the help of the flag of that name."""
    return RunConfig.model_fields[setting].description


Data = Annotated[str | None, typer.Option(help=meaning("data"), metavar="SPEC")]
Clip = Annotated[str | None, typer.Option(help=meaning("clip"), metavar="SPEC")]
Device = Annotated[str, typer.Option(help=meaning("device"), metavar="NAME")]
Lm = Annotated[str | None, typer.Option(help=meaning("lm"), metavar="NAME")]
Describer = Annotated[str | None, typer.Option(help=meaning("describer"), metavar="NAME")]
Seed = Annotated[int | None, typer.Option(help=meaning("seed"))]
Part = Annotated[Literal["train", "val", "test"], typer.Option(help="which pictures: train, val or test")]
Program = Annotated[Path, typer.Argument(help="a run directory or its program.json")]
Executor = Annotated[str, typer.Option(help="here, pool:N, ray, ray:ADDRESS", metavar="SPEC")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="run nothing; say what would be asked and what it would cost")]
Trust = Annotated[
    bool, typer.Option("--trust", help="use the CLIP, data and models that a run or program from elsewhere names")
]
DataWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="class_names=names.txt, labels=none or several, exclude='[CLASS, …]'"),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print only the answer, no progress")]

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""
WORDS = {"ignore_unknown_options": True}
"""Context settings of a command that takes `key=value` words. `--key=value` is such a word, too."""


def examples(*lines: str) -> str:
    r"""Format the examples that stand below the options in the help of a command.

    >>> examples("ipo optimize")
    'Example:  ipo optimize'
    >>> examples("ipo optimize", "ipo optimize my.yaml")
    '\x08\nExamples:\n  ipo optimize\n  ipo optimize my.yaml'
    """
    # A line with \b alone keeps the line breaks of what follows.
    return f"Example:  {lines[0]}" if len(lines) == 1 else "\n  ".join(["\b\nExamples:", *lines])


ABOUT = ("class_names", "labels", "exclude")
"""Settings that describe data, beside `data`, which says where they are."""


def read_about(words: Sequence[str] | None, command: str, *also: str) -> RunConfig:
    """Read the `key=value` words that describe data, or that set a key in `also`.

    Raises:
        InputError: a word sets another key. The message names the keys that `command` takes.
    """
    from ipo_prompts.experiments.run.reading import load_config, read_words

    known = (*ABOUT, *also)
    if other := {key for key in read_words(words or []) if key not in known and key.partition(".")[0] not in also}:
        raise InputError(f"{command} takes {'=, '.join(known)}= besides the data, not {min(other)}=.")
    return load_config(None, words or [], to_run=True)


def about_data(config: RunConfig) -> dict[str, Any]:
    """Return the settings of a configuration that describe data, as `load_data` takes them."""
    return {key: getattr(config, key) for key in ABOUT}


def look_first(
    programs: Sequence[Path] = (), what: str = "", files: Sequence[Path] = (), out: Path | None = None
) -> None:
    """Refuse at once a path that is not there or cannot be written: libraries and models take seconds to load.

    Args:
        programs: run directories or saved programs; `hf://…` is looked for later.
        what: what the message calls the files, such as `the picture`.
        files: files or folders to read; refused where none of them is there.
        out: a file or folder to write; `make_room` makes the folder that it is in.

    Raises:
        InputError: a path cannot be used. The message names the first such path.
    """
    for program in programs:
        if not os.path.lexists(program) and not str(program).startswith("hf:/"):
            raise InputError(f"there is no run or file {program}; name a run directory, or its program.json.")
    if files and not any(map(os.path.exists, files)):
        try:
            os.stat(files[0])  # noqa: PTH116
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", error)
            raise InputError(f"cannot read {what} {several(list(map(str, files)))}: {why}.") from error
    if out is not None:
        there = next(parent for parent in out.absolute().parents if os.path.lexists(parent))
        if not (os.path.isdir(there) and os.access(there, os.W_OK)):  # noqa: PTH112
            reason = "cannot be written" if os.path.isdir(there) else "is a file"  # noqa: PTH112
            raise InputError(f"cannot write {out}: {there} {reason}; choose another place.")


def make_room(file: Path) -> Path:
    """Make the folder in which a file or folder will be written; return the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def print_json(content: Any) -> None:
    """Print a document for other programs. Bytes that are not UTF-8, as in some file names, are written as escapes."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    print(text.encode("utf-8", "backslashreplace").decode())


def show(content: Content, text: Callable[[Content], str], as_json: bool) -> None:
    """Print a document: as JSON, or for a person as `text` formats it."""
    if as_json:
        print_json(content)
    else:
        print(text(content))


class WithSettings(TyperCommand):
    """A command whose help lists every setting below the flags. The list is read from the configuration itself.

    For strategies and rewards the help lists the settings of the typed one, else of the default one. It imports no
    others, because their files may import anything.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words for the help, which is printed before they are read."""
        ctx.meta[WithSettings.__name__] = [*args]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the settings, then the examples."""
        from ipo_prompts.experiments.run.config import settings

        typed = dict(word.lstrip("-").split("=", 1) for word in ctx.meta.get(WithSettings.__name__, ()) if "=" in word)
        chosen = [typed.get(key, registry.default) for key, registry in CHOSEN.items()]
        rows = [
            (one.name if one.default is None else f"{one.name}={one.default}", one.description)
            for one in settings(chosen)
        ]
        with formatter.section("Settings, in CONFIG.yaml or as key=value, with their defaults"):
            formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)


class Interrupted(Exception):
    """The command was interrupted. `str(error)` says how to go on, with the words to type."""


def tell_error(error: Exception, command: str = "ipo") -> int | None:
    """Print what went wrong with a command and return the exit code. For a bug, print nothing and return None."""
    if isinstance(error, InputError):
        return fail(str(error), 2)
    if isinstance(error, Interrupted):
        return fail(str(error), INTERRUPTED)
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's own: a wrong flag or a missing argument
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


def _refused(error: BaseException | None) -> str | None:
    """Say which file cannot be used. A full or read-only disk is found even if a library raised another error of it."""
    if isinstance(error, OSError) and (cure := _CURES.get(error.errno or 0)):
        return f"cannot get at {error.filename}: {error.strerror}; {cure}."
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error that was raised from itself is its own cause
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _FULL:
            where = f" {error.filename}" if error.filename else ""
            return f"cannot write{where}: {error.strerror}; make room, then repeat the command or --resume the run."
        error = error.__cause__ or error.__context__
    return None


def drop_output() -> None:
    """Discard everything that is printed from here on: nobody reads it, and the last flush would fail again."""
    with suppress(OSError, ValueError):  # in a test or a notebook stdout is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int) -> int:
    """Print one sentence on stderr; return the code."""
    note(message)
    return code


def note(message: str) -> None:
    """Print a sentence on stderr. Text of a server or a file name in it must not move the cursor."""
    print(f"ipo: {printable(' '.join(message.split()))}", file=sys.stderr)


def _usage_error(error: Any, command: str) -> int:
    """Print one sentence for a wrong flag or a missing argument. A command without arguments prints its help."""
    kind = type(error).__name__
    if kind == "NoArgsIsHelpError":
        error.show()
    else:
        path = error.ctx.command_path if getattr(error, "ctx", None) else command
        reason = _number(error) or " ".join(error.format_message().split()).rstrip(". ")
        reason = reason.replace("Value error, ", "").replace("Input should", "it should")  # pydantic's
        if path == "ipo" and kind == "NoSuchOption":
            reason = reason.partition(" (")[0] + "; options stand after the command, as in `ipo optimize --quiet`"
        if kind == "MissingParameter" and (example := re.search(r"\bipo .*", error.ctx.command.epilog or "")):
            reason += f"; for example `{example[0]}`"
        see = " See" if reason.endswith("?") else "; see"
        fail(f"{reason[:1].lower()}{reason[1:]}{see} `{path} --help`.", error.exit_code)
    return int(error.exit_code)


def _number(error: Any) -> str | None:
    """Say what number a flag takes, where it was given something else; None for any other error."""
    wanted = re.search(r"valid (integer|float|number)", str(getattr(error, "message", "")))
    if wanted is None or type(error).__name__ != "BadParameter" or error.param is None:
        return None
    from ipo_prompts.experiments.run.reading import example_of

    flag, kind = error.param.opts[0], "a whole number" if "integer" in wanted[0] else "a number"
    return f"{flag} is {kind}, such as {flag} {example_of(error.param.name)}"


def _failure(error: Exception) -> str | None:
    """Format expected failures that the user did not cause: those of the language model."""
    if "dspy" not in sys.modules:
        return None
    from dspy.utils.exceptions import AdapterParseError, LMError

    from ipo_prompts.programs.record.redaction import redact
    from ipo_prompts.programs.search import NothingUsable

    if isinstance(error, NothingUsable):
        return str(error)
    if isinstance(error, LMError):
        reason = redact(" ".join(str(error).split()))[:400]
        again = getattr(error, "resume_with", "use --resume")
        return f"the language model failed ({type(error).__name__}: {reason}); what was done is kept: {again}"
    if isinstance(error, AdapterParseError):
        answer = redact(" ".join(str(error.lm_response or "").split()))[:200]
        return f"the language model's answer cannot be read ({answer!r}); try another model with --lm or --describer."
    return None
