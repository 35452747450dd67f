"""An ensemble in a run: taken where it is worth it, said what it would add where not, refused where there is none."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.one_call import answer
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import compare_page, crossed, notebook_part
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.programs.classifier import TemplateClassifier
from support.runs import Ended, check_it_can_be_done_again, comparable, ipo

LISTED = ["an x-ray of a <CLASS>.", "a negative of a <CLASS>.", "a <CLASS>.", "a blurry photo of a small <CLASS>."]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name in sorted((PICTURES_DIR / "a").iterdir())[:12]:
        shutil.copytree(name, folder / name.name)
    (folder.parent / "templates.txt").write_text("\n".join(LISTED))
    return folder


@pytest.fixture()
def run(
    cache: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], pictures: Path
) -> Any:
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)

    def start(*more: str) -> Ended:
        listed = f"strategy.file={pictures.parent / 'templates.txt'}"
        words = ["optimize", f"--data=folder:{pictures}", "lm=none", "describer=none", "strategy=list", listed]
        return ipo(capfd, *words, "shots=2", "selection_shots=2", "ensemble=3", *more)

    return start


@pytest.fixture()
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few pictures decide either way: here the decision is given, the rest is real."""
    decided = (0.1, 0.05), (0.2, 0.06)
    monkeypatch.setattr("ipo_prompts.programs.settling.cross_fitted_ensemble", lambda *of: decided)


@pytest.mark.usefixtures("worth_it")
def test_a_run_that_takes_one_says_so_and_resumes_and_replays_to_the_same(
    run: Any, clip: Clip, tmp_path: Path, capfd: Any
) -> None:
    folder = tmp_path / "run"
    ended = run("--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder)
    assert found.ensemble is not None and found.ensemble.kept
    members = [member.template for member in found.templates]
    assert len(set(members)) == 3 and members == list(found.ensemble.members) and found.template == members[0]
    assert {member.weight for member in found.templates} == {1.0}
    assert (found.selection.gain, found.selection.kept_initial) == (0.2, False)
    test, added = found.scores["test"], found.ensemble.sealed["test"]
    assert added.with_ == test.optimised and added.with_ != added.without
    assert added.difference == pytest.approx(added.with_.value - added.without.value, abs=2e-6)
    assert test.difference.outcome != "same templates"
    words = found.ensemble.words
    assert words.startswith(
        "3 templates are taken together, for +10.00 points (standard error 5.0) on selection pictures left out of the "
        "choice; on the sealed test pictures they have "
    )
    assert f"n = {test.optimised.n}." in words and "  ensemble: 3 templates, taken: " in ended.out
    assert all(f"  1 x {member}\n" in ended.out for member in members)
    page = (folder / "report.html").read_text().replace("\xa0", " ")
    assert words in page
    beside = compare_page([read_run(folder)] * 2).replace("\xa0", " ")
    assert beside.count(words) == 2 and all(html.escape(member) in beside for member in members)
    assert words in notebook_part(read_run(folder)).replace("\xa0", " ") and words in answer(found)
    assert all(f'1.0 × <code class="template"><bdi>{html.escape(member)}' in page for member in members)
    assert not read_run(folder).kept_initial
    cells = dict(crossed([read_run(folder)]))
    assert all(cell is None or not cell.sealed for cell in cells[members[0]]) or members[0] == found.initial_template
    words_of = json.loads((folder / "analysis.json").read_text())["words"]
    assert words_of["template"] == members[0]  # words are those of the best member alone

    check_it_can_be_done_again(capfd, folder, tmp_path / "again")

    # The program predicts what the sealed test counted, and the exports hold all members.
    drawn = plan(load_config(folder / "config.yaml")).drawn
    program = TemplateClassifier.from_file(folder / "program.json", clip)
    assert [template for template, _ in program.templates] == members
    labels = program.probabilities([item.picture for item in drawn.test]).argmax(axis=1)
    right = float(np.mean(labels == [item.label for item in drawn.test]))
    assert right == pytest.approx(test.optimised.value, abs=1e-6)
    exported = ipo(capfd, "export", str(folder), "--to", "head", "--out", str(tmp_path / "exported"))
    assert exported.code == 0, exported.err
    about = json.loads((tmp_path / "exported" / "head.json").read_text())
    assert [one["template"] for one in about["templates"]] == members
    predicted = ipo(capfd, "predict", str(folder), str(drawn.test[0].picture.name))
    assert predicted.code == 0, predicted.err
    assert program.class_names[labels[0]] in predicted.out


@pytest.mark.usefixtures("worth_it")
def test_one_with_offsets_is_scored_with_them(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipo_prompts.programs.settling.cross_fitted_difference", lambda ours, theirs: (0.1, 0.05))
    folder = tmp_path / "run"
    ended = run("offsets=mean", "classes=base-to-new", "--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder)
    assert found.ensemble is not None and found.offsets is not None and found.offsets.kept
    for part in ("test", "new"):
        assert found.ensemble.sealed[part].with_ == found.scores[part].optimised
        assert found.offsets.sealed[part].template.with_ == found.scores[part].optimised
        assert found.offsets.sealed[part].template.without != found.scores[part].optimised
    assert "without them the same templates would have" in found.offsets.words
    assert "; on new classes they have" in found.ensemble.words


def test_one_that_is_not_worth_it_is_not_taken(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipo_prompts.programs.settling.cross_fitted_ensemble", lambda *of: ((0.04, 0.05), (0.2, 0.06)))
    with_, without = tmp_path / "with", tmp_path / "without"
    ended = run("--out", str(with_))
    assert ended.code == 0, ended.err
    assert run("ensemble=1", "--out", str(without)).code == 0
    found, plain = comparable(with_), comparable(without)
    words = found["ensemble"]["words"]
    assert words.startswith(
        "One template is taken, for the 3 best together gained +4.00 points (standard error 5.0) on "
    )
    assert "  ensemble: 3 templates, not taken: " in ended.out
    assert words in (with_ / "report.html").read_text().replace("\xa0", " ")
    assert found["ensemble"]["sealed"]["test"]["without"] == found["scores"]["test"]["optimised"]
    assert plain.pop("ensemble") is None and found.pop("ensemble")
    assert found == plain
    assert (with_ / "program.json").read_text() == (without / "program.json").read_text()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["reward=retrieval"], "ensemble=3 is for classes that compete, and not for reward=retrieval; leave it out"),
        (
            ["reward=examples.segmentation:Segmentation"],
            "ensemble=3 is for classes that compete, and not for reward=examples.segmentation:Segmentation",
        ),
        (["selection=search"], "none are held back; set selection=held-back and selection_shots=1 or more, or ensemb"),
        (["selection_shots=0"], "none are held back; set selection=held-back and selection_shots=1 or more"),
        (["ensemble=0"], "ensemble"),
    ],
)
def test_what_cannot_have_one_is_refused(more: list[str], sentence: str, run: Any, tmp_path: Path) -> None:
    ended = run(*more, "--out", str(tmp_path / "run"))
    assert ended.code == 2
    assert sentence in ended.sentence
    assert not (tmp_path / "run").exists()
