"""`ipo report` on the command's own side: where the page goes and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main

AGAIN = "the same sealed pictures once more, so its p is corrected for the earlier openings."


def test_one_run_has_its_page_beside_its_files(analysed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(analysed)]) == 0
    assert capsys.readouterr().out == f"{analysed / 'report.html'}\n"
    page = (analysed / "report.html").read_text(encoding="utf-8")
    assert "<h1" in page and AGAIN in page.split("Make it again")[-1]


def test_several_runs_have_their_page_here(
    analysed: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = (analysed / "report.html").read_bytes()
    assert main(["report", str(finished), str(analysed)]) == 0
    assert capsys.readouterr().out == "report.html\n"
    page = Path("report.html").read_text(encoding="utf-8")
    assert "2 runs side by side" in page and AGAIN in page.split("Make them again")[-1]
    assert (analysed / "report.html").read_bytes() == own


def test_the_page_goes_where_it_is_wanted(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(finished), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").is_file()
    assert main(["report", str(finished), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").is_file()
    assert main(["report", str(finished), "--out", str(tmp_path / "page.html" / "page.html")]) == 2
    assert "page.html is a file" in capsys.readouterr().err


def test_a_bad_run_leaves_nothing(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(finished), str(tmp_path), "--out", str(tmp_path / "page.html")]) == 2
    assert "is not a run directory" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 2
    assert (
        capsys.readouterr().err
        == "ipo: missing argument 'RUN…'; for example `ipo report runs/RUN`; see `ipo report --help`.\n"
    )
