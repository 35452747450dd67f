"""A folder of pictures and a list of names: labels without one label."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import dspy
import pytest

from ipo_prompts.experiments import one_call
from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.run.prepared import refuse_equal
from ipo_prompts.experiments.run.result import Untested
from ipo_prompts.experiments.run.told import untested_in_words
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.optimizer import IPO, LEAD
from support.browser import opened

CLASSES = sorted(one.name for one in (PICTURES_DIR / "d").iterdir())[:20]
NAMES = [name.replace("-", " ").replace("bicycle", "bicycles").replace("cactus", "zzyx") for name in CLASSES]
TEMPLATES = ["a halftone photocopy of a <CLASS>.", "a halftone of a <CLASS>.", "a sketch of a <CLASS>."]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clip: Any) -> Path:
    """A folder with `holiday`, whose file names say nothing, `templates.txt`, and a finished `run`."""
    place = tmp_path_factory.mktemp("no-labels")
    (place / "holiday" / "2024").mkdir(parents=True)
    files = sorted(file for name in CLASSES for file in (PICTURES_DIR / "d" / name).iterdir())
    for i, file in enumerate(files[::3]):
        shutil.copy(file, place / "holiday" / ("2024" if i % 2 else "") / f"{i:03d}.webp")
    (place / "names.txt").write_text("\n".join(NAMES))
    (place / "templates.txt").write_text("\n".join(TEMPLATES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
        words = ["--data", f"folder:{place / 'holiday'}", f"class_names={place / 'names.txt'}", "--quiet"]
        strategy = ["strategy=list", f"strategy.file={place / 'templates.txt'}", "describer=none", "--lm", "none"]
        assert main(["optimize", *words, *strategy, "--out", str(place / "run")]) == 0
    return place


@pytest.fixture(autouse=True)
def _loaded_once(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipo_prompts.programs.classifier.load_clip", lambda *_: clip)
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)


def test_the_run_says_that_nothing_is_tested(made: Path) -> None:
    result = json.loads((made / "run" / "result.json").read_text())
    found = result["untested"]
    assert result["verdict"].startswith("Not tested: no labels. A better fit does not mean that more pictures")
    assert result["scores"] == {} and result["reward"]["name"] == "fit" and result["template"] in TEMPLATES
    assert found["lead"] > found["needed"] == pytest.approx(LEAD * found["spread"], abs=2e-6) and found["needed"] > 0
    rows = list(csv.DictReader((made / "run" / "labels.csv").open()))
    assert len(rows) == found["pictures"] and {row["label"] for row in rows} <= set(NAMES)
    assert found["searched"] == found["pictures"] // 2
    page = (made / "run" / "report.html").read_text()
    told = one_call.summary(read_run(made / "run").result, made / "run")
    for text in (re.sub(r"<[^>]*>", "", page), told):
        assert f"{found['changed_by_mean']:,}" in text
        assert "accuracy" not in text.lower().replace("fit is in nats and is no accuracy", "")
    words = untested_in_words(Untested.model_validate(found), kept=False)
    assert words in told and words in page.replace("\N{NO-BREAK SPACE}", " ")


def test_other_names_are_suggested_with_pictures_and_none_is_taken(made: Path, capsys: Any) -> None:
    found = json.loads((made / "run" / "result.json").read_text())["untested"]
    page = (made / "run" / "report.html").read_text()
    (one,) = found["names"]
    assert (one["given"], one["found"]) == ("bicycles", "bicycle") and one["rise"] > 0.015
    assert page.count("<bdi>bicycles</bdi> → <bdi>bicycle</bdi>") == len(one["pictures"]) > 0
    assert all(shown["thumbnail"] in page for shown in one["pictures"])
    assert (
        "(not tested; nothing is renamed): bicycles → bicycle. No English word is known in 'zzyx';"
        in (found["about_names"])
    )
    assert json.loads((made / "run" / "program.json").read_text())["class_names"] == NAMES
    capsys.readouterr()
    words = ["class_names=" + str(made / "names.txt"), "--clip", "embedded"]
    assert main(["data", "check", f"folder:{made / 'holiday'}", *words]) == 0
    assert "  bicycles → bicycle: " in capsys.readouterr().out


def test_the_page_shows_what_pictures_are_called(made: Path, browser: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    run = read_run(made / "run")
    assert run.seen is not None and run.result.untested is not None
    called = [row["label"] for row in csv.DictReader((made / "run" / "labels.csv").open())]
    most = run.seen.classes[0]
    assert most.found == max(Counter(called).values()) == called.count(most.class_name) and len(most.thumbnails) == 4
    assert run.seen.of_classes == len(set(called)) > len(run.seen.classes) == 12
    assert all(one.initial != one.found for one in run.seen.changed) and len(run.seen.changed) == 12
    context = browser.new_context(viewport={"width": 390, "height": 844})
    complaints: list[str] = []
    page = opened(context, made / "run" / "report.html", complaints)
    assert Axe().run(page).violations_count == 0 and complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    first = page.evaluate("document.querySelector('#pictures img').getBoundingClientRect().top")
    assert first < page.evaluate("document.querySelector('#pictures table').getBoundingClientRect().top")
    shown = sum(len(one.thumbnails) for one in run.seen.classes) + len(run.seen.changed)
    shown += sum(len(one.pictures) for one in run.result.untested.names)
    assert page.evaluate("[...document.images].filter(one => one.naturalWidth > 0).length") == shown
    assert f"called {most.class_name}" in page.content() and "Not tested: no labels" in page.inner_text("h1")
    context.close()


def test_the_labels_and_the_rivals_are_those_of_the_programs(made: Path) -> None:
    run, items = made / "run", load_data(f"folder:{made / 'holiday'}", seed=0, class_names=NAMES).train
    found, rival = (TemplateClassifier.from_file(run / name) for name in ("program.json", "centring.json"))
    features = Fit(found.clip, NAMES).store.encode([item.picture for item in items])
    labels = found.logits(features).argmax(axis=1)
    assert [row["label"] for row in csv.DictReader((run / "labels.csv").open())] == [NAMES[i] for i in labels]
    apart = int((labels != rival.logits(features).argmax(axis=1)).sum())
    assert json.loads((run / "result.json").read_text())["untested"]["apart"] == apart
    assert rival.template == "a photo of a <CLASS>." and rival.offsets is not None and found.offsets is None


def test_it_is_resumed_and_made_again_without_the_file_of_names(made: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    before = (run / "result.json").read_bytes()
    (run / "report.html").unlink()
    assert main(["optimize", "--resume", str(run), "--quiet", "--trust"]) == 0
    assert (run / "report.html").exists() and (run / "result.json").read_bytes() == before


def test_what_needs_a_test_says_so(made: Path) -> None:
    run = read_run(made / "run")
    outcome = one_call.Outcome(made / "run", run.result)
    with pytest.raises(InputError, match="no labels, so it is not tested and has no gain; test its template with"):
        _ = outcome.gain
    assert "Not tested: no labels" in outcome._repr_html_() and "Not tested: no labels" in repr(outcome)


def test_a_lead_that_is_small_keeps_the_initial_template(made: Path, tmp_path: Path) -> None:
    found = one_call.optimize(
        f"folder:{made / 'holiday'}",
        class_names=NAMES,
        lm="none",
        describer="none",
        strategy={"name": "list", "file": str(made / "templates.txt")},
        initial_template=TEMPLATES[1],
        out=tmp_path / "run",
        quiet=True,
    )
    assert found.template == TEMPLATES[1] and "The initial template stays" in found.result.verdict


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["class_names=[cat, dog]", "offsets=centring"],
            "offsets=centring is used only where labels show that it helps",
        ),
        (["class_names=[cat, dog]", "reward=retrieval"], "reward=retrieval needs labels"),
        (["class_names=[cat, dog]", "classes=base-to-new"], "set classes=all"),
        (["class_names=[cat, dog]", f"exclude=[{NAMES[0]}]"], "exclude names the class"),
        (["class_names=none.txt"], "cannot read the file of class names none.txt"),
        (["data=embedded:b", "reward=fit"], "reward=fit is for pictures without labels, and embedded:b has labels"),
    ],
)
def test_one_sentence(made: Path, tmp_path: Path, capsys: Any, words: list[str], message: str) -> None:
    data = [] if words[0].startswith("data=") else [f"data=folder:{made / 'holiday'}"]
    assert main(["optimize", *data, *words, "--lm", "none", "--out", str(tmp_path / "run"), "-q"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_classes_that_a_clip_reads_as_one_are_refused(clip: Any) -> None:
    refuse_equal(clip, "a photo of a <CLASS>.", ["cat", "dog", "cats"])
    with pytest.raises(InputError, match="the CLIP reads the classes 'dog' and 'DOG' as the same text"):
        refuse_equal(clip, "a photo of a <CLASS>.", ["cat", "dog", "DOG"])


def test_compile_without_labels(clip: Any) -> None:
    drawn = draw(load_data("embedded:d", seed=0, labels="none"), 1, 0, 0, at_most=30)
    student = TemplateClassifier(clip, drawn.class_names)
    ipo = IPO(strategy=TEMPLATES, describer="clip", steps=1)
    examples = drawn.examples("search")
    best = ipo.compile(student, trainset=examples)
    assert best.template in TEMPLATES and best.search.descriptions
    with pytest.raises(InputError, match="1 of 31 examples have a label; leave out the others, or give every "):
        ipo.compile(student, trainset=[*examples, dspy.Example(image=examples[0].image, label="cat")])
