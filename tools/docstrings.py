"""Prints forty docstrings of the package, drawn by a seed, so that a reader can count how many must be read twice.

    python -m tools.docstrings [--seed 39] [--count 40]

A docstring counts as read twice if its subject must be searched for, or if it is clear only after the text below it.
The seed was fixed here before the docstrings were rewritten.
"""

from __future__ import annotations

import argparse
import ast
import random
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("ipo_prompts", "signatures", "metrics", "programs", "experiments")


def docstrings(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the place, `file:line name`, and the docstring of each class or function that has one."""
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
