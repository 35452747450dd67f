"""`ipo verify`: the verdict of answers, what it rests on, and answers that are refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.clicks.drawing import read_drawing
from ipo_prompts.experiments.clicks.verifying import load_verified
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import run_page
from ipo_prompts.experiments.run.openings import Peek, asked_elsewhere, remember
from ipo_prompts.metrics.clicks import Disagreements, slips_of
from ipo_prompts.metrics.verdict import spends
from ipo_prompts.programs.classifier import TemplateClassifier
from support.clicks import truth, write_answers

Capture = pytest.CaptureFixture[str]


def test_all_true_answers_find_what_labels_found(labelled: Path, capsys: Capture) -> None:
    assert main(["verify", str(labelled), str(write_answers(labelled))]) == 0
    found = load_verified(labelled)
    test = json.loads((labelled / "result.json").read_text())["scores"]["test"]
    assert found is not None
    assert found.these == pytest.approx(test["difference"]["mean"], abs=1e-6)
    # All are answered, and none of those that came twice otherwise; a wrong click in forty may be among them.
    assert 0 < found.these_ci95[1] - found.these_ci95[0] < 0.04
    low, high = test["difference"]["ci95"]
    # Wider than with labels of all: it does not know that each class has as many pictures.
    assert 1 <= (found.verdict.ci95[1] - found.verdict.ci95[0]) / (high - low) < 1.25
    assert (found.rests_on.answers, found.rests_on.repeated, found.rests_on.otherwise) == (199, 66, 0)
    assert found.words in capsys.readouterr().out
    assert run_page(read_run(labelled)) == (labelled / "report.html").read_text()
    assert "Verified by clicks." in (labelled / "report.html").read_text()


def test_the_verdict_is_that_of_the_first_answers(labelled: Path) -> None:
    drawing = read_drawing(labelled)
    assert main(["verify", str(labelled), str(write_answers(labelled, count=40))]) == 0
    found = load_verified(labelled)
    assert found is not None
    basis, draws = found.rests_on, [one.draw for one in drawing.showings[:40]]
    assert basis.answers == len(set(draws)) and basis.repeated == 40 - basis.answers
    values = [1] * basis.second + [-1] * basis.first + [0] * (basis.neither + basis.both)
    rate, twice = truth(drawing, "embedded:d"), [one for one in draws if draws.count(one) == 2]
    said = {one.draw: rate(one)["answer"] for one in drawing.showings[:40] if one.draw in twice}
    slips = slips_of([[who != "neither"] * 2 for who in said.values()])  # of one who makes none
    gain = Disagreements.single(272, 199).gain(values, slips)
    assert found.verdict.mean == pytest.approx(gain.new.mean, abs=1e-6)
    assert found.verdict.ci95 == pytest.approx((gain.new.low, gain.new.high), abs=1e-6)
    assert found.these_ci95 == pytest.approx((gain.these.low, gain.these.high), abs=1e-6)
    assert found.verdict.covers == "pictures like these"
    for said in (
        f"{basis.answers} labels of the 199 disagreements",
        f"the found template was right in {basis.second}, the initial template in {basis.first}",
        "Of these 272 pictures:",
    ):
        assert said in found.words


def test_a_side_that_is_always_taken_shows_nothing(labelled: Path) -> None:
    # Blindness: who always takes the first name favours neither program, and contradicts himself.
    assert main(["verify", str(labelled), str(write_answers(labelled, lambda _: {"answer": "first"}))]) == 0
    found = load_verified(labelled)
    assert found is not None and 50 < found.rests_on.second < 122
    assert found.rests_on.otherwise >= 1


def test_answers_that_contradict_are_counted(labelled: Path) -> None:
    drawing, seen = read_drawing(labelled), set[int]()

    def rate(showing: Any) -> dict[str, Any]:
        again = showing.draw in seen
        seen.add(showing.draw)
        return {"answer": "both" if again and showing.draw % 2 else "neither"}

    assert main(["verify", str(labelled), str(write_answers(labelled, rate))]) == 0
    found = load_verified(labelled)
    assert found is not None
    assert (found.rests_on.neither, found.rests_on.repeated, found.rests_on.otherwise) == (199, 66, 33)
    assert "Of 66 pictures that came twice, 33 got another answer." in found.words
    assert "Where neither is right, no template helps much" in found.words
    assert found.verdict.outcome == "not shown" and found.these == 0
    assert len({one.draw for one in drawing.showings}) == 199


def test_looks_are_comparisons_and_the_same_answers_are_no_other_look(labelled: Path) -> None:
    counts = []
    for count in (20, 20, 5, 40, 60, 40):
        main(["verify", str(labelled), str(write_answers(labelled, count=count))])
        found = load_verified(labelled)
        assert found is not None
        counts.append((found.rests_on.peeks, found.verdict.comparisons))
    # Five answers are refused, which is no peek.
    assert counts == [(1, 1), (1, 1), (1, 1), (2, 3), (3, 5), (3, 5)]
    assert found.verdict.p is not None and found.verdict.p_corrected is not None
    assert found.verdict.p_corrected == pytest.approx(min(1, 5 * found.verdict.p / spends(2)), abs=1e-5)


def _label(folder: Path, one: Path, other: Path) -> Path:
    assert main(["label", str(one), str(other), "--data", "embedded:d", "--out", str(folder)]) == 0
    return folder


@pytest.fixture()
def programs(labelled: Path, clip: Any, tmp_path: Path) -> list[Path]:
    """Three programs of the classes of the run, by their templates alone."""
    names = TemplateClassifier.from_file(labelled).class_names
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    for path, text in zip(paths, ("a photo of a <CLASS>.", "a dark <CLASS>, faded.", "a <CLASS> drawn."), strict=True):
        TemplateClassifier(clip, names, text).save(str(path))
    return paths


def test_a_page_is_an_opening_of_its_pictures_wherever_it_lies(programs: list[Path], tmp_path: Path) -> None:
    counts = []
    for number, (one, other) in enumerate([(0, 1), (0, 1), (0, 2), (1, 0), (1, 2)]):
        folder = _label(tmp_path / f"far-{number}" / "labels", programs[one], programs[other])
        assert main(["verify", str(folder), str(write_answers(folder, count=60))]) == 0
        found = load_verified(folder)
        assert found is not None and found.verdict.opening == found.rests_on.opening
        counts.append((found.rests_on.opening, found.rests_on.peeks))
        assert (f"This is opening {found.rests_on.opening} of these pictures" in found.words) == (counts[-1][0] > 1)
        assert found.verdict.p is not None and found.verdict.p_corrected is not None
        wanted = found.verdict.comparisons * found.verdict.p / spends(found.rests_on.opening)
        assert found.verdict.p_corrected == pytest.approx(min(1, wanted), abs=1e-4)
    # The same pair has the same page: the same answers are no other peek, wherever it was made.
    assert counts == [(1, 1), (1, 1), (2, 1), (1, 1), (3, 1)]


def test_a_second_page_for_a_pair_asks_the_same_and_other_answers_are_another_look(
    programs: list[Path], tmp_path: Path
) -> None:
    one, two = (_label(tmp_path / name / "labels", *programs[:2]) for name in ("one", "two"))
    assert read_drawing(one) == read_drawing(two)
    file = write_answers(one, count=40)
    assert main(["verify", str(one), str(file)]) == main(["verify", str(two), str(file)]) == 0
    found = load_verified(two)
    assert found is not None and (found.rests_on.peeks, found.rests_on.opening) == (1, 1)
    assert main(["verify", str(two), str(write_answers(two, count=60))]) == 0
    found = load_verified(two)
    assert found is not None and (found.rests_on.peeks, found.verdict.comparisons, found.rests_on.opening) == (2, 3, 1)


def test_one_question_on_ever_new_pictures_is_asked_again() -> None:
    peek = Peek(question="one and other", answers="a", opening=1)
    for number in range(3):
        remember({f"{number}", "x" * number}, peek)
    remember({"far"}, peek.model_copy(update={"question": "others"}))
    assert asked_elsewhere("one and other", {"new"}) == 3
    assert asked_elsewhere("one and other", {"0", "new"}) == 2, "those of the same pictures are counted there"
    assert asked_elsewhere("none", {"new"}) == 0


def test_a_run_beside_it_that_opened_its_pictures_counts(programs: list[Path], labelled: Path) -> None:
    folder = _label(labelled.parent / "labels", *programs[:2])
    assert main(["verify", str(folder), str(write_answers(folder, count=60))]) == 0
    found = load_verified(folder)
    assert found is not None and found.rests_on.opening == 2


def test_where_no_look_can_be_kept_it_is_said(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IPO_STATE_DIR", str(tmp_path / "file"))
    assert main(["verify", str(labelled), str(write_answers(labelled, count=60))]) == 0
    assert "pages in other folders will not know of this peek: cannot write" in capsys.readouterr().err


def test_two_others_that_name_all_alike_differ_by_nothing(labelled: Path, capsys: Capture) -> None:
    file, same = write_answers(labelled), str(labelled / "program.json")
    assert main(["verify", str(labelled), str(file), same, same, "--data", "embedded:d"]) == 0
    assert "No evidence of a gain on new pictures: +0.00 points" in capsys.readouterr().out


def test_wrong_clicks_make_the_gain_no_smaller(labelled: Path, capsys: Capture) -> None:
    right, swapped = truth(read_drawing(labelled), "embedded:d"), {"first": "second", "second": "first"}
    clicks = iter(range(1000))

    def rate(showing: Any) -> dict[str, Any]:
        said = right(showing)
        return {"answer": swapped[said["answer"]]} if said["answer"] in swapped and next(clicks) % 10 == 0 else said

    assert main(["verify", str(labelled), str(write_answers(labelled, rate))]) == 0
    found = load_verified(labelled)
    assert found is not None and found.rests_on.otherwise > 0 < found.rests_on.lost
    raw = (found.rests_on.second - found.rests_on.first) / 272
    assert found.these == pytest.approx(raw / (1 - found.rests_on.lost), abs=1e-5)
    assert "got another answer: wrong clicks are estimated to hide" in found.words


def test_what_is_not_shown_has_its_interval_and_p_alone(labelled: Path) -> None:
    assert main(["verify", str(labelled), str(write_answers(labelled, lambda _: {"answer": "neither"}, 60))]) == 0
    found = load_verified(labelled)
    assert found is not None and found.verdict.outcome == "not shown"
    assert "four times in five" not in found.words and "within" not in found.words
    page = (labelled / "report.html").read_text()
    assert "four times in five" in page.partition("How much could have been shown")[2]


def _change(change: Any) -> Any:
    def changed(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return changed


REFUSED = {
    "cut": (lambda text: text[: len(text) // 2], "is not JSON"),
    "foreign": (_change(lambda all_: all_.update(drawing="0" * 16)), "has the answers to another page"),
    "doubled": (_change(lambda all_: all_["answers"].append(all_["answers"][0])), "answer 41 of "),
    "with a gap": (_change(lambda all_: all_["answers"].pop(3)), "answer 4 of"),
    "sorted": (_change(lambda all_: random.Random(0).shuffle(all_["answers"])), "is not to the picture that was shown"),
    "unknown answer": (_change(lambda all_: all_["answers"][2].update(answer="A")), "holds no answers of a page"),
    "no class": (
        _change(lambda all_: all_["answers"][2].update(answer="neither", label=68)),
        "a class that it cannot be",
    ),
    "truth for a class": (
        _change(lambda all_: all_["answers"][2].update(answer="neither", label=True)),
        "holds no answers of a page",
    ),
    "other file": (lambda text: '{"template": "x"}', "holds no answers of a page"),
    "nothing": (_change(lambda all_: all_.update(answers=[])), "holds no answers of a page"),
    "too few": (_change(lambda all_: all_.update(answers=all_["answers"][:9])), "too few for a verdict; answer 10"),
    "later form": (_change(lambda all_: all_.update(schema=2)), "holds no answers of a page (schema"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_answers_that_are_none_are_refused(what: str, labelled: Path, capsys: Capture) -> None:
    change, told = REFUSED[what]
    file = write_answers(labelled, count=40)
    file.write_text(change(file.read_text()))
    before = (labelled / "label.json").read_bytes()
    assert main(["verify", str(labelled), str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ipo: ") and told in line
    assert not (labelled / "verified.json").exists() and (labelled / "label.json").read_bytes() == before


def test_a_folder_without_a_page_and_a_file_that_is_gone(labelled: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["verify", str(tmp_path), str(write_answers(labelled, count=40))]) == 2
    assert "has no label.json, so no page was made there; make one with `ipo label RUN`." in capsys.readouterr().err
    assert main(["verify", str(labelled), "gone.json"]) == 2
    assert "cannot read the answers gone.json" in capsys.readouterr().err


def test_another_program_in_the_run_is_refused(labelled: Path, capsys: Capture) -> None:
    file, program = write_answers(labelled), json.loads((labelled / "program.json").read_text())
    (labelled / "program.json").write_text(json.dumps({**program, "temperature": 2.0}))
    assert main(["verify", str(labelled), str(file)]) == 0, "a temperature changes no label"
    program["templates"][0]["template"] = "a sketch of a <CLASS>."
    (labelled / "program.json").write_text(json.dumps(program))
    assert main(["verify", str(labelled), str(file)]) == 2
    assert "is not the program that the page" in capsys.readouterr().err


def test_answers_with_classes_serve_the_same_two_and_others_within(
    labelled: Path, clip: Any, tmp_path: Path, capsys: Capture
) -> None:
    found = TemplateClassifier.from_file(labelled)
    one, other, far = tmp_path / "one.json", labelled / "program.json", tmp_path / "far.json"
    for path, text in ((one, "a photo of a <CLASS>."), (far, "a <CLASS> upside down.")):
        program = TemplateClassifier(clip, found.class_names, text)
        program.background = found.background
        program.save(str(path))
    file = write_answers(labelled)
    assert main(["verify", str(labelled), str(file)]) == 0
    own = load_verified(labelled)
    capsys.readouterr()
    assert main(["verify", str(labelled), str(file), str(one), str(other), "--data", "embedded:d"]) == 0
    assert own is not None and own.words.split(" It rests")[0] in capsys.readouterr().out
    assert main(["verify", str(labelled), str(file), str(one), str(far), "--data", "embedded:d"]) == 2
    assert "pictures on which these two programs disagree" in capsys.readouterr().err
    without = write_answers(
        labelled, lambda showing: {"answer": truth(read_drawing(labelled), "embedded:d")(showing)["answer"]}, 30
    )
    assert main(["verify", str(labelled), str(without), str(one), str(other), "--data", "embedded:d"]) == 2
    assert "answers have no class, but other programs need one in each" in capsys.readouterr().err
