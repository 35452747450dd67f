"""A run directory of a stranger with links in it: nothing outside it changes, whatever is done there."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ipo_prompts.experiments.data.check import Sheet
from ipo_prompts.experiments.export import export
from ipo_prompts.experiments.export.plain import Txt
from ipo_prompts.experiments.run.files import write_bytes
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.journal import Journal, last, read
from support.openai_server import OpenAIServer
from support.runs import Ended, ipo, resuming

Run = Callable[..., Ended]
MINE = "export PATH  # not to be changed, and without an end of the line"
WRITTEN = ("report.html", "result.json", "config.yaml", "program.json", "search.svg", "environment.json")


@pytest.fixture()
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "bashrc"
    file.write_text(MINE)
    return file


def plant(out: Path, mine: Path, *names: str) -> None:
    for name in names:
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to(mine)


def test_links_under_every_name_that_a_run_writes_are_replaced(
    run: Run, server: OpenAIServer, out: Path, mine: Path
) -> None:
    out.mkdir()
    plant(out, mine, *WRITTEN, *(f"{name}.part" for name in WRITTEN), ".report.html.part", "journal.jsonl.part")
    (out / "config.yaml").unlink()
    assert run("steps=1").code == 0
    assert mine.read_text() == MINE
    for name in ("report.html", "result.json", "program.json", "config.yaml"):
        assert not (out / name).is_symlink(), name


def test_a_report_is_not_written_through_a_link(
    run: Run, server: OpenAIServer, out: Path, mine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("steps=1").code == 0
    plant(out, mine, "report.html", "report.html.part")
    assert ipo(capfd, "report", str(out)).code == 0
    assert mine.read_text() == MINE
    assert "<html" in (out / "report.html").read_text()


@pytest.mark.parametrize("name", ["journal.jsonl", ".lock"])
def test_a_journal_or_a_lock_that_is_a_link_is_refused(
    name: str, run: Run, resume: Run, server: OpenAIServer, out: Path, mine: Path
) -> None:
    assert run("steps=1").code == 0
    kept = shutil.copytree(out, out.with_name("kept"))
    (kept / "result.json").unlink()
    plant(kept, mine, name)
    with pytest.raises(InputError, match=rf"{name} is a symbolic link, which no run makes; remove it, or name another"):
        Journal(kept)
    assert mine.read_text() == MINE


def test_a_run_whose_journal_is_a_link_is_not_resumed(
    run: Run, server: OpenAIServer, out: Path, mine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("steps=1").code == 0
    plant(out, mine, "journal.jsonl")
    ended = ipo(capfd, *resuming(out))
    assert ended.code == 2
    assert "journal.jsonl is a symbolic link" in ended.sentence
    assert mine.read_text() == MINE


def test_a_journal_with_a_second_name_is_not_written(tmp_path: Path) -> None:
    Journal(tmp_path / "other").append("start")
    file = tmp_path / "run" / "journal.jsonl"
    file.parent.mkdir()
    os.link(tmp_path / "other" / "journal.jsonl", file)
    with file.open("ab") as torn:
        torn.write(b'{"type": "torn')
    before = file.read_bytes()
    with pytest.raises(InputError, match="has a second name elsewhere"):
        Journal(file.parent)
    assert file.read_bytes() == before
    assert read(file.parent), "it can be read"


def test_what_is_no_regular_file_is_no_journal(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.jsonl")
    for opened in (Journal, read):
        with pytest.raises(InputError, match=r"is no regular file|is not a run directory"):
            opened(tmp_path)
    assert last(tmp_path, "start") is None


def test_a_file_that_is_no_journal_is_not_cut(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    for content, said in ((MINE, "is no record of a run"), (f"{MINE}\nand a second line", "is damaged in line 1")):
        file.write_text(content)
        with pytest.raises(InputError, match=said):
            Journal(tmp_path)
        assert file.read_text() == content


@pytest.mark.parametrize("begun", ["", "{", '{"type": "sta', '{"type": "start", "config": {'])
def test_a_line_that_a_kill_cut_is_cut_off(begun: str, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text(begun)
    Journal(tmp_path).close()
    assert file.read_text() == ""


def test_a_contact_sheet_is_not_written_through_a_link(tmp_path: Path, mine: Path) -> None:
    plant(tmp_path, mine, ".sheet.png.part", "sheet.png")
    write_bytes(tmp_path / "sheet.png", Sheet(Image.new("RGB", (4, 4)), 1, 1, ()).png())
    assert mine.read_text() == MINE
    assert Image.open(tmp_path / "sheet.png").size == (4, 4)


def test_an_export_is_not_written_through_a_link(clip: Clip, tmp_path: Path, mine: Path) -> None:
    plant(tmp_path, mine, f".part-{os.getpid()}-out.txt")
    with io.BytesIO() as written:
        Image.new("RGB", (48, 48), "navy").save(written, "PNG")
        data = written.getvalue()
    export(TemplateClassifier(clip, ("cat", "dog")), Txt(), tmp_path / "out.txt", [Picture.from_bytes("a", data)])
    assert mine.read_text() == MINE
    assert (tmp_path / "out.txt").read_text() == "a photo of a <CLASS>.\n"
    assert not list(tmp_path.glob(".part-*-*/*"))
