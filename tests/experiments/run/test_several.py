"""A run with labels=several, from a table to what it names; and what is refused with it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.programs.classifier import TemplateClassifier

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures of two drawings each, of four classes."""
    folder = tmp_path_factory.mktemp("several")
    data = load_data("embedded", seed=0)
    of = [[item for _, item in data.items() if item.label == label] for label in range(4)]
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label"])
        for i in range(30):
            labels = (i % 4, (i + 1 + i // 4 % 3) % 4)
            picture = Image.new("RGB", (96, 48), "white")
            for place, label in enumerate(labels):
                picture.paste(of[label][i % len(of[label])].picture.image().resize((48, 48)), (48 * place, 0))
            picture.save(folder / f"{i}.png")
            writer.writerow([f"{i}.png", "|".join(data.class_names[label] for label in labels)])
    return folder / "t.csv"


def test_a_run_goes_from_the_table_to_several_names(
    table: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.selection.shrunken_gain", lambda *_: (1.0, 0.0))  # another is chosen
    templates = tmp_path / "templates.txt"
    templates.write_text("a <CLASS> in space.\na small <CLASS>.\n")
    run = str(tmp_path / "run")
    words = ["labels=several", "--lm", "none", "strategy=list", f"strategy.file={templates}", "describer=none"]
    words.append("initial_template=a <CLASS> that stands in mist.")
    assert main(["optimize", f"csv:{table}", *words, "steps=1", "shots=5", "--out", run]) == 0
    said = capfd.readouterr().out
    assert "test: ranking precision " in said
    assert re.search(r"^  mAP: .* a difference of [+-]", said, re.M)
    page = Path(run, "report.html").read_text()
    assert "mAP, the mean of the average precisions of 4 classes" in page and "<dt>Gain in mAP</dt>" in page
    assert page.index("Pictures with several labels") < page.index("<h1")
    assert "it is not known which classes are confused" in page
    result = load_result(Path(run))
    assert (result.reward.name, result.baselines) == ("several", None)
    assert 0 < result.over_classes["test"].optimised_ci95[0] < result.over_classes["test"].optimised < 1
    program = TemplateClassifier.from_file(run)
    assert program.sureness is not None
    assert len(set(program.sureness.intercepts)) == 1, "no class has enough pictures for one of its own"
    proposed = program.sureness.proposed
    assert proposed and result.above == proposed.above and proposed.n == result.scores["selection"].optimised.n
    names, above = [str(path) for path in sorted(table.parent.glob("*.png"))], f"{proposed.above:g}"
    initial = TemplateClassifier.from_file(Path(run, "initial.json"))
    assert initial.template == result.initial_template and initial.sureness and initial.sureness.proposed
    assert result.above_initial == initial.sureness.proposed.above
    assert initial.sureness.slope != program.sureness.slope, "it was fitted to the initial template"
    place, line = (run, result.above) if "advice: use it" in said else (f"{run}/initial.json", result.above_initial)
    assert f"next: ipo predict {place} --above {line:g} PICTURES" in said
    assert main(["predict", f"{run}/initial.json", names[0], "--above", "0.05", "--format", "jsonl"]) == 0
    assert set(json.loads(capfd.readouterr().out)["labels"]) <= set(program.class_names)
    assert main(["predict", run, *names, "--above", above, "--format", "jsonl"]) == 0
    said = capfd.readouterr()
    assert "no class is above" not in said.err and any(json.loads(row)["labels"] for row in said.out.splitlines())
    assert main(["predict", run, names[0], "--above", "0.05", "--format", "jsonl"]) == 0
    assert set(json.loads(capfd.readouterr().out)["labels"]) <= set(program.class_names)
    template = ["--template", result.initial_template, "--template", result.template, "--json"]
    assert main(["evaluate", "labels=several", "--data", f"csv:{table}", *template]) == 0
    rows = json.loads(capfd.readouterr().out)["templates"]
    assert [row["ranking_precision"] for row in rows] == pytest.approx(
        [result.scores["test"].initial.value, result.scores["test"].optimised.value]
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reward=retrieval"], "for pictures of one class each; leave it out with labels=several"),
        (["offsets=centring"], "offsets=centring"),
        (["names=search"], "names=search is for the accuracy"),
        (["classes=base-to-new"], "set classes=all"),
        (["labels=given", "reward=several"], "set labels=several"),
    ],
)
def test_what_is_for_one_label_a_picture_is_refused(
    words: list[str], said: str, table: Path, tmp_path: Path, capfd: Capture
) -> None:
    given = ["labels=several", *words] if words[0] != "labels=given" else words
    assert main(["optimize", f"csv:{table}", *given, "--lm", "none", "--out", str(tmp_path / "run")]) == 2
    assert said in capfd.readouterr().err
