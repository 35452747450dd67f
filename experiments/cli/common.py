"""Code that all commands share: options, help, checks of paths, and printing of JSON documents."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from ipo_prompts.experiments.run.config import CHOSEN, COLUMNS, RunConfig
from ipo_prompts.metrics.errors import InputError, meant, several

Content = TypeVar("Content")


def meaning(setting: str) -> str | None:
    """Return the description of a setting. It is also the help of the flag with the same name."""
    return RunConfig.model_fields[setting].description


Data = Annotated[str | None, typer.Option(help=meaning("data"), metavar="SPEC")]
Clip = Annotated[str | None, typer.Option(help=meaning("clip"), metavar="SPEC")]
Device = Annotated[str, typer.Option(help=meaning("device"), metavar="NAME")]
Lm = Annotated[str | None, typer.Option(help=meaning("lm"), metavar="NAME")]
Describer = Annotated[str | None, typer.Option(help=meaning("describer"), metavar="NAME")]
Seed = Annotated[int | None, typer.Option(help=meaning("seed"))]
Program = Annotated[Path, typer.Argument(help="a run directory or its program.json")]
Executor = Annotated[str, typer.Option(help="where cells run: here, ray (many at once) or ray:ADDRESS", metavar="SPEC")]
GpuShare = Annotated[
    float | None,
    typer.Option(help="share of a GPU for each cell on Ray, 0 to 1; default 1 if there are GPUs", metavar="SHARE"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="run nothing; print what would be asked, and the price")]
DataWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="class_names=names.yaml, exclude='[CLASS, …]', label=COLUMN, …"),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print only the answer")]

WORDS = {"ignore_unknown_options": True}
"""Context settings of a command that takes `key=value` words. Such a command also takes `--key=value` as a word."""


def examples(*lines: str) -> str:
    r"""Format the examples for the help of a command. They stand below the options.

    >>> examples("ipo optimize")
    'Example:  ipo optimize'
    >>> examples("ipo optimize", "ipo optimize my.yaml")
    '\x08\nExamples:\n  ipo optimize\n  ipo optimize my.yaml'
    """
    # A line with \b alone keeps the line breaks of the text after it.
    return f"Example:  {lines[0]}" if len(lines) == 1 else "\n  ".join(["\b\nExamples:", *lines])


ABOUT = ("class_names", "exclude", "names", *COLUMNS, "skip_unreadable")
"""The settings that describe data. The setting `data` is not among them: it says where the data are."""


def read_about(words: Sequence[str] | None, command: str, *also: str) -> RunConfig:
    """Read `key=value` words that describe data, and return a configuration with these settings.

    Args:
        words: the words. None stands for no words.
        command: the name of the command, for the error message.
        *also: further keys that the words may set.

    Raises:
        InputError: a word sets another key. The message names the keys that the command takes.
    """
    from ipo_prompts.experiments.run.files import load_config, read_words

    known = (*ABOUT, *also)
    if other := {key for key in read_words(words or []) if key not in known and key.partition(".")[0] not in also}:
        raise InputError(f"{command} takes {'=, '.join(known)}= besides the data, not {min(other)}=.")
    return load_config(None, words or [], to_run=True)


def look_first(
    programs: Sequence[Path] = (), what: str = "", files: Sequence[Path] = (), out: Path | None = None
) -> None:
    """Check paths before libraries and models are loaded, which takes seconds.

    Args:
        programs: run directories or saved programs, which must exist.
        what: the word for the files in the message, such as `the image`.
        files: files or folders to read. At least one of them must exist.
        out: a file or folder to write. Its parent folder need not exist.

    Raises:
        InputError: a path cannot be used. The message names the first such path.
    """
    for program in programs:
        if not os.path.lexists(program):
            raise InputError(f"there is no run or file {program}; name a run directory, or its program.json.")
    if files and not any(map(os.path.exists, files)):
        try:
            os.stat(files[0])  # noqa: PTH116
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", error)
            hint = meant(files[0]) if len(files) == 1 else ""
            raise InputError(f"cannot read {what} {several(list(map(str, files)))}{hint}: {why}.") from error
    if out is not None:
        from ipo_prompts.experiments.run.files import check_writable

        check_writable(out.absolute().parent, "folder", "choose another place")


def print_json(content: Any) -> None:
    """Print a document as JSON. Bytes that are not UTF-8, which some file names have, are printed as escapes."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    print(text.encode("utf-8", "backslashreplace").decode())


def show(content: Content, text: Callable[[Content], str], as_json: bool) -> None:
    """Print a document: as JSON if `as_json`, else as the text that the function `text` returns for it."""
    if as_json:
        print_json(content)
    else:
        print(text(content))


class WithSettings(TyperCommand):
    """A command whose help lists settings below the flags: `--help` those that people use, `--help-all` all.

    The help lists the own settings of a strategy and a reward that the user typed, and with `--help-all` those of the
    default ones. Others are not imported, because their files may import anything.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Store the typed words, then parse them. The help needs the words, and it is printed during the parsing."""
        ctx.meta[WithSettings.__name__] = [*args]
        return super().parse_args(ctx, ["--help" if word == "--help-all" else word for word in args])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the list of settings into the help, and the examples below it."""
        from ipo_prompts.experiments.run.config import USUAL, settings

        words = ctx.meta.get(WithSettings.__name__, ())
        typed = dict(word.lstrip("-").split("=", 1) for word in words if "=" in word)
        whole = "--help-all" in words
        chosen = [typed.get(key, registry.default) for key, registry in CHOSEN.items()]
        rows = [
            (one.name if one.default is None else f"{one.name}={one.default}", one.description)
            for one in settings(chosen)
            if whole or one.name in USUAL or one.name.partition(".")[0] in typed
        ]
        others = "" if whole else "; --help-all lists all"
        with formatter.section(f"Settings, in CONFIG.yaml or as key=value, with their defaults{others}"):
            formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)
