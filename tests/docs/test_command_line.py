"""`docs/reference/command-line.md` is what the commands and the configuration say today."""

from __future__ import annotations

from support.pages import DOCS
from tools.command_line import reference

PAGE = (DOCS / "reference/command-line.md").read_text(encoding="utf-8")


def test_the_page_is_not_stale() -> None:
    assert reference().rstrip() == PAGE.rstrip(), "run: python -m tools.command_line > docs/reference/command-line.md"
