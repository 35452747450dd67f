"""`ipo label`: which pictures it asks about, and what its page does not tell."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.clicks.drawing import TwoPrograms, as_before, draw_questions, name_pictures, read_drawing
from ipo_prompts.experiments.clicks.pictures import programs_of_run
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.report import label_page as pages
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.label_page import PAGE, label_page
from ipo_prompts.experiments.run.files import write_json
from ipo_prompts.experiments.run.plan import draw_for
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import CentringOffsets, PriorOffsets
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier
from support.runs import events, lines_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture()
def programs(clip: Any) -> tuple[TemplateClassifier, TemplateClassifier]:
    names = load_data("embedded", seed=0).class_names
    one, other = (TemplateClassifier(clip, names, text) for text in ("a photo of a <CLASS>.", "a dark <CLASS>, faded."))
    return one, other


def test_it_asks_once_about_each_picture_on_which_they_disagree(labelled: Path) -> None:
    drawing = read_drawing(labelled)
    run = TemplateClassifier.from_file(labelled)
    initial = TemplateClassifier(run.clip, run.class_names, "a photo of a <CLASS>.")
    items = [replace(item, picture=item.picture.on("as-is")) for item in load_data("embedded:d", seed=0).test]
    labels = [p.probabilities([item.picture for item in items]).argmax(axis=1) for p in (initial, run)]
    assert drawing.pictures == len(items)
    assert len(drawing.disagreements) == int((labels[0] != labels[1]).sum()) > 100
    new = [showing for i, showing in enumerate(drawing.showings) if showing.draw not in _draws(drawing.showings[:i])]
    assert [showing.draw for showing in new] == list(range(len(drawing.disagreements)))
    pairs = Counter(tuple(one.names if one.straight else one.names[::-1]) for one in new)
    apart = labels[0] != labels[1]
    assert pairs == Counter(zip(labels[0][apart].tolist(), labels[1][apart].tolist(), strict=True))


def _draws(showings: Any) -> set[int]:
    return {showing.draw for showing in showings}


def test_every_third_comes_twice_some_of_them_early(labelled: Path) -> None:
    draws = [showing.draw for showing in read_drawing(labelled).showings]
    twice = sorted(draw for draw, count in Counter(draws).items() if count == 2)
    assert twice == list(range(0, 197, 3)) and len(draws) == 199 + 66
    assert len(draws[:30]) - len(set(draws[:30])) >= 5
    assert min(draws[draws.index(one) + 1 :].index(one) for one in twice if one < 190) >= 9


def test_the_page_does_not_tell_whose_name_is_whose(labelled: Path) -> None:
    html, drawing = (labelled / PAGE).read_text(), read_drawing(labelled)
    result = json.loads((labelled / "result.json").read_text())
    for told in (result["template"], result["initial_template"], "straight", ".webp", drawing.disagreements[0].picture):
        assert told not in html
    straight = sum(showing.straight for showing in drawing.showings)
    assert 0.3 < straight / len(drawing.showings) < 0.7
    data = json.loads(re.findall(r'id="data">(.*?)</script>', html)[0])
    assert [(one[0], tuple(one[2:])) for one in data["showings"]] == [(one.id, one.names) for one in drawing.showings]
    # Neither the order of the classes nor anything else of a showing says more than a coin.
    first_is_lower = [one.names[0] < one.names[1] for one in drawing.showings if one.straight]
    assert 0.25 < np.mean(first_is_lower) < 0.75


def test_the_same_question_keeps_its_answers_good(labelled: Path, capsys: Capture) -> None:
    before = (labelled / "label.json").read_bytes()
    assert main(["label", str(labelled), "--half-width", "10"]) == 0
    assert (labelled / "label.json").read_bytes() == before
    assert main(["label", str(labelled), "--data", "embedded:b"]) == 2
    assert "has the page of another question, whose answers would be lost; choose another --out" in _said(capsys)
    assert (labelled / "label.json").read_bytes() == before


def test_one_pair_has_one_page_wherever_and_in_whichever_order_it_is_asked(programs: Any) -> None:
    items = list(load_data("embedded:d", seed=0).test)
    asked = TwoPrograms(programs, items, "one", ("a", "b"))
    first, _ = draw_questions(asked, name_pictures(asked))
    asked = TwoPrograms(programs[::-1], items[::-1], "two", ("b", "a"))
    again, _ = draw_questions(asked, name_pictures(asked))
    assert again.id == first.id and again.disagreements == first.disagreements
    for one, other in zip(first.showings, again.showings, strict=True):
        assert (one.id, one.draw, one.names, one.straight) == (other.id, other.draw, other.names, not other.straight)


def test_the_page_ends_with_the_command_that_was_meant(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(labelled.parent)
    assert main(["label", "run"]) == 0
    assert "ipo verify run ~/Downloads/answers-run.json\n" in capsys.readouterr().out
    assert "ipo verify run ~/Downloads/answers-run.json in the folder" in re.sub(
        r"<[^>]*>", "", (labelled / PAGE).read_text()
    )
    assert main(["label", str(labelled)]) == 0
    page = (labelled / PAGE).read_text()
    assert "<code>ipo verify FOLDER ~/Downloads/answers-run.json</code>" in page and str(labelled.parent) not in page


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("runs/holiday", "answers-holiday.json"),
        ("runs/my holiday; 2024/", "answers-my-holiday-2024.json"),
        ("x" * 99, f"answers-{'x' * 40}.json"),
        ("猫", "answers-0123.json"),
    ],
)
def test_the_answers_of_each_page_have_a_name_of_their_own(folder: str, file: str) -> None:
    assert pages.answers_file(Path(folder), Mock(id="0123")) == file
    assert pages.verify_command(Path(folder), Mock(id="0123")).endswith(f" ~/Downloads/{file}")


def test_variants_of_a_picture_are_asked_about_once(programs: Any, tmp_path: Path) -> None:
    items = list(load_data("embedded:d", seed=0).test)
    items = [replace(item, group=f"scene {i // 2}") for i, item in enumerate(items)]
    question = TwoPrograms(programs, items, "scenes", ("one", "other"))
    named = name_pictures(question)
    asked, pictures = draw_questions(question, named)
    apart = (named.labels[0] != named.labels[1]).reshape(-1, 2).sum(axis=1)
    assert asked.draws == len(items) // 2
    assert sorted(one.differing for one in asked.disagreements) == sorted(apart[apart > 0].tolist())
    assert {one.size for one in asked.disagreements} == {2}
    assert len(pictures) == int((apart > 0).sum())
    write_json(tmp_path / "label.json", asked)
    drawn, others = draw_questions(question, named)
    assert as_before(tmp_path, drawn) == asked and others == pictures


def test_a_picture_that_is_there_twice_is_one_draw(programs: Any, tmp_path: Path, capsys: Capture) -> None:
    paths = []
    for i, program in enumerate(programs):
        paths.append(tmp_path / f"{i}.json")
        program.save(str(paths[i]))
    (tmp_path / "holiday").mkdir()
    for i, item in enumerate(load_data("embedded:d", seed=0).test[:20]):
        for copy in "ab":
            (tmp_path / "holiday" / f"{i}{copy}.webp").write_bytes(item.picture.bytes())
    (tmp_path / "holiday" / "cut.webp").write_bytes(item.picture.bytes()[:40])
    words = ["label", *map(str, paths), "--data", str(tmp_path / "holiday"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert re.search(r"left out: .*cut\.webp", capsys.readouterr().err)
    drawing = read_drawing(tmp_path / "out")
    assert (drawing.pictures, drawing.draws) == (40, 20)
    assert {(one.differing, one.size) for one in drawing.disagreements} == {(2, 2)}
    assert drawing.programs[0].name == str(paths[0])


def test_what_searched_is_not_asked_about(run: Path, tmp_path: Path, capsys: Capture) -> None:
    data = load_data("embedded:d", seed=0)
    (tmp_path / "all").mkdir()
    for i, (_, item) in enumerate(data.items()):
        (tmp_path / "all" / f"{i:04d}.webp").write_bytes(item.picture.bytes())
    assert main(["label", str(run), "--data", str(tmp_path / "all"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    count = int(re.findall(r"(\d+) search or selection pictures", said)[0])
    assert count >= 68 * 3  # two shots and one that chooses of each class
    assert read_drawing(tmp_path / "out").pictures == sum(1 for _ in data.items()) - count
    # The settings are the journal's: an edited output lets none of those in that were searched on.
    config, settings = (run / "config.yaml").read_text(), read_run(run).config
    for edited in (config.replace("data: embedded:d", "data: embedded:a"), config.replace("seed: 0", "seed: 99"), ""):
        assert edited != config
        (run / "config.yaml").write_text(edited)
        question = programs_of_run(run, str(tmp_path / "all"))
        assert question.left_out == count
        assert read_run(run).config == settings


@pytest.mark.parametrize("data", ["folder:private", "csv:/dev/zero", "hf:stranger/data", "eurosat:hf:stranger/x"])
def test_a_strangers_run_names_no_pictures(run: Path, data: str, capsys: Capture, monkeypatch: Any) -> None:
    begun, *others = events(run)
    begun["config"]["data"] = data
    (run / "journal.jsonl").write_text(lines_of(begun, *others))
    drawn = Mock(side_effect=InputError("pictures were read."))
    monkeypatch.setattr("ipo_prompts.experiments.clicks.pictures.data_of", drawn)
    for more in ([], ["--data", "embedded:d"]):
        assert main(["label", str(run), "--out", str(run / "page"), *more]) == 2
        assert f"was not begun here, and would use data={data}; nothing of this" in _said(capsys)
    assert not drawn.called and not (run / "page").exists()
    assert main(["label", str(run), "--trust"]) == 2
    assert "pictures were read" in _said(capsys)


def test_no_disagreement_is_said(programs: Any, tmp_path: Path, capsys: Capture) -> None:
    programs[0].save(str(tmp_path / "one.json"))
    words = ["label", str(tmp_path / "one.json"), str(tmp_path / "one.json"), "--data", "embedded:d"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "both give the same names to all 272 pictures of embedded:d, so no label" in said
    assert "at most 1.1 % differently (95 %)" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gone"], "there is no run or file gone; name a run directory"),
        (["{run}", "{run}"], "two programs need pictures that neither was searched on; name them with --data SPEC"),
        (["{run}", "{run}", "{run}"], "there are 3 programs; name a run, or two programs"),
        (["{run}", "--half-width", "0"], "'--half-width': it should be greater than or equal to 0.1"),
        (["{run}", "--data", "{run}"], "there are no pictures in"),
        (["{run}", "{few}", "--data", "embedded:d"], "the two programs have different classes"),
    ],
)
def test_what_cannot_be_asked(
    words: list[str], told: str, run: Path, clip: Any, tmp_path: Path, capsys: Capture
) -> None:
    TemplateClassifier(clip, ["cat", "dog"]).save(str(tmp_path / "few.json"))
    assert main(["label", *(word.format(run=run, few=tmp_path / "few.json") for word in words)]) == 2
    assert told in _said(capsys)


def test_a_run_whose_pictures_changed_is_refused(run: Path, capsys: Capture) -> None:
    result = json.loads((run / "result.json").read_text())
    result["sealed"]["digest"] = "0" * 64
    (run / "result.json").write_text(json.dumps(result))
    assert main(["label", str(run)]) == 2
    assert "are not those that" in _said(capsys) and not (run / PAGE).exists()


def test_a_thousand_photographs_fit(programs: Any, labelled: Path, tmp_path: Path, monkeypatch: Any) -> None:
    rng = np.random.default_rng(0)
    from PIL import Image

    noise = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).resize((1600, 1200))
    noise.save(tmp_path / "photo.jpg")
    picture = Picture.from_path(tmp_path / "photo.jpg")
    monkeypatch.setattr(pages, "BYTES", pages.BYTES // 20)  # of 50
    drawing = read_drawing(labelled)
    html = label_page(drawing, (picture,) * 50, 0.05, Path("labels"))
    assert 15e6 / 20 > len(html) > 15e6 / 60
    shown = re.findall(r'"(data:image/webp;base64,[^"]+)"', html)
    assert len(shown) == 50


def _said(capsys: Capture) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ipo: ")]
    return line


@pytest.mark.parametrize("kind", ["centring", "prior"])
def test_both_programs_have_the_offsets_of_the_run(kind: str, run: Path, clip: Any) -> None:
    found = TemplateClassifier.from_file(run)
    found.offsets = (
        CentringOffsets(np.full(clip.width, 0.01, np.float32)) if kind == "centring" else PriorOffsets(np.zeros(68))
    )
    found.save(str(run / "program.json"))
    (initial, _), items, *_ = programs_of_run(run, None)
    assert len(items) == 272
    if kind == "centring":
        assert initial.offsets is not None
        np.testing.assert_allclose(initial.offsets.mean, found.offsets.mean)
        return
    # Its own: they make all classes equally frequent under the initial template on what searched and chose.
    config = load_config(run / "config.yaml")
    drawn = draw_for(load_data(config.data, seed=0, background=config.background), config)
    shown = [item.picture for item in (*drawn.search, *drawn.selection)]
    initial.temperature = 1.0
    np.testing.assert_allclose(initial.probabilities(shown).mean(axis=0), 1 / 68, rtol=1e-3)


def test_a_pipe_in_place_of_a_page_is_named(labelled: Path, capsys: Capture) -> None:
    (labelled / "label.json").unlink()
    os.mkfifo(labelled / "label.json")
    assert main(["label", str(labelled)]) == 2
    assert f"cannot read the file {labelled / 'label.json'}: it is no regular file" in _said(capsys)
