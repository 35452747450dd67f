"""`ipo predict`: rows in order as they come, bad images among good ones, any file name, whoever reads."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.cli.predict import Row, _doubtful_first, label_files
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.programs.classifier import TemplateClassifier

Capture = pytest.CaptureFixture[str]


@pytest.fixture()
def program(clip: Clip) -> TemplateClassifier:
    return TemplateClassifier(clip, load_data("embedded", seed=0).class_names, 'a "{sketch}" of a <CLASS>')


@pytest.fixture()
def saved(program: TemplateClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run; the CLIP that it names is the one loaded already."""
    monkeypatch.setattr("ipo_prompts.programs.classifier.load_clip", lambda *_: program.clip)
    program.state = program.state.model_copy(update={"temperature": 2.0})
    program.save(str(tmp_path / "program.json"))
    return tmp_path / "program.json"


def copies(folder: Path, n: int) -> list[Path]:
    """Copy n real images to numbered files."""
    folder.mkdir()
    items = load_data("embedded", seed=0).test[:n]
    places = [folder / f"{i:03d}.webp" for i in range(n)]
    for item, place in zip(items, places, strict=True):
        place.write_bytes(item.image.bytes())
    return places


def test_what_is_not_there_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    run = str(tmp_path / "program.json")
    Path(run).write_text("{}")
    commands = [["predict", run, "gone"], ["export", run, "--to", "head", "--out", run]]
    commands += [["report", "gone"], ["evaluate", "--templates-file", "gone"]]
    code = f"import sys; from {main.__module__} import main; print(*map(main, {commands}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"] * len(commands) + ["False"], done.stderr


@pytest.fixture()
def images(tmp_path: Path) -> list[Path]:
    return copies(tmp_path / "images", 75)


def predict(saved: Path, images: Sequence[Path], form: str) -> int:
    """Run the command; return its exit code."""
    return main(["predict", str(saved), *map(str, images), "--format", form])


def test_rows_are_those_of_the_program_in_order(
    program: TemplateClassifier, saved: Path, images: list[Path], capsys: Capture
) -> None:
    assert predict(saved.parent, [images[0].parent], "jsonl") == 0  # the run directory stands for its program
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == [str(path) for path in images]
    assert all(list(row["scores"]) == list(program.class_names) for row in rows)
    found = np.array([list(row["scores"].values()) for row in rows])
    expected = program.probabilities([item.image for item in load_data("embedded", seed=0).test[:75]])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [row["label"] for row in rows] == [program.class_names[i] for i in expected.argmax(axis=1)]


def test_another_template_decides_where_one_is_typed(
    program: TemplateClassifier, saved: Path, images: list[Path], capsys: Capture
) -> None:
    words = ["predict", str(saved), str(images[0].parent), "--format", "csv", "--template"]
    assert main([*words, "a dark photo of a <CLASS>."]) == 0
    told = [row["label"] for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    own = TemplateClassifier(program.clip, program.class_names, "a dark photo of a <CLASS>.")
    labels = own.probabilities([LazyImage.from_path(path) for path in images]).argmax(axis=1)
    assert told == [str(own.class_names[label]) for label in labels]
    assert main([*words, "no slot"]) == 2


def test_the_first_row_comes_before_the_other_images_are_looked_at(
    program: TemplateClassifier, images: list[Path]
) -> None:
    taken: list[Path] = []

    def files() -> Iterator[Path]:
        for _ in range(1000):
            taken.append(images[0])
            yield images[0]

    rows = label_files(program, files())
    next(rows)
    assert len(taken) <= 2
    for _ in range(200):
        next(rows)
    assert len(taken) <= 201 + 3 * program.clip.batch  # and memory does not grow with their number
    rows.close()


def test_a_bad_image_is_a_row_and_the_rest_go_on(saved: Path, images: list[Path], capsys: Capture) -> None:
    images[0].write_bytes(b"")
    images[40].write_bytes(images[40].read_bytes()[:60])
    images[41].write_text("no image")
    gone = images[0].parent / "gone.png"
    assert predict(saved, [images[0].parent, gone], "jsonl") == 2
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["image"] for row in rows] == [str(path) for path in [*images, gone]]
    assert [i for i, row in enumerate(rows) if "error" in row] == [0, 40, 41, 75]
    assert set(rows[41]) == {"image", "error"}
    assert "not an image" in rows[41]["error"]
    said = err.splitlines()
    assert [line.startswith("ipo: ") for line in said] == [True] * 4
    assert "041.webp is not an image" in said[2]
    assert "gone.png: No such file" in said[3]


