"""The cells of a grid in one file: the tables that are made of it alone, and files that are not as they should be."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo_prompts.experiments.compare.documents import documents, outcomes_of, table_of
from ipo_prompts.experiments.compare.executors import Failure
from ipo_prompts.experiments.compare.grid import entries, load_grid
from ipo_prompts.experiments.compare.raw_cells import names_a_place, pack, unpack
from ipo_prompts.programs.record.lines import checked, line_of
from support.runs import KEY, Ended, ipo
from support.scored_cells import make_cell

FILES = ("table.md", "table.csv", "table.json")
GRID = {
    "title": "Made cells",
    "protocol": "few-shot",
    "data": ["embedded:a", "embedded:b", "embedded:c"],
    "methods": ["baseline", "best-of-80", {"label": "longer", "method": "ipo-default", "settings": {"steps": 9}}],
    "seeds": [1, 2],
    "settings": {"clip": "embedded", "lm": "openai/test", "lm_api_base": "http://10.1.2.3:99/v1", "describer": "none"},
}
SKILLS = {"baseline": 0.0, "best-of-80": 0.1, "longer": 1.0}
Made = Callable[..., Path]


@pytest.fixture()
def made(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make a grid and its finished cells, and return the grid's file; the working directory is the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def make(change: Callable[[dict[str, Any]], object] = lambda cell: None, **grid: Any) -> Path:
        content = {**GRID, **grid}
        Path("made.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        sides = ("base", "new") if content["protocol"] == "base-to-new" else ("test",)
        for entry in entries(load_grid("made.yaml"), Path("runs/made")):
            skill = SKILLS.get(entry.label, 0.5)
            cell = make_cell(entry.cell.data, entry.label, entry.cell.seed, skill, sides, entry.cell.protocol)
            cell["cell"] = entry.cell.record()
            change(cell)
            entry.folder.mkdir(parents=True, exist_ok=True)
            (entry.folder / "cell.json").write_bytes(line_of(cell))
        return Path("made.yaml")

    return make


@pytest.fixture()
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    return lambda *words: ipo(capfd, "benchmark", *map(str, words))


def _bytes(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.name in (*FILES, "data-sets.md")}


def _lines() -> list[Any]:
    """Return the lines of the file, without their checksums."""
    lines = gzip.decompress(Path("runs/made/cells.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(checked(line)) for line in lines]


def _no_new(cell: dict[str, Any]) -> None:
    if cell["cell"]["method"] == "best-of-80":
        del cell["scores"]["new"], cell["picture_ids"]["new"]


def _absent(cell: dict[str, Any]) -> None:
    if cell["cell"]["method"] == "best-of-80" and cell["cell"]["data"] == "embedded:b":
        cell |= {"absent": "there is | none", "scores": {}, "templates": None, "budget": None, "picture_ids": {}}


def _scenes(cell: dict[str, Any]) -> None:
    """Units with values, drawn in groups, and a method that is no text and has no price."""
    cell |= {"measure": "mean IoU", "unit": "scenes", "templates": None}
    cell["budget"]["usd"] = None
    for score in cell["scores"].values():
        score["values"] = [0.25 + int(hit) / 2 for hit in score.pop("hits")]
        score["value"] = round(0.25 + score["value"] / 2, 6)
        score |= {"labels": None, "draws": [place // 2 for place in range(score["n"])]}


@pytest.mark.parametrize(
    ("change", "grid"),
    [
        (lambda cell: None, {}),
        (lambda cell: None, {"data": ["embedded:a"]}),
        (lambda cell: None, {"seeds": [3]}),
        (lambda cell: None, {"protocol": "base-to-new", "published": "history_size"}),
        (_no_new, {"protocol": "base-to-new"}),
        (_absent, {}),
        (_scenes, {}),
    ],
)
def test_the_file_alone_makes_the_tables_to_the_byte(
    made: Made, run: Callable[..., Ended], change: Callable[[dict[str, Any]], object], grid: dict[str, Any]
) -> None:
    first = run(made(change, **grid))
    assert first.code == 0, first.err
    assert first.err.endswith(", all in cells.jsonl.gz\n")
    Path("kept").mkdir()
    Path("runs/made/cells.jsonl.gz").rename("kept/other name.jsonl.gz")
    again = run("kept/other name.jsonl.gz", "--out=again")
    assert (again.code, again.out) == (0, first.out), again.err
    assert _bytes("again") == _bytes("runs/made") and {*FILES} <= {*_bytes("again")}
    assert ("data-sets.md" in _bytes("again")) == (len({**GRID, **grid}["data"]) > 1)
    before = Path("kept/other name.jsonl.gz").read_bytes()
    assert run("made.yaml").code == 0
    assert Path("runs/made/cells.jsonl.gz").read_bytes() == before, "the same cells give the same bytes"


def test_a_report_of_the_file_prints_the_tables_and_the_digest(
    made: Made, run: Callable[..., Ended], capfd: pytest.CaptureFixture[str]
) -> None:
    first, file = run(made()), Path("runs/made/cells.jsonl.gz")
    ended = ipo(capfd, "report", str(file))
    assert (ended.code, ended.out) == (0, first.out)
    assert ended.err == f"cells.jsonl.gz: SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
    file.write_bytes(file.read_bytes()[:-20])
    ended = ipo(capfd, "report", str(file))
    assert (ended.code, ended.out) == (2, "") and "cells.jsonl.gz" in ended.sentence


def test_missing_seeds_and_failed_cells_are_the_same_gaps(made: Made) -> None:
    grid = load_grid(str(made()))
    found = entries(grid, Path("runs/made"))
    outcomes: list[dict[str, Any] | str] = [one.finished() or "" for one in found]
    outcomes[4], outcomes[7] = "not run yet", "failed: no luck | <b>"
    outcomes[2] = outcomes[11] = "failed: the server hung up"
    Path("some.jsonl.gz").write_bytes(pack(grid, found, outcomes))
    texts = [
        documents(grid, table) for table in (table_of(grid, found, outcomes), table_of(*unpack(Path("some.jsonl.gz"))))
    ]
    assert texts[0] == texts[1] and "no luck \\| &lt;b>" in texts[0]["table.md"]


def test_a_file_of_gaps_makes_no_table(made: Made, run: Callable[..., Ended]) -> None:
    grid = load_grid(str(made()))
    found = entries(grid, Path("runs/made"))
    Path("bad.jsonl.gz").write_bytes(pack(grid, found, ["not run yet"] * len(found)))
    _refused(run, "no cell of bad.jsonl.gz has scores")


def test_a_file_needs_no_clip_no_language_model_no_cache_and_no_folder_of_cells(
    made: Made, run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(made())
    shutil.rmtree("runs/made/cells")
    monkeypatch.setenv("IPO_CACHE_DIR", "no-cache")
    monkeypatch.delenv("OPENAI_API_KEY")
    code = (
        "import sys; from ipo_prompts.experiments.cli.app import main; code = main(sys.argv[1:]); "
        "assert not {'open_clip', 'dspy', 'litellm', 'datasets'} & {*sys.modules}; sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "benchmark", "runs/made/cells.jsonl.gz"], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (0, first.out), ended.stderr
    assert not Path("no-cache").exists()


def test_it_holds_what_was_measured_and_nothing_of_the_machine(
    made: Made, run: Callable[..., Ended], tmp_path: Path
) -> None:
    run(made())
    file = Path("runs/made/cells.jsonl.gz")
    heading, *cells = _lines()
    assert file.read_bytes()[4:8] == bytes(4), "no time in the header"
    assert heading["grid"]["title"] == "Made cells"
    text = json.dumps([heading, *cells])
    assert "10.1.2.3" not in text and str(tmp_path) not in text
    assert [[one["cell"][key] for key in ("data", "method", "seed")] for one in cells[:4]] == [
        ["embedded:a", "baseline", 1],
        ["embedded:a", "best-of-80", 1],
        ["embedded:a", "ipo-default", 1],
        ["embedded:b", "baseline", 1],
    ]
    cell = cells[2]
    assert cell["templates"] == [{"template": "longer 1 of a <CLASS>.", "weight": 1.0}]
    assert cell["budget"]["calls"] == 8 and len(cell["scores"]["test"]["hits"]) == 120


def test_a_data_set_at_a_place_of_this_machine_has_no_file(
    made: Made, run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(cell: dict[str, Any]) -> None:
        cell["cell"]["settings"]["initial_template"] = "the /~<CLASS>/"

    settings = {**GRID["settings"], "initial_template": "the /~<CLASS>/"}
    assert run(made(settle, settings=settings)).err.endswith("all in cells.jsonl.gz\n"), "a template is no place"
    local = ["folder:/home/me/birds", "csv:~/list.csv", "/x", "replay//runs/a", "C:\\birds", "csv:a=/b/c"]
    assert [word for word in local if not names_a_place(word)] == []
    assert not any(
        map(names_a_place, ["folder:birds/all", "hf:me/birds", "embedded:a+b", "openai/gpt", "https://x.org/a"])
    )


def test_cells_that_are_nowhere_else_are_not_written_over(made: Made, run: Callable[..., Ended]) -> None:
    run(made())
    file, lost = Path("runs/made/cells.jsonl.gz"), Path("runs/made/cells/embedded-b/longer/seed-2/cell.json")
    before = file.read_bytes()
    content = lost.read_bytes()
    lost.unlink()
    ended = run("made.yaml", "methods=baseline,best-of-80")
    assert ended.code == 2 and "holds a cell that runs/made/cells does not (embedded:b longer seed 2)" in ended.err
    assert file.read_bytes() == before
    lost.write_bytes(content)
    assert run("made.yaml", "methods=baseline,best-of-80").code == 0, "all are still in the folder"
    assert len(_lines()) == 1 + 12


def test_tables_are_written_over_nothing(made: Made, run: Callable[..., Ended]) -> None:
    run(made())
    Path("out").mkdir()
    Path("out/table.json").write_text("mine")
    ended = run("runs/made/cells.jsonl.gz", "--out=out")
    assert (ended.code, ended.sentence) == (2, "ipo: out/table.json is there already; choose another --out.")
    assert [file.name for file in Path("out").iterdir()] == ["table.json"]


@pytest.mark.parametrize("words", [["seeds=1"], ["--dry-run"], ["--budget-usd=1"], ["--executor=ray"]])
def test_what_is_done_takes_no_settings(made: Made, run: Callable[..., Ended], words: list[str]) -> None:
    ended = run("cells.jsonl.gz", *words)
    assert ended.code == 2 and "the cells of cells.jsonl.gz are done" in ended.sentence


def _set(*path: Any) -> Callable[[Any], Any]:
    """Set what the path leads to, the last of which is the value."""

    def change(content: Any) -> Any:
        *parents, key, value = path
        place = content
        for one in parents:
            place = place[one]
        place[key] = value
        return content

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [], "is damaged (no checksum)"),
        (lambda lines: [{}, *lines[1:]], "is damaged (ipo: field required)"),
        (_set(0, "schema", 1), "was written by another version of ipo"),
        (_set(1, "schema", 1), "line 2 of the file of cells bad.jsonl.gz was written by another version of ipo"),
        (_set(0, "more", 1), "is damaged (more: "),
        (lambda lines: lines[:-1], "it has 17 cells, and its grid 18"),
        (
            _set(0, "grid", "seeds", [1, 3]),
            "line 11 of the file of cells bad.jsonl.gz is damaged (it is not embedded:a",
        ),
        (_set(0, "grid", "seeds", 10**9), "is damaged"),
        (_set(0, "grid", "methods", 0, "method", "unheard-of"), "it is not embedded:a baseline seed 1"),
        (_set(0, "grid", "reference", "nobody"), "is damaged (grid: "),
        (_set(0, "grid", "settings", {"shots": "many"}), "it is not embedded:a baseline seed 1"),
        (_set(0, "gaps", {"embedded:a  baseline  seed 1": "lost"}), "it has 18 cells, and its grid 17"),
        (_set(1, "scores", {}), "line 2 of the file of cells bad.jsonl.gz is damaged (it: it has neither scores nor"),
        (_set(1, "scores", "test", "hits", "01"), "it has 2 hits or values for n = 120"),
        (_set(1, "scores", "test", "hits", "0" * 119 + "2"), "is damaged (scores.test.hits: "),
        (_set(1, "scores", "test", "hits", None), "(scores.test: it needs hits or values)"),
        (_set(1, "scores", "test", "value", float("nan")), "is damaged (scores.test.value: "),
        (_set(1, "scores", "test", "value", 0.9), "is not the mean of its hits"),
        (_set(1, "scores", "test", "labels", 0, 2**70), "is damaged (scores.test.labels.0: "),
        (_set(1, "scores", "test", "labels", [1, 2]), "it has 2 labels for n = 120"),
        (_set(1, "scores", "test", "n", 10**12), "is damaged (scores.test.n: "),
        (_set(1, "scores", "test", "split", "\ud800"), "is damaged (it: invalid JSON"),
        (_set(1, "budget", "usd", 1e300), "is damaged (budget.usd"),
    ],
)
def test_a_file_of_another_form_is_one_sentence(
    made: Made, run: Callable[..., Ended], change: Callable[[Any], Any], said: str
) -> None:
    run(made())
    Path("bad.jsonl.gz").write_bytes(gzip.compress(b"".join(map(line_of, change(_lines())))))
    _refused(run, said)


def test_a_changed_line_is_found_by_its_checksum(made: Made, run: Callable[..., Ended]) -> None:
    run(made())
    lines = gzip.decompress(Path("runs/made/cells.jsonl.gz").read_bytes())
    Path("bad.jsonl.gz").write_bytes(gzip.compress(lines.replace(b'"loss": 1.0', b'"loss": 0.9', 1)))
    _refused(run, "line 2 of the file of cells bad.jsonl.gz is damaged (wrong checksum); get it anew.")
    file = Path("runs/made/cells/embedded-a/baseline/seed-1/cell.json")
    file.write_bytes(file.read_bytes().replace(b'"loss": 1.0', b'"loss": 0.9', 1))
    ended = run("made.yaml")
    assert ended.code == 2 and f"the cell in {file} is damaged (wrong checksum); delete the file" in ended.sentence


def _signed(body: bytes) -> bytes:
    """Return a line with the checksum that belongs to it."""
    return body[:-1] + b', "crc": "%08x"}\n' % zlib.crc32(body[:-1] + b"}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the file of cells bad.jsonl.gz: No such file"),
        (b"", "is damaged (no checksum)"),
        (b"no gzip", "is not a whole gzip file"),
        (gzip.compress(b"{}" * 999, mtime=0)[:-9], "is not a whole gzip file"),
        (gzip.compress(b"{", mtime=0) + b"\0" * 9, "is damaged (no checksum)"),
        (gzip.compress(b"\xff", mtime=0), "in UTF-8"),
        (gzip.compress(_signed(b"[" * 10**6), mtime=0), "is damaged (it: invalid JSON: recursion limit"),
        (gzip.compress(_signed(b"[" + b"9," * 2**22 + b"9]"), mtime=0), "it has more than 4,194,304 values"),
        (gzip.compress(b" " * (2**26 + 1), mtime=0), "has more than 67,108,864 bytes"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(
    run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("bad.jsonl.gz").write_bytes(content)
    _refused(run, said)


def _refused(run: Callable[..., Ended], said: str) -> None:
    ended = run("bad.jsonl.gz", "--out=out")
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert len(ended.err.splitlines()) == 1 and said in ended.sentence, ended.sentence
    assert not Path("out").exists()


def test_a_failure_is_told_without_the_paths_of_the_machine() -> None:
    found = outcomes_of([Failure("InputError", "cannot read /home/me/birds/a b.csv, see https://x.org/a/b"), None])
    assert found == ["failed: cannot read …/a b.csv, see https://x.org/a/b", "not run yet"]
