"""`ipo docs`: the pages of the documentation, as they ship with the program.

Messages and help name a page as `ipo docs PAGE`. So a page is read in the version that is installed, without a network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.metrics.errors import InputError, did_you_mean

KINDS = ("tutorial", "how-to", "reference", "explanation", "evidence", "project")
"""The folders of pages, in the order in which a newcomer needs them."""


def docs(
    page: Annotated[str | None, typer.Argument(help="the name of a page; without a name, all names are listed")] = None,
) -> None:
    """Print a page of the documentation, or list the pages."""
    root = Path(str(files("ipo_prompts"))) / "docs"
    pages = {file.stem: file for kind in KINDS for file in sorted((root / kind).glob("*.md"))}
    if page is None:
        for kind in KINDS:
            print(kind)
            for name, file in pages.items():
                if file.parent.name == kind:
                    print(f"  {name:<18} {title(file)}")
        print("\nRead one: ipo docs PAGE")
    elif page in pages:
        show(readable(pages[page].read_text(encoding="utf-8"), pages))
    else:
        raise InputError(f"no page {page!r}{did_you_mean(page, pages)}; `ipo docs` lists all pages.")


def title(file: Path) -> str:
    """Return the heading of a page."""
    with file.open(encoding="utf-8") as lines:
        return next(lines, "").removeprefix("# ").strip()


def readable(text: str, pages: Collection[str]) -> str:
    """Return a page with commands in place of links to pages, and without what does not ship with the program."""

    def told(link: re.Match[str]) -> str:
        picture, label, target = link.groups()
        name = Path(target.partition("#")[0])
        if "://" in target:
            return link[0]
        if not picture and name.suffix == ".md" and name.stem in pages:
            return f"{label} (`ipo docs {name.stem}`)" if label != name.name else f"`ipo docs {name.stem}`"
        return label

    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    for index in range(0, len(parts), 2):
        for _ in range(2):  # a picture may be the label of a link
            parts[index] = re.sub(r"(!?)\[([^\[\]]*)\]\(([^)\s]+)\)", told, parts[index])
    return "".join(parts)


def show(text: str) -> None:
    """Print Markdown as it is, or, in a terminal, set it and page it."""
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager():
        console.print(Markdown(text.replace("\\<", "<")))
