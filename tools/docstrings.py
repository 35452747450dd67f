"""Forty docstrings of the package, drawn by a seed: to read, and to count how many had to be read twice.

    python -m tools.docstrings [--seed 39] [--count 40]

A reader counts a docstring as read twice where its subject has to be looked for, or where it is clear only after what
stands below it. The seed stands here before the docstrings are rewritten.
"""

from __future__ import annotations

import argparse
import ast
import random
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("package", "signatures", "metrics", "programs", "experiments")


def docstrings(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the place, `file:line name`, and the text of each docstring of a class or function."""
    for file in sorted(file for folder in FOLDERS for file in (root / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield f"{file.relative_to(root)}:{node.lineno} {node.name}", text


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description="Draw docstrings to read.")
    parser.add_argument("--seed", type=int, default=39)
    parser.add_argument("--count", type=int, default=40)
    given = parser.parse_args()
    found = list(docstrings(Path(__file__).parent.parent))
    for place, text in random.Random(given.seed).sample(found, given.count):
        print(f"## {place}\n{text}\n")


if __name__ == "__main__":
    main()
