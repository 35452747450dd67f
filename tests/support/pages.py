"""Following a page of the documentation as a reader does: its code blocks are executed, in order, as they are written.

```python blocks share one namespace; ```sh blocks go through bash, each in a shell of its own, as a reader may open a
new one. Blocks of any other kind (```text, ```yaml) are to be read and not run.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^(`{3,})(\w+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
SECONDS = 300
"""A block that takes longer hangs; the machine may be slow, so this is no speed test."""


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the line of the page that its text starts on."""

    page: Path
    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Outcome:
    """What a shell block printed, and the exit code of bash."""

    code: int
    out: str
    err: str


def blocks(page: Path) -> Iterator[Block]:
    """Find the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        yield Block(page, match[2], match[3], text.count("\n", 0, match.start(3)) + 1)


def follow(page: Path, codes: Collection[int] = (0,)) -> tuple[dict[str, Any], list[Outcome]]:
    """Execute a page in the current directory.

    Args:
        page: the Markdown file, such as `DOCS / "how-to/dspy.md"`.
        codes: exit codes of shell blocks that do not end the page.

    Returns:
        The namespace of its Python blocks, and the outcomes of its shell blocks.

    Raises:
        AssertionError: a shell block failed. An exception of a Python block goes through, with the page's line in its
            traceback.
    """
    namespace: dict[str, Any] = {"__name__": "page"}
    outcomes: list[Outcome] = []
    for block in blocks(page):
        if block.language == "python":
            # Empty lines before the text, so that a traceback shows the page's own line numbers.
            exec(compile("\n" * (block.line - 1) + block.text, str(block.page), "exec"), namespace)
        elif block.language == "sh":
            outcomes.append(_shell(block, codes))
    return namespace, outcomes


def _shell(block: Block, codes: Collection[int]) -> Outcome:
    words = ["bash", "-e", "-o", "pipefail", "-c", block.text]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode not in codes:
        raise AssertionError(
            f"{block.page.name}, line {block.line}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return Outcome(done.returncode, done.stdout, done.stderr)
