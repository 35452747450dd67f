"""A run that starts from another: what it takes over, what it says of the test, and that it can be resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ipo_prompts as package
from ipo_prompts.experiments.run.searching import read_earlier
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import key
from support.runs import SMALL, Ended, copy_pictures, events, ipo, lines_of, result

Run = Callable[..., Ended]


@pytest.fixture()
def run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, clip: Any) -> Run:
    """Run the command in a folder of its own."""
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    monkeypatch.chdir(tmp_path)
    copy_pictures(Path("pictures"))
    return lambda *words: ipo(capfd, "optimize", *words)


@pytest.fixture()
def first(run: Run) -> Path:
    ended = run("folder:pictures", *SMALL, "--out", "first")
    assert ended.code == 0, ended.err
    return Path("first")


def templates(folder: Path, *kinds: str) -> list[str]:
    found = [event for event in events(folder, "scores") if event["kind"] in kinds]
    return [score["template"] for event in found for score in event["scores"]]


def test_it_takes_over_templates_and_settings(run: Run, first: Path) -> None:
    ended = run("--from", "first", "--out", "second", "steps=1")
    assert ended.code == 0, ended.err
    before, found = result(first), result(Path("second"))
    inherited = templates(Path("second"), "earlier")
    assert {*map(key, inherited)} == {*map(key, templates(first, "search"))} - {key(before["initial_template"])}
    started = found["started"]
    assert (started["templates"], started["same_pictures"]) == (len(inherited), True)
    assert found["data"] == before["data"]
    assert found["templates_scored"] == 1 + len(inherited) + found["proposed"]
    assert "are not those" not in ended.err
    assert not {*inherited} & {*templates(Path("second"), "search")}
    assert Path("second/templates.csv").read_text().count(",earlier run,") == len(inherited)
    # The finalists are all of them.
    assert {*inherited} < {*templates(Path("second"), "selection")}

    journal = Path("second/journal.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    (begun,) = [event for event in lines if event["type"] == "earlier"]
    known = [*begun["searched"], "what one before it searched on"]
    begun["searched"] = known
    journal.write_text(lines_of(*lines))
    third = run("--from", "second", "--out", "third", "steps=1", "seed=1")
    assert third.code == 0, third.err
    assert set(events(Path("third"), "earlier")[0]["searched"]) == set(known)
    started = result(Path("third"))["started"]
    assert not started["same_pictures"]
    assert started["chose"] == len({*events(Path("third"), "drawn")[0]["selection"]} & {*known})
    assert {*map(key, inherited)} < {*map(key, templates(Path("third"), "earlier"))}


def test_a_killed_one_is_resumed_and_replayed_without_the_first(run: Run, first: Path, tmp_path: Path) -> None:
    assert run("--start-from", "first", "--out", "second").code == 0
    lines = Path("second/journal.jsonl").read_bytes().splitlines(keepends=True)
    kinds = [json.loads(line)["type"] for line in lines]
    shutil.copytree("second", "killed")
    for file in Path("killed").iterdir():
        if file.name not in ("config.yaml", "journal.jsonl"):
            file.unlink()
    Path("killed/journal.jsonl").write_bytes(b"".join(lines[: kinds.index("given") + 1]))
    first.rename("away")
    ended = run("--resume", "killed")
    assert ended.code == 0, ended.err
    assert result(Path("killed")) == result(Path("second"))


def test_an_edited_record_changes_no_score(run: Run, first: Path) -> None:
    assert run("--from", "first", "--out", "second").code == 0
    file, edited = first / "journal.jsonl", []
    for line in file.read_text().splitlines():
        event = json.loads(line)
        for score in event.get("scores", ()):
            score["accuracy"] = 0.99
        edited.append(event)
    file.write_text(lines_of(*edited))
    ended = run("--from", "first", "--out", "third")
    assert ended.code == 0
    assert "templates have other scores now than" in ended.err
    second, third = result(Path("second")), result(Path("third"))
    assert third["scores"] == second["scores"] and third["template"] == second["template"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("no journal", "first is no run to start from: it has no journal.jsonl; give a run directory."),
        ("no result", "has opened its test and has not written its result; resume it with"),
        ("no scores", "has scored no template yet"),
        ("a number", "has the score nan for"),
        ("no table", "is not as this version writes it"),
    ],
)
def test_what_cannot_be_started_from_is_one_sentence(run: Run, first: Path, damage: str, sentence: str) -> None:
    file = first / "journal.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for event in lines:
        if event["type"] == "scores" and damage == "a number":
            event["scores"][0]["accuracy"] = float("nan")
        if event["type"] == "scores" and damage == "no table":
            event["scores"] = 3
    if damage == "no scores":
        lines = [event for event in lines if event["type"] == "start"]
    file.write_text(lines_of(*lines))
    names = {"no journal": "journal.jsonl", "no result": "result.json"}
    if damage in names:
        (first / names[damage]).unlink()
    ended = run("--from", "first", "--out", "second")
    assert ended.code == 2
    assert sentence in ended.sentence
    assert not Path("second").exists()


def test_templates_that_are_none_are_left_out(run: Run, first: Path) -> None:
    file = first / "journal.jsonl"
    with file.open("a") as journal:
        odd = [{"template": text, "accuracy": 0.5} for text in ("no slot", "a\u200b <CLASS>", "a sound <CLASS>")]
        event = {"type": "scores", "kind": "search", "step": 9, "scores": odd, "rejected": [], "seconds": 1.0}
        journal.write(lines_of(event))
    found = read_earlier(first).templates
    assert "a sound <CLASS>" in found and "no slot" not in found and "a\u200b <CLASS>" not in found


def test_the_estimate_and_the_call_know_it(run: Run, first: Path, capfd: Any) -> None:
    count = len(read_earlier(first).templates)
    ended = run("--from", "first", "--dry-run", "--json")
    assert json.loads(ended.out)["start_from"] == {"run": "first", "templates": count}
    assert f"{count} templates of first are scored first" in run("--from", "first", "--dry-run").out
    outcome = package.optimize(start_from=first, out="second", steps=1, quiet=True)
    assert outcome.result.started is not None
    assert outcome.result.started.run == str(first.absolute())


def test_a_run_to_resume_has_begun_with_what_it_started_from(run: Run, first: Path) -> None:
    refused = "has start_from=None and 'first' was asked for; leave it out, or start a new run"
    sentence = run("--from", "first", "--resume", "first", "seed=7").sentence
    assert f"{refused} from its templates: `ipo optimize --from first seed=7`." in sentence
    with pytest.raises(InputError, match=rf"{refused} from its templates: ipo.optimize\(start_from='first'\)\."):
        package.optimize(start_from="first", resume="first")
    assert run("--from", "first", "--out", "second", "steps=1").code == 0
    assert run("--from", "first", "--resume", "second", "steps=1").code == 0
