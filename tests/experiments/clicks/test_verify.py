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
from ipo_prompts.metrics.clicks import Disagreements
from ipo_prompts.programs.classifier import TemplateClassifier
from support.clicks import truth, write_answers

Capture = pytest.CaptureFixture[str]


def test_all_true_answers_find_what_labels_found(labelled: Path, capsys: Capture) -> None:
    assert main(["verify", str(labelled), str(write_answers(labelled))]) == 0
    found = load_verified(labelled)
    test = json.loads((labelled / "result.json").read_text())["scores"]["test"]
    assert found is not None
    assert found.these == pytest.approx(test["difference"]["mean"], abs=1e-6)
    assert found.these_ci95 == (found.these, found.these)
    low, high = test["difference"]["ci95"]
    # Wider than with labels of all: it does not know that each class has as many pictures.
    assert 1 <= (found.verdict.ci95[1] - found.verdict.ci95[0]) / (high - low) < 1.25
    assert (found.rests_on.answers, found.rests_on.repeated, found.rests_on.otherwise) == (199, 10, 0)
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
    gain = Disagreements.single(272, 199).gain(values)
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
    assert (found.rests_on.neither, found.rests_on.repeated, found.rests_on.otherwise) == (199, 10, 5)
    assert "Of 10 pictures that came twice, 5 got another answer." in found.words
    assert found.verdict.outcome == "not shown" and found.these == 0
    assert len({one.draw for one in drawing.showings}) == 199


def test_looks_are_comparisons_and_the_same_answers_are_no_other_look(labelled: Path) -> None:
    counts = []
    for count in (20, 20, 5, 40, 60, 40):
        main(["verify", str(labelled), str(write_answers(labelled, count=count))])
        found = load_verified(labelled)
        assert found is not None
        counts.append((found.rests_on.looks, found.verdict.comparisons))
    # Five answers are refused, which is no look.
    assert counts == [(1, 1), (1, 1), (1, 1), (2, 3), (3, 5), (3, 5)]
    assert found.verdict.p is not None and found.verdict.p_corrected is not None
    assert found.verdict.p_corrected == pytest.approx(min(1, 5 * found.verdict.p), abs=1e-5)


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
    "sorted": (_change(lambda all_: random.Random(0).shuffle(all_["answers"])), "is not of the picture that was shown"),
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
    assert main(["verify", str(tmp_path), "answers.json"]) == 2
    assert "has no label.json, so no page was made there; make one with `ipo label`" in capsys.readouterr().err
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
    assert "pictures on which these two disagree were not among those asked about" in capsys.readouterr().err
    without = write_answers(
        labelled, lambda showing: {"answer": truth(read_drawing(labelled), "embedded:d")(showing)["answer"]}, 30
    )
    assert main(["verify", str(labelled), str(without), str(one), str(other), "--data", "embedded:d"]) == 2
    assert "answers have no class, and other programs need a label of each" in capsys.readouterr().err
