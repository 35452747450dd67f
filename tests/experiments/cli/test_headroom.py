"""Whether words can help, as `ipo data check` and `ipo optimize` say it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.run import beforehand as module
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.metrics.errors import InputError
from support.openai_server import OpenAIServer, running
from support.runs import KEY, Ended, arguments, copy_pictures, ipo, result, scored

Capture = pytest.CaptureFixture[str]
SAID = ("Words are likely to help: ", "Little to gain from words: ", "This CLIP is near guessing", "Cannot tell with ")


@pytest.fixture()
def pictures(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, clip: Any) -> Path:
    monkeypatch.setattr("ipo_prompts.metrics.clip.load_clip", lambda *_: clip)
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    return copy_pictures(tmp_path / "my pictures")


def check(capfd: Capture, pictures: Path, *more: str) -> Ended:
    return ipo(capfd, "data", "check", f"folder:{pictures}", *more)


def test_data_check_ends_with_a_verdict_and_the_command_to_type(pictures: Path, capfd: Capture) -> None:
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 0
    said, _, more = shown.out.partition("a run takes no more pictures of a class than ")
    *report, verdict, looked, guesses, accuracy, words = said.splitlines()
    assert "guessing gets" not in shown.out, "the classes are of one size"
    assert "all pictures can be used" in report
    assert verdict.startswith(SAID)
    assert looked == (
        "scored: 12 pictures that a run would search on and 6 that it would choose its winner with; "
        "no test picture was scored"
    )
    assert guesses.startswith("  guesses: ") and accuracy.startswith("  among 6 classes: ")
    assert words.startswith("  words: best of ")
    assert more.splitlines()[-1] == f"next: ipo optimize --data 'folder:{pictures}' --clip embedded --lm none"


def test_guessing_is_the_same_number_in_the_check_and_in_the_run(
    pictures: Path, capfd: Capture, tmp_path: Path
) -> None:
    for domain in "bc":  # four times the cats of any other class
        for file in sorted((PICTURES_DIR / domain / "cat").iterdir())[:9]:
            shutil.copy(file, pictures / "cat" / f"{domain}-{file.name}")
    shown = check(capfd, pictures, "--clip", "embedded").out
    (tmp_path / "listed.txt").write_text("a <CLASS>.\n")
    words = ["lm=none", "describer=none", "strategy=list", f"strategy.file={tmp_path / 'listed.txt'}"]
    ended = ipo(capfd, "optimize", f"--data=folder:{pictures}", "--clip=embedded", *words, "--out", str(tmp_path / "r"))
    assert ended.code == 0, ended.err
    found = load_result(tmp_path / "r")
    assert found.baselines and found.headroom and found.baselines.guessing > 1.5 * found.headroom.guessing
    assert f"  guessing gets {found.baselines.guessing:.1%} of the test pictures" in shown
    assert f"always the class with the most of these pictures, {found.headroom.guessing:.1%}" in shown


def test_without_weights_the_rest_of_the_check_stands(
    pictures: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(name: str) -> Any:
        raise InputError(f"cannot load the CLIP {name!r}: no network.")

    monkeypatch.setattr("ipo_prompts.metrics.clip.load_clip", offline)
    shown = check(capfd, pictures, "--clip", "ViT-B-32/openai")
    assert shown.code == 0
    assert "all pictures can be used" in shown.out and "fingerprint" in shown.out
    assert not any(said in shown.out for said in SAID)
    assert "and whether words can help; cannot load the CLIP 'ViT-B-32/openai': no network." in shown.err
    following = shown.out.splitlines()[-1]
    assert "for the demo CLIP, because ViT-B-32/openai could not be loaded\n" in shown.out
    assert " --clip embedded" in following
    assert check(capfd, pictures, "--clip", "ViT-B-32/opena1").code == 2  # that one no network would bring


def test_without_a_clip_or_with_faults_it_is_not_looked_at(pictures: Path, capfd: Capture) -> None:
    shown = check(capfd, pictures)
    assert "--clip NAME checks both" in shown.err
    assert shown.out.splitlines()[-1].startswith("next: ipo optimize ")
    next((pictures / "cat").iterdir()).write_text("no picture")
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 1
    assert not any(said in shown.out for said in SAID)


def test_a_copy_is_a_warning_and_the_check_goes_on(pictures: Path, capfd: Capture) -> None:
    one, *_ = (pictures / "cat").iterdir()
    other = next(folder for folder in pictures.iterdir() if folder.name != "cat")
    for copy in ("copy.webp", "again.webp", "more.webp"):
        (other / copy).write_bytes(one.read_bytes())
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 0
    assert "copies of one picture (a run uses them all the same): 1" in shown.out
    assert "near copies" not in shown.out, "they are named already"
    assert any(line.startswith(SAID) for line in shown.out.splitlines())
    assert shown.out.splitlines()[-1].startswith("next: ipo optimize ")


def test_a_look_that_fails_is_said_and_the_rest_stands(
    pictures: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise InputError("cannot read cat.png: it is gone.")

    monkeypatch.setattr("ipo_prompts.experiments.data.near_copies.alike", broken)
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 0
    assert "not checked: what the CLIP cannot tell apart: cannot read cat.png: it is gone." in shown.err
    assert shown.out.splitlines()[-1].startswith("next: ipo optimize ")


def test_pictures_to_test_on_alone_are_one_sentence(
    pictures: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = replace(load_data(f"folder:{pictures}", seed=0), train=(), val=())  # as the shifted ImageNets are
    monkeypatch.setattr("ipo_prompts.experiments.data.load_data", lambda spec, **how: sealed)
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 0
    assert "not checked: whether words can help: " in shown.err and "test pictures only" in shown.err
    assert "a run cannot search on these data: " in shown.out and "next: " not in shown.out


def test_one_class_is_left_out(pictures: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLASSES", 1)
    assert "there is one class" in check(capfd, pictures, "--clip", "embedded").err


@pytest.fixture()
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running() as here:
        yield here


def test_a_run_says_it_before_it_asks_keeps_it_and_does_the_same_without_it(
    pictures: Path, server: OpenAIServer, capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, without = tmp_path / "run", tmp_path / "without"
    shown = ipo(capfd, *arguments(pictures, server, f"--out={out}"))
    assert shown.code == 0
    room = load_result(out).headroom
    assert room is not None and room.verdict.startswith(SAID)
    assert room.verdict not in shown.out, "it is said once"
    log = shown.err.splitlines()
    first_step = next(place for place, line in enumerate(log) if line.startswith("step 0/"))
    assert log.index(room.verdict) < first_step
    page = (out / "report.html").read_text(encoding="utf-8")
    place = page.index(f"Before the search, on {room.pictures} of its pictures: ")
    assert page.index('id="answer-title"') < place < page.index('id="search-title"')

    monkeypatch.setattr("ipo_prompts.experiments.run.beforehand.headroom_of", lambda prepared: None)
    quiet = ipo(capfd, *arguments(pictures, server, f"--out={without}", "-q"))
    before, after = result(out), result(without)
    template, verdict, *about = quiet.out.splitlines()
    assert (quiet.code, quiet.err, template, verdict) == (0, "", after["template"], load_result(without).verdict)
    assert len(about) <= 2 and "next:" not in quiet.out
    assert before.pop("headroom") is not None and after.pop("headroom") is None
    before.pop("lm"), after.pop("lm")  # the server was asked the same; its answers may lie in a cache
    assert before == after
    assert scored(out) == scored(without)


def test_other_rewards_say_nothing_of_it(pictures: Path, server: OpenAIServer, capfd: Capture, tmp_path: Path) -> None:
    shown = ipo(capfd, *arguments(pictures, server, f"--out={tmp_path / 'run'}", "reward=retrieval"))
    assert shown.code == 0
    assert load_result(tmp_path / "run").headroom is None
    assert not any(said in shown.out + shown.err for said in SAID)
    assert "Before the search" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8") + shown.out
