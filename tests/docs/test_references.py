"""The reference pages name all that the program has: keys of grids and files, methods, protocols, variables."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import get_args

import pytest

from ipo_prompts.experiments.compare.cell import MethodResult
from ipo_prompts.experiments.compare.grid import GridConfig, Variant, shipped
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.protocols import ProtocolName
from ipo_prompts.experiments.pipeline import MADE
from ipo_prompts.experiments.report.analysis import Analysis
from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.run.result import AnswerRow, RunResult
from support.pages import DOCS, follow
from support.runs import EVENTS
from support.warm import command

ROOT = DOCS.parent


def section(page: str, heading: str) -> str:
    """Return the text of a reference page below a heading."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def named(page: str, heading: str) -> set[str]:
    """Return the names before the colon of each line of a list."""
    heads = re.findall(r"^- (.*?):", section(page, heading), re.M)
    return {name for head in heads for name in re.findall(r"`([^`]+)`", head)}


def keys(model: type[Content]) -> set[str]:
    """Return the keys that a model writes."""
    found = {field.alias or name for name, field in model.model_fields.items() if not field.exclude}
    return found - {"schema"}


def test_all_names_of_grids_are_there() -> None:
    assert named("grids.md", "Keys") == GridConfig.model_fields.keys()
    assert all(f"`{key}`" in section("grids.md", "Keys") for key in Variant.model_fields)
    assert named("grids.md", "Shipped grids") == set(shipped())
    assert named("grids.md", "Methods") == set(METHODS)
    assert named("grids.md", "Protocols") == set(get_args(ProtocolName))


def test_all_keys_of_files_are_there() -> None:
    assert named("results-files.md", "`result.json`") == keys(RunResult)
    assert named("results-files.md", "A row of `result.json`") == keys(AnswerRow)
    assert named("results-files.md", "`analysis.json`") == keys(Analysis)
    assert named("results-files.md", "`journal.jsonl`") == set(EVENTS)
    assert named("results-files.md", "A folder of `ipo benchmark`") == keys(MethodResult)
    assert named("results-files.md", "The folder") >= {*MADE}


def test_all_variables_of_ours_are_there() -> None:
    code = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("metrics", "programs", "experiments")
        for file in (ROOT / folder).rglob("*.py")
    )
    ours = {name for name in named("../how-to/install.md", "Variables") if name.startswith("IPO_")}
    assert ours == set(re.findall(r'"(IPO_[A-Z_]+)"', code))


def test_what_the_index_says_to_type_exists() -> None:
    text = (DOCS / "how-to/index.md").read_text(encoding="utf-8")
    reference = (DOCS / "reference/command-line.md").read_text(encoding="utf-8")
    typed = " ".join(re.findall(r"`([^`]+)`", text))
    flags = set(re.findall(r"--[a-z-]+", reference))
    assert flags >= set(re.findall(r"(?<!\S)--[a-z-]+", typed))
    assert all(f"| `{key}`" in reference for key in re.findall(r"(?<!\S)([a-z_]+)=", typed))
    assert all(f"## `ipo {name}" in reference for name in re.findall(r"\bipo ([a-z]+)", typed))


@pytest.mark.usefixtures("desk")
def test_the_commands_and_classes_of_the_pages_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = DOCS / "reference/grids.md"
    with command(tmp_path):
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        found, (price,) = follow(page)
        _, (models,) = follow(DOCS / "how-to/install.md")
    assert "together: 12 cells; what is left asks no language model" in price.out
    assert models.out.startswith("small ")
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    Path("of_the_page.py").write_text(block)
    monkeypatch.setattr(METHODS, "_allowed", {"of_the_page:Short"})
    assert METHODS.find("of_the_page:Short").label == found["Short"].label
