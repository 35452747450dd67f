"""`python -m benchmarks paper-templates`, on the embedded images and on a root in the CoOp layout."""

from __future__ import annotations

import csv
import functools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import app
from benchmarks.lab import printed
from ipo_prompts.experiments.data.published import ROOT_VARIABLE
from ipo_prompts.metrics.clip import Clip, load_clip
from support.coop_root import make_root
from support.runs import Ended, copy_images, ipo

ROWS = [
    {"template": "a photo of a <CLASS>.", "base": 49.26, "new": 57.35, "H": 53.0},
    {"template": "A photo of a <CLASS>.", "base": 49.3, "new": 57.32, "H": 53.0},
    {"template": "<CLASS>.", "base": 46.32, "new": 56.62, "H": 51.96, "follows": {"H": 50.96}},
    {"template": "a photo of <CLASS>.", "base": 47.06, "new": 54.41, "H": 50.47},
    {"template": "the <CLASS>.", "base": 90.0, "new": 90.0, "H": 90.0, "decides": False, "note": "a | [b](c) <img>"},
]
"""What the embedded CLIP gets with the embedded images, so that a change of either is noticed here."""

Run = Callable[..., Ended]
load_once = functools.cache(load_clip)


@pytest.fixture()
def run(tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with a table of rows of `embedded:a`, in a directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(printed, "load_clip", load_once)

    def run(*words: str, rows: Sequence[dict[str, Any]] | None = ROWS, data: Sequence[str] = ("embedded:a",)) -> Ended:
        if rows is not None:
            tables = [{"data": name, "source": "made", "checked": True, "rows": list(rows)} for name in data]
            Path("table.yaml").write_text(json.dumps({"schema": 1, "templates": tables}), encoding="utf-8")
            words = ("table=table.yaml", "clip=embedded", *words)
        return ipo(capfd, "paper-templates", *words, of=app)

    return run


def test_where_all_rows_agree_the_answer_comes_first(run: Run) -> None:
    ended = run()
    assert ended.code == 0, ended
    assert ended.out == Path("runs/paper-templates/table.md").read_text(encoding="utf-8")
    first = "4 of 4 deciding rows agree in fp32, 4 in fp16: data, split and CLIP are right, and either precision is."
    assert ended.out.splitlines()[2] == f"**{first}**"
    rows = list(csv.DictReader(Path("runs/paper-templates/table.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["precision"], row["template"]) for row in rows] == [
        (precision, one["template"]) for precision in ("fp32", "fp16") for one in ROWS
    ]
    measured = [rows[0][f"measured_{name}"] for name in ("base", "new", "H")]
    assert (measured, rows[0]["agrees"]) == (["49.2647", "57.3529", "53.002"], "True")
    lines = {line.split(" | ")[1].strip(): line for line in ended.out.splitlines() if line.count(" | ") == 6}
    assert "The printed H (51.96) does not follow from its neighbours, which give 50.96." in lines["&lt;CLASS>."]
    assert "| yes " in lines["&lt;CLASS>."] and "46.32 / 56.62 / 50.96 " in lines["&lt;CLASS>."]
    assert "Also printed as “A photo of a &lt;CLASS>.” with 49.30 / 57.32." in lines["a photo of a &lt;CLASS>."]
    assert "| (no, base -" in lines["the &lt;CLASS>."]
    assert "a \\| [b]\\(c) &lt;img>" in lines["the &lt;CLASS>."]


def test_a_row_that_does_not_agree_is_exit_code_1_and_named(run: Run) -> None:
    ended = run("precision=fp32", rows=[*ROWS[:3], {**ROWS[3], "new": 57.41}])
    assert ended.code == 1
    assert ended.out.splitlines()[2] == (
        "**3 of 4 deciding rows agree in fp32. "
        "embedded:a: 3 of 4 agree, off by up to -3.00 points (new, `a photo of <CLASS>.`).**"
    )
    assert "| no, new -3.00 " in ended.out


def test_each_image_is_encoded_once_in_each_precision(
    run: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(cache / "features")
    few = [f"folder:{copy_images(tmp_path / 'images')}"]  # half precision is slow on a processor
    encoded: dict[str, int] = {}
    encode = Clip.encode_pixels

    def counted(self: Clip, pixels: Sequence[Any], batch: int) -> Any:
        encoded[self.precision] = encoded.get(self.precision, 0) + len(pixels)
        return encode(self, pixels, batch)

    monkeypatch.setattr(Clip, "encode_pixels", counted)
    assert run("--quiet", data=few).code == 1  # the rows are of other images
    assert encoded == {"fp32": 18, "fp16": 18}
    assert run("--quiet", "--out=again", data=few).code == 1
    assert encoded == {"fp32": 18, "fp16": 18}
    assert Path("again/table.csv").read_bytes() == Path("runs/paper-templates/table.csv").read_bytes()


def test_what_is_not_here_is_listed_and_the_rest_is_done(run: Run) -> None:
    ended = run("precision=fp32", data=["embedded:a", "eurosat"])
    assert ended.code == 0
    assert "precision are right. Not measured: eurosat." in ended.out.splitlines()[2]
    assert (
        f"Not measured: eurosat. eurosat is read from a root folder in the CoOp layout and {ROOT_VARIABLE}" in ended.out
    )


def test_the_papers_rows_on_a_root_in_the_coop_layout(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(make_root(tmp_path / "root")))
    ended = run("data=eurosat,oxford_flowers", "clip=embedded", rows=None)
    assert ended.code == 1  # these images are others
    answer = ended.out.splitlines()[2]
    assert "eurosat, another split: " in answer and "oxford_flowers" not in answer
    rows = csv.DictReader(Path("runs/paper-templates/table.csv").read_text(encoding="utf-8").splitlines())
    counts = Counter((row["data"], row["precision"]) for row in rows)
    assert counts["eurosat", "fp16"] == 22 and counts["oxford_flowers", "fp32"] == 23
    assert "The printed numbers are of ViT-B-16/openai and these of embedded: they need not agree." in ended.out
    assert "these rows do not decide." in ended.out
    assert "does not follow from its neighbours, which give 67.00." in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["datas=eurosat"],
            "unknown key 'datas' (did you mean data?); there are table, data, clip, precision",
        ),
        (["precision=fp8"], "there is no precision 'fp8'; give fp32 or fp16, or leave it out for both."),
        (
            ["data=embeded:a"],
            "no templates are printed for 'embeded:a' (did you mean embedded:a?); there are: embedded:a",
        ),
        (["clip=ViT-B-17"], "there is no CLIP named 'ViT-B-17'"),
        (["table=none.yaml"], "cannot read the configuration none.yaml"),
    ],
)
def test_bad_words_are_one_sentence(run: Run, words: list[str], said: str) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "") and said in ended.sentence
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"template": "no slot"},
            "templates.0.rows.0.template in table.yaml is wrong: the template 'no slot' cannot be",
        ),
        (
            {"base": 141},
            "templates.0.rows.0.base in table.yaml is wrong: input should be less than or equal to 100 (given: 141).",
        ),
        ({"colour": 1}, "templates.0.rows.0.colour in table.yaml is wrong: extra inputs are not permitted (given: 1)."),
    ],
)
def test_a_table_of_another_form_is_one_sentence(run: Run, change: dict[str, Any], said: str) -> None:
    ended = run(rows=[{**ROWS[0], **change}])
    assert (ended.code, ended.out) == (2, "") and said in ended.sentence


def test_a_data_set_that_was_named_or_nothing_at_all_is_an_error(run: Run) -> None:
    for words, said in (
        (["data=eurosat"], "eurosat is read from a root folder in the CoOp layout"),
        ([], "none of the 11 data sets is here: imagenet is read from a root folder in the CoOp layout"),
    ):
        ended = run(*words, rows=None)
        assert ended.code == 2 and said in ended.sentence


def test_a_image_that_cannot_be_read_leaves_its_data_set_out(run: Run, tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    broken = next((root / "eurosat" / "2750").glob("*/test_*.jpg"))
    broken.write_bytes(b"no image")
    ended = run("precision=fp32", data=["embedded:a", f"eurosat:{root}"])
    assert ended.code == 0 and broken.name in ended.out
    assert "4 of 4 deciding rows agree" in ended.out
