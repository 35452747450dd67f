"""`ipo report` on the command's own side: where the page goes and what is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.run.result import load_result

AGAIN = "the same test images again: if it ends with other answers, it has no p."


def test_one_run_has_its_page_beside_its_files(analysed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(analysed)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(analysed / "report.html") and any("in all" in line for line in printed)
    page = (analysed / "report.html").read_text(encoding="utf-8")
    assert "<h1" in page and AGAIN in page.split("How to repeat it")[-1]


def test_the_page_goes_where_it_is_wanted(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(finished), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").is_file()
    assert main(["report", str(finished), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").is_file()
    assert main(["report", str(finished), "--out", str(tmp_path / "page.html" / "page.html")]) == 2
    assert "page.html is a file" in capsys.readouterr().err


def test_neither_torch_nor_dspy_is_imported(analysed: Path) -> None:
    code = f"import sys; from {main.__module__} import main; main(['report', {str(analysed)!r}]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "dspy", "litellm", "open_clip"} & {*done.stdout.split()}


def test_a_bad_run_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 2
    assert "is not a run directory" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_sentence_for_a_methods_section_has_the_numbers_of_the_test(
    analysed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (analysed / "report.html").unlink()
    assert main(["report", str(analysed), "--cite"]) == 0
    said = capsys.readouterr().out
    result = load_result(analysed)
    *_, total = result.rows_on("test")
    low, high = (f"{100 * end:.1f}" for end in total.after.ci95)
    for part in (
        *(result.clip.name, result.data.name, result.template, f"{total.n} test", f"{total.after.value:.1%}"[:-1]),
        *(
            f"[{low}, {high}]",
            f"{100 * total.difference.mean:+.1f} [",
            "\\cite{du2024ipo}",
            "@inproceedings{du2024ipo,",
        ),
    ):
        assert part in said
    assert ("and labelled images" in said) == (result.templates is None)
    assert not (analysed / "report.html").exists()
