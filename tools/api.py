"""Generates the reference of the Python API, in Markdown, from the docstrings. The program is read, not imported.

python -m tools.api > docs/reference/api.md
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parents[1]

HEAD = """# Python API

What `import ipo_prompts as ipo` gives, then what the how-to pages import beside it. This page is generated from the
docstrings; after a change, generate it again with `python -m tools.api > docs/reference/api.md`. In Python,
`help(ipo.optimize)` prints the same.

## What `ipo_prompts` gives
"""

PAGES = """## What the pages import

Each name is imported from the module that stands above it.
"""


def reference() -> str:
    """Return the page."""
    package = _package()
    told = package.docstring.value  # names each, the first first
    public = sorted([*package.exports, "IPOClassifier"], key=lambda name: told.index(f"`{name}`"))
    pages = sorted({(module, name) for module, name in _imported() if name not in public})
    return "\n".join(
        [
            HEAD,
            *(line for name in public for line in _entry(_found(package, name), name, "ipo_prompts")),
            PAGES,
            *(line for module, name in pages for line in _entry(_found(package, f"{module}.{name}"), name, module)),
        ]
    )


def _package() -> Any:
    """Read `ipo_prompts` without importing it."""
    plain = griffe.GoogleOptions(returns_multiple_items=False, returns_named_value=False)
    return griffe.load("ipo_prompts", search_paths=[ROOT], docstring_parser="google", docstring_options=plain)


def _imported() -> Iterator[tuple[str, str]]:
    """Yield module and name of what Python blocks of how-to pages import from the program."""
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md")):
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (module := node.module or "").startswith("ipo_prompts"):
                    yield from ((module, alias.name) for alias in node.names)


def _found(package: Any, path: str) -> Any:
    """Return the object behind a name; a function hides the module of the same name in which it stands."""
    found = package[path.removeprefix("ipo_prompts.")]
    found = found.final_target if found.is_alias else found
    return found[found.name] if found.is_module else found


def _entry(thing: Any, name: str, module: str) -> Iterator[str]:
    """Yield the section of one name, with the methods of a class."""
    yield f"### {name}\n"
    if module != "ipo_prompts":
        yield f"`from {module} import {name}`\n"
    yield from _told(thing, name)
    if thing.is_class:
        for member, one in sorted(thing.all_members.items()):
            one = one.final_target if one.is_alias else one
            known = one.docstring and not one.docstring.value.startswith("See ")
            if known and not member.startswith("_") and (one.is_function or "property" in one.labels):
                yield f"#### {name}.{member}\n"
                yield from _told(one, member)


def _told(thing: Any, name: str) -> Iterator[str]:
    """Yield the signature and the docstring."""
    yield f"```py\n{_signature(thing, name)}\n```\n"
    for section in thing.docstring.parsed if thing.docstring else []:
        if section.kind.value == "text":
            yield "\n".join(map(_prose, section.value.split("\n\n")))
        elif section.kind.value in ("admonition", "examples"):
            told = section.value.description if section.kind.value == "admonition" else section.value[0][1]
            yield "Example:\n\n" + _prose(told)
        else:
            title = {"parameters": "Arguments", "other parameters": "Arguments"}.get(section.kind.value)
            yield f"{title or section.kind.value.capitalize()}:\n"
            yield from (_item(one) for one in section.value)
            yield ""


def _item(one: Any) -> str:
    """Format an argument, an attribute, an error, or what is returned."""
    name = getattr(one, "name", "") or ("" if one.__class__.__name__ != "DocstringRaise" else str(one.annotation))
    text = re.sub(r"\s+", " ", _prose(one.description)).strip()
    return f"- `{name}`: {text}" if name else f"- {text}"


def _signature(thing: Any, name: str) -> str:
    """Return a call as it is written, an argument a line where one line is too long."""
    if thing.is_attribute:
        return name if thing.annotation is None else f"{name}: {thing.annotation}"
    given = [_argument(one) for one in thing.parameters if one.name not in ("self", "cls")]
    kinds = [one.kind for one in thing.parameters if one.name not in ("self", "cls")]
    only = griffe.ParameterKind.keyword_only
    if only in kinds and griffe.ParameterKind.var_positional not in kinds:
        given.insert(kinds.index(only), "*")
    returned = "" if thing.is_class or thing.returns is None else f" -> {thing.returns}"
    line = f"{name}({', '.join(given)}){returned}"
    return line if len(line) <= 88 else f"{name}(\n" + "".join(f"    {one},\n" for one in given) + f"){returned}"


def _argument(one: Any) -> str:
    stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(one.kind, "")
    typed = "" if one.annotation is None else f": {one.annotation}"
    value = "" if one.default is None or stars else f" = {one.default}" if typed else f"={one.default}"
    return f"{stars}{one.name}{typed}{value}"


def _prose(text: str) -> str:
    """Return a paragraph as Markdown: examples as blocks, names of pages as links, and `<` escaped, as it is no tag."""
    if text.lstrip().startswith(">>>"):
        return f"```text\n{text.replace('  # doctest: +SKIP', '').strip()}\n```\n"
    text = re.sub(r"`?ipo docs ([a-z-]+)`?", _link, text)
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "\\<") for part in parts) + "\n"


def _link(found: re.Match[str]) -> str:
    page = next((ROOT / "docs").glob(f"*/{found[1]}.md"))
    return f"[{found[1]}](../{page.parent.name}/{page.name})"


if __name__ == "__main__":
    print(reference().rstrip())