@pytest.mark.parametrize("format_", ["csv", "table"])
def test_a_bad_image_is_no_row_of_a_table(format_: str, saved: Path, images: list[Path], capsys: Capture) -> None:
    images[1].write_text("no image")
    assert predict(saved, images[:3], format_) == 1
    out, err = capsys.readouterr()
    assert [str(path) in out for path in images[:3]] == [True, False, True]
    assert str(images[1]) in err


def test_a_folder_without_images_is_said(saved: Path, images: list[Path], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("no image")
    (tmp_path / "bare" / ".hidden.png").write_text("no image")
    (tmp_path / "bare" / "@eaDir").mkdir()
    (tmp_path / "bare" / "@eaDir" / "thumbnail.webp").write_bytes(images[0].read_bytes())
    assert predict(saved, [tmp_path / "bare"], "table") == 2
    assert f"no images in {tmp_path / 'bare'}" in capsys.readouterr().err
    assert predict(saved, [Path("IMAGES")], "table") == 2
    assert "IMAGES stands for images of yours; type the path of their folder" in capsys.readouterr().err
    assert predict(saved, [tmp_path / "bare", images[0]], "table") == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(err.splitlines()) == 1


def test_a_reader_that_has_enough_ends_it_quietly(
    saved: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    read_end, write_end = os.pipe()
    rows: list[str] = []

    def head() -> None:
        with os.fdopen(read_end) as reader:
            rows.append(reader.readline())

    # Closing it is the last flush, which must not fail either.
    with os.fdopen(write_end, "w") as stdout, ThreadPoolExecutor(1) as reading:
        monkeypatch.setattr(sys, "stdout", stdout)
        reading.submit(head)
        assert predict(saved, [images[0].parent] * 40, "table") == 0
    assert str(images[0]) in rows[0]
    assert capsys.readouterr().err == ""


def test_the_most_probable_classes_are_named(
    program: TemplateClassifier, saved: Path, images: list[Path], capsys: Capture
) -> None:
    words = ["predict", str(saved), str(images[0]), "--top", "3"]
    assert main([*words, "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    others = ["label_2", "probability_2", "name_2", "label_3", "probability_3", "name_3"]
    assert list(row) == ["image", "label", "probability", "name", *others]
    features = program.clip.encode_images([LazyImage.from_path(images[0])])
    chances = np.sort(program.head().probabilities(features)[0])[::-1]
    shown = [float(row[name]) for name in ("probability", "probability_2", "probability_3")]
    assert shown == pytest.approx(chances[:3], abs=1e-4)
    assert main([*words, "--format", "jsonl"]) == 0
    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told["top"] == [row["label"], row["label_2"], row["label_3"]]
    assert main(words) == 0
    assert told["top"][1] in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_labels_are_written_to_a_new_file_with_the_names_that_the_clip_reads(
    form: str, program: TemplateClassifier, saved: Path, images: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    program.rename([f"some {name}" for name in program.class_names])
    program.save(str(saved))
    out = tmp_path / f"predicted.{form}"
    words = ["predict", str(saved), *map(str, images[:3]), "--out", str(out)]
    assert main(words) == 0 and capsys.readouterr().out == ""
    written = out.read_text(encoding="utf-8")
    lines = written.splitlines()
    rows = [*csv.DictReader(lines)] if form == "csv" else [json.loads(line) for line in lines]
    assert [(row["image"], row["name"]) for row in rows] == [
        (str(path), f"some {row['label']}") for path, row in zip(images, rows, strict=False)
    ]
    assert main(words) == 2 and "already exists" in capsys.readouterr().err and out.read_text("utf-8") == written
    assert main(words[:-2]) == 0 and f"{rows[0]['label']} ({rows[0]['name']})" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_stopped_call_is_continued_to_the_same_bytes(
    form: str, saved: Path, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path / "images")
    images[3].rename("=3.webp")  # written as ./=3.webp
    images[30].write_text("no image")
    images[70].write_text("no image")
    out = tmp_path / f"predicted.{form}"
    words = ["predict", str(saved), *sorted(path.name for path in Path().iterdir()), "--top", "2", "--out", str(out)]
    assert main([*words, "--resume"]) == 1  # there is no file yet
    whole = out.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == (74 if form == "csv" else 75)
    for size in (0, 9, ends[0], ends[1] + 1, ends[30], ends[40] - 1, ends[41], len(whole)):
        out.write_bytes(whole[:size])
        assert main([*words, "--resume"]) in (0, 1)
        assert out.read_bytes() == whole
    Path("000.webp").write_text("no image")  # it has a row, so it is not opened again
    out.write_bytes(whole[: ends[50]])
    assert main([*words, "--resume"]) == 1
    assert out.read_bytes() == whole
    capsys.readouterr()
    other = [
        [*words, "--top", "3"],
        [*words, "--format", "csv" if form == "jsonl" else "jsonl"],
        [*words[:2], *words[3:]],
    ]
    for changed in other:
        assert main([*changed, "--resume"]) == 2
        assert "has other rows than this command writes" in capsys.readouterr().err
        assert out.read_bytes() == whole


def test_a_terminal_shows_how_far_it_is(saved: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    images[1].write_text("no image")
    words = ["predict", str(saved), str(images[0].parent), "--out", str(images[0].parent.parent / "new.csv")]
    assert main(words) == 1
    assert "images" in shown.getvalue() and "100%" in shown.getvalue() and "not an image" in shown.getvalue()


def test_paths_come_from_stdin(saved: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    places = copies(tmp_path / "a few", 3)
    lines = "".join(f"{path}\n" for path in (places[2], tmp_path / "gone.png", "", places[0]))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert main(["predict", str(saved), "-", str(places[1]), "--format", "csv"]) == 1
    printed = capfd.readouterr()
    assert [row["image"] for row in csv.DictReader(io.StringIO(printed.out))] == [str(places[i]) for i in (2, 0, 1)]
    assert "gone.png" in printed.err


def test_sorted_by_doubt_the_least_probable_label_comes_first(
    saved: Path, images: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    images[1].write_text("no image")
    words = ["predict", str(saved), str(tmp_path / "images")]
    out = [tmp_path / "drawn.csv", tmp_path / "sorted.csv"]
    assert main([*words, "--out", str(out[0])]) == 1
    assert main([*words, "--out", str(out[1]), "--sort", "doubt"]) == 1
    drawn, doubtful = ([*csv.DictReader(file.read_text("utf-8").splitlines())] for file in out)
    assert [float(row["probability"]) for row in doubtful] == sorted(float(row["probability"]) for row in drawn)
    assert sorted(doubtful, key=lambda row: row["image"]) == drawn and len(drawn) == 74 and doubtful != drawn
    assert capsys.readouterr().err.count("not an image") == 2
    assert main([*words, "--sort", "doubt", "--top", "2"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in printed[::2]] == [row["image"] for row in doubtful]
    assert main([*words, "--sort", "doubt", "--format", "jsonl"]) == 1
    failed, *rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "error" in failed and [row["image"] for row in rows] == [row["image"] for row in doubtful]


def test_sorted_rows_wait_on_disk(program: TemplateClassifier, images: list[Path]) -> None:
    size = len(program.labels)
    seen: list[weakref.ref[Any]] = []

    def labelled() -> Iterator[Row]:
        for number in range(100):
            row = np.full(size, 1 / size, dtype=np.float32)
            row[number % size] += number
            seen.append(weakref.ref(row))
            yield images[0], row
            del row
            assert sum(one() is not None for one in seen) <= 1

    rows = [row for _, row in _doubtful_first(program, labelled()) if not isinstance(row, InputError)]
    assert [int(row.max()) for row in rows] == [*range(100)]


def test_a_page_shows_thumbnails_in_that_order_and_how_many_it_leaves_out(
    saved: Path, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.cli.predict.MOST_SHOWN", 70)
    for path in images:
        path.rename(path.with_name(f"<b>&{path.name}"))
    words = ["predict", str(saved), str(tmp_path / "images"), "--sort", "doubt"]
    assert main([*words, "--out", str(tmp_path / "page.html")]) == 0
    assert main([*words, "--format", "csv"]) == 0
    rows = [*csv.DictReader(capsys.readouterr().out.splitlines())][:70]
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == page.count("<img") == page.count("src=") == 70
    assert "<b>" not in page and "<script" not in page and "default-src 'none'" in html.unescape(page)
    shown = [
        html.unescape(re.sub("<[^>]*>", "", one)).split() for one in page.partition("<main>")[2].split("<figcaption>")
    ]
    assert " ".join(shown[0]).startswith("75 labelled images This page shows the first 70; 5 are left out.")
    assert [(words[0], words[-1]) for words in shown[1:]] == [(row["label"].split()[0], row["image"]) for row in rows]
    percents = [float(words[words.index("%") - 1]) for words in shown[1:]]
    assert percents == pytest.approx([100 * float(row["probability"]) for row in rows], abs=0.06)
