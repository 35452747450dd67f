"""Images that cannot be read are found before the search; a run goes on with the images that it drew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments import pipeline
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.errors import InputError
from support.runs import Ended, copy_images, events, ipo, result

FEW = ("shots=1", "val_shots=1")
WORDS = ("lm=none", "strategy=compose", "describer=none", *FEW, "steps=1", "scored_templates=20")
Run = Callable[..., Ended]


@pytest.fixture()
def images(tmp_path: Path) -> Path:
    return copy_images(tmp_path / "pets")


@pytest.fixture()
def run(images: Path, tmp_path: Path, capfd: Any) -> Run:
    return lambda *words: ipo(capfd, "optimize", f"folder:{images}", *WORDS, f"--out={tmp_path / 'run'}", *words)


@pytest.fixture()
def resume(run: Run, tmp_path: Path, capfd: Any) -> Callable[[], Ended]:
    return lambda: ipo(capfd, "optimize", "--resume", str(tmp_path / "run"))


@pytest.fixture()
def begun(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that ended after its search, before its test."""

    def stop(*_: Any) -> Any:
        raise InputError("stopped here.")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "open_test", stop)
        assert run().sentence == "ipo: stopped here."
    return tmp_path / "run"


def files(images: Path, part: str) -> list[Path]:
    drawn = draw(load_data(f"folder:{images}", seed=0), 1, 1, 0)
    return [Path(item.image.name) for item in getattr(drawn, part)]


def test_unreadable_images_of_all_parts_are_named_before_anything_is_searched(
    run: Run, images: Path, tmp_path: Path
) -> None:
    broken = [files(images, part)[0] for part in ("train", "val", "test")]
    for file in broken:
        file.write_bytes(b"no image")
    ended = run()
    assert ended.code == 2 and not (tmp_path / "run").exists()
    assert f"the run stopped before its search; nothing was written to {tmp_path / 'run'}\n" in ended.err
    assert f"3 images cannot be read: {', '.join(map(str, broken))}; remove or replace" in ended.sentence
    assert f"`ipo data check folder:{images}`" in ended.sentence


def test_a_run_goes_on_without_a_test_image_until_its_test_is_opened(
    resume: Callable[[], Ended], begun: Path, images: Path
) -> None:
    used = {*files(images, "train"), *files(images, "val")}
    gone, later, *_ = files(images, "test")
    gone.unlink()
    assert used != {*files(images, "train"), *files(images, "val")}, "another draw"
    ended = resume()
    assert ended.code == 0
    assert "1 of the 18 test images is gone or changed since the run began; the test was not" in ended.err
    assert result(begun)["rows"][-1]["n"] == 17
    assert [len(event["test"]) for event in events(begun, "drawn")] == [18, 17]
    journal = begun / "journal.jsonl"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if '"type": "end"' not in line))
    assert resume().code == 0, "the one that was gone before is not missed again"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if '"type": "end"' not in line))
    later.unlink()
    ended = resume()
    assert ended.code == 2
    assert "1 of the 17 test images is gone or changed, and the test of" in ended.sentence


def test_a_run_without_an_image_that_it_searched_on_is_another(
    resume: Callable[[], Ended], begun: Path, images: Path
) -> None:
    files(images, "train")[0].unlink()
    ended = resume()
    assert ended.code == 2
    assert "another search: 1 of its 12 train and validation images is gone" in ended.sentence
    assert "; put them back." in ended.sentence


def test_a_moved_folder_is_named_when_a_run_is_resumed_and_a_renamed_class_is_said_to_be_one(
    run: Run, begun: Path, images: Path, tmp_path: Path, capfd: Any
) -> None:
    moved = images.rename(tmp_path / "moved")
    ended = ipo(capfd, "optimize", "--resume", str(begun))
    assert ended.code == 2 and f"`ipo optimize --resume {begun} data=folder:PLACE`" in ended.sentence
    first = next(moved.iterdir())
    renamed = first.rename(moved / "zebra")
    ended = ipo(capfd, "optimize", "--resume", str(begun), f"folder:{moved}")
    assert ended.code == 2 and "other class names or synonyms" in ended.sentence and "'zebra'" in ended.sentence
    renamed.rename(first)
    assert ipo(capfd, "optimize", "--resume", str(begun), f"data=folder:{moved}").code == 0
    found = result(begun)
    moved.rename(images)
    assert run("--out", str(tmp_path / "other")).code == 0
    assert result(tmp_path / "other")["rows"] == found["rows"]


def test_a_damaged_result_is_told_to_be_written_again(run: Run, tmp_path: Path, capfd: Any) -> None:
    assert run().code == 0
    (tmp_path / "run" / "result.json").write_text("{")
    assert (
        f"`ipo optimize --resume {tmp_path / 'run'}` writes it again"
        in ipo(capfd, "report", str(tmp_path / "run")).sentence
    )
    assert ipo(capfd, "optimize", "--resume", str(tmp_path / "run")).code == 0
    assert result(tmp_path / "run")["template"]
