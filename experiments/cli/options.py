"""What several commands share: their options, the settings that follow a command, and the form of their examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from ipo_prompts.metrics.errors import InputError

Name = TypeVar("Name", bound=str)

DATA = "folder:PATH, csv:PATH, hf:NAME, or what else `ipo data list` names"

Data = Annotated[str | None, typer.Option(help=DATA, metavar="SPEC")]
Clip = Annotated[str | None, typer.Option(help="embedded, ViT-B-16/openai, hf-hub:…", metavar="SPEC")]
Device = Annotated[str, typer.Option(help="where the CLIP runs: auto, cpu, cuda, cuda:1, mps", metavar="NAME")]
Lm = Annotated[str | None, typer.Option(help="local, openai/gpt-4o-mini, …, replay/RUN_DIR", metavar="NAME")]
Describer = Annotated[
    str | None, typer.Option(help="clip, none, or a multimodal model such as openai/gpt-4o-mini", metavar="NAME")
]
Seed = Annotated[int | None, typer.Option(help="of the pictures drawn and of the language model")]
Part = Annotated[str, typer.Option(help="which pictures: train, val or test")]
Program = Annotated[Path, typer.Argument(help="a run directory or its program.json")]
Executor = Annotated[str, typer.Option(help="here, pool:N, ray, ray:ADDRESS", metavar="SPEC")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be asked and what it would cost")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print the answer alone, and no progress")]

WORDS = {"ignore_unknown_options": True}
"""Context settings of a command that takes `key=value` words: `--key=value` is one of them."""


def examples(*lines: str) -> str:
    r"""Format what stands below a command's options.

    >>> examples("ipo optimize")
    'Example:  ipo optimize'
    >>> examples("ipo optimize", "ipo optimize my.yaml")
    '\x08\nExamples:\n  ipo optimize\n  ipo optimize my.yaml'
    """
    # A line with \b alone keeps the line breaks of what follows.
    return f"Example:  {lines[0]}" if len(lines) == 1 else "\n  ".join(["\b\nExamples:", *lines])


def one_of(what: str, name: str, known: Sequence[Name]) -> Name:
    """Return the known name.

    Raises:
        InputError: it is another one.
    """
    for one in known:
        if one == name:
            return one
    raise InputError(f"there is no {what} {name!r}; it can be {', '.join(known[:-1])} or {known[-1]}.")


class WithSettings(TyperCommand):
    """Lists every setting below the flags, from the configuration itself, so that the help cannot go stale.

    Of strategies and rewards it lists the settings of those that are typed, else of the default ones: their files may
    import anything, which help does not wait for.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words for the help, which answers before they are read."""
        ctx.meta[WithSettings.__name__] = [*args]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the settings, then the examples."""
        from ipo_prompts.experiments.run.config import CHOSEN
        from ipo_prompts.experiments.run.settings import settings

        typed = dict(word.lstrip("-").split("=", 1) for word in ctx.meta.get(WithSettings.__name__, ()) if "=" in word)
        chosen = [typed.get(key, registry.default) for key, registry in CHOSEN.items()]
        rows = [
            (one.name if one.default is None else f"{one.name}={one.default}", one.description)
            for one in settings(chosen)
        ]
        with formatter.section("Settings, in CONFIG.yaml or as key=value, with their defaults"):
            formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)
