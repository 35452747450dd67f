"""Generates the keywords of `IPO` and of `ipo.optimize`, for editors and type checkers, from the settings.

python -m tools.keywords > programs/keywords.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from inspect import formatannotation

from pydantic.fields import FieldInfo

from ipo_prompts.experiments.run.config import CHOSEN, JobSettings
from ipo_prompts.programs.templates.settings import SearchSettings

HEAD = '''"""The keywords of `IPO` and of `ipo.optimize`, for editors and type checkers.

This file is generated from the settings, `SearchSettings` and `JobSettings`; after a change of either, make it anew:

    python -m tools.keywords > programs/keywords.py
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict
'''


def keywords() -> str:
    """Return the text of the file."""
    job = {name: field for name, field in JobSettings.model_fields.items() if name != "data"}
    search = _keywords("SearchKeywords(TypedDict", "The settings of a search.", SearchSettings.model_fields)
    run = _keywords("RunKeywords(SearchKeywords", "The settings of a run.", job)
    return "\n".join([HEAD, *search, *run])


def _keywords(head: str, told: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    """Yield the lines of one class: each setting with its type, and its help below."""
    yield f'\nclass {head}, total=False):\n    """{told}"""\n'
    for name, field in fields.items():
        bare = "str | " if name in CHOSEN else ""  # a bare name is allowed, too
        kind = formatannotation(field.annotation).replace("typing.", "").replace("'", '"')
        yield f"    {name}: {bare}{kind}"
        text = f'"""{field.description}; default {field.default!r}."""'
        yield textwrap.indent(textwrap.fill(text, 116, break_long_words=False, break_on_hyphens=False), "    ")
    yield ""


if __name__ == "__main__":
    print(keywords().rstrip())
