"""`docs/tutorial/notebook.ipynb`, run in a kernel as its reader runs it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ipo_prompts.experiments.run.result import load_result
from support.pages import DOCS, SECONDS

NOTEBOOK = DOCS / "tutorial/notebook.ipynb"


@pytest.fixture(scope="module")
def stored() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_stored_without_outputs_and_is_short(stored: Any) -> None:
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    assert len([line for cell in code for line in cell.source.splitlines() if line.strip()]) <= 15


def test_it_runs_and_shows_the_answer(stored: Any, desk: Path) -> None:
    NotebookClient(stored, timeout=SECONDS, resources={"metadata": {"path": str(desk)}}).execute()
    asked, shown, told, label = (cell.outputs for cell in stored.cells if cell.cell_type == "code")
    (run,) = (desk / "runs").iterdir()
    result = load_result(run)
    assert result.template == "a negative of a <CLASS>."
    # Progress on stderr, as in a terminal; the answer as HTML, with the search and images, and as text.
    assert f"run directory: runs/{run.name}" in "".join(str(output) for output in asked)
    (output,) = shown
    page = output.data["text/html"]
    assert html.escape(result.template) in page
    assert "in all" in page
    assert page.count("<img ") > 2
    assert "<script" not in page
    assert result.gain.numbers in output.data["text/plain"]
    (printed,) = told
    assert printed.text.splitlines() == [result.gain.numbers, str(run / "report.html")]
    assert label[0].data["text/plain"].startswith("'")
