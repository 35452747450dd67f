"""`ipo docs`: the pages of the documentation, as they ship with the program.

Messages and help name a page as `ipo docs PAGE`. So a page is read in the version that is installed, without a network.
"""

from __future__ import annotations

import pydoc
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.metrics.errors import InputError, did_you_mean

KINDS = ("tutorial", "how-to", "reference", "explanation", "evidence", "project")
"""The folders of pages, in the order in which a newcomer needs them."""


def docs(page: Annotated[str | None, typer.Argument(help="the name of a page; without it, all names")] = None) -> None:
    """Read a page of the documentation, or list the pages."""
    root = Path(str(files("ipo_prompts"))) / "docs"
    pages = {file.stem: file for kind in KINDS for file in sorted((root / kind).glob("*.md"))}
    if page is None:
        for kind in KINDS:
            print(kind)
            for name, file in pages.items():
                if file.parent.name == kind:
                    print(f"  {name:<18} {title(file)}")
    elif page in pages:
        pydoc.pager(pages[page].read_text(encoding="utf-8"))
    else:
        raise InputError(f"no page {page!r}{did_you_mean(page, pages)}; `ipo docs` lists all pages.")


def title(file: Path) -> str:
    """Return the heading of a page."""
    with file.open(encoding="utf-8") as lines:
        return next(lines, "").removeprefix("# ").strip()
