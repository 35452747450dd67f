"""Counts the code of each folder, and fails if a folder holds more than `tools/ceilings.yaml` allows.

    python -m tools.size [CHECKOUT]

The report is Markdown. A token is one word or sign of Python, as the module `tokenize` reads it; a string is one token.
Comments, docstrings and layout hold no tokens. Statements do not count docstrings either. The product is the sum of its
folders; `ipo_prompts` itself counts without the folders that it links to. The exit code is 1 above a ceiling.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

PRODUCT = ("programs", "signatures", "metrics", "experiments", "ipo_prompts")
APART = ("examples", "benchmarks", "tools", "tests")
LAYOUT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}


class Size(NamedTuple):
    """How much code a file or a folder holds."""

    files: int
    statements: int
    tokens: int


def of_file(source: str) -> Size:
    """Count one file, given its text."""
    nodes = list(ast.walk(ast.parse(source)))
    bare = [node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    docstrings = {(value.lineno, value.col_offset) for value in bare if isinstance(value.value, str)}
    statements = sum(isinstance(node, ast.stmt) for node in nodes) - len(docstrings)
    tokens = 0
    inside = 0  # of f-strings, which Python 3.12 and newer read as several tokens
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        inside -= kind == "FSTRING_END"
        if not inside and token.type not in LAYOUT and token.start not in docstrings and kind != "FSTRING_START":
            tokens += 1
        inside += kind == "FSTRING_START"
    return Size(1, statements, tokens)


def of_folder(folder: Path) -> Size:
    """Count all Python files in a folder, at any depth; links are not followed."""
    return total(of_file(path.read_text("utf-8")) for path in folder.rglob("*.py"))


def total(sizes: Iterable[Size]) -> Size:
    """Add sizes up."""
    return Size(*(sum(column) for column in zip(Size(0, 0, 0), *sizes, strict=True)))


def report(checkout: Path, ceilings: dict[str, int]) -> tuple[str, list[str]]:
    """Return the table, and a sentence for each folder that is above its ceiling."""
    sizes = {name: of_folder(checkout / name) for name in PRODUCT}
    sizes["product"] = total(sizes.values())
    sizes |= {name: of_folder(checkout / name) for name in APART}
    lines = ["| folder | files | statements | tokens | at most |", "| --- | ---: | ---: | ---: | ---: |"]
    above = []
    for name, size in sizes.items():
        ceiling = ceilings.get(name)
        limit = f"{ceiling:,}" if ceiling else ""
        lines.append(f"| {name} | {size.files} | {size.statements:,} | {size.tokens:,} | {limit} |")
        if ceiling and size.tokens > ceiling:
            above.append(f"{name} holds {size.tokens:,} tokens, {size.tokens - ceiling:,} above its ceiling.")
    return "\n".join(lines), above


def main() -> int:
    """Print the table, and what is above its ceiling."""
    ceilings = yaml.safe_load(Path(__file__).with_name("ceilings.yaml").read_text("utf-8"))
    table, above = report(Path(*sys.argv[1:]), ceilings)
    print(table)
    for sentence in above:
        print(sentence, file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
