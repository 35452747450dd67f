"""`docs/reference/command-line.md` is what the commands and the configuration say today."""

from __future__ import annotations

import re

import pytest

from ipo_prompts.experiments.run.config import CHOSEN, RunConfig
from support.pages import DOCS
from support.runs import ipo
from tools.command_line import reference

PAGE = (DOCS / "reference/command-line.md").read_text(encoding="utf-8")


def test_the_page_is_not_stale() -> None:
    assert reference().rstrip() == PAGE.rstrip(), "run: python -m tools.command_line > docs/reference/command-line.md"


def test_every_command_is_there_with_all_its_flags(capfd: pytest.CaptureFixture[str]) -> None:
    """Held against what `--help` prints, so that a command which the page leaves out is found."""
    sections = {match[1]: match[2] for match in re.finditer(r"^## `ipo ([^`]+)`\n(.*?)(?=^## )", PAGE, re.M | re.S)}
    waiting, seen = [""], set()
    while waiting:
        path = waiting.pop()
        help_text = ipo(capfd, *path.split(), "--help").out
        below = re.search(r"^Commands:\n(.*)", help_text, re.M | re.S)
        if below:
            waiting += [f"{path} {name}".strip() for name in re.findall(r"^  (\S+)", below[1], re.M)]
            continue
        seen.add(path)
        flags = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help_text, re.M)) - {"--help"}
        assert {flag for flag in flags if f"| `{flag}" not in sections[path]} == set()
    assert seen == set(sections)
    assert {"optimize", "benchmark", "report", "export", "data list", "models pull"} <= seen


def test_every_setting_is_there_with_its_default_and_the_published_ones() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)`(?: \*)? \| (.*)$", PAGE.partition("## Settings")[2], re.M))
    assert {name for name in rows if "." not in name} == set(RunConfig.model_fields)
    assert {name for name in rows if "." in name} == {
        f"{key}.{name}"
        for key, registry in CHOSEN.items()
        for choice in registry
        for name in registry.find(choice).Settings.model_fields
    }
    assert rows["steps"].startswith("`12` | `100` | `100` |")
    assert rows["candidates_per_step"].startswith("`5` |  | `8` |")
    assert rows["strategy.pin_initial"].startswith("`true` |  | `false` |")
    assert rows["strategy.size"].startswith("`12` | `20` | `30` |")


def test_no_cell_breaks_its_table() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", PAGE, re.M)
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", PAGE, flags=re.S)
    assert not re.search(r"(?<!\\)<\w", prose), "Markdown would take it for a tag"
