"""`evaluate`, `doctor`, `optimize --dry-run`: what they print and how they end."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.cli import installation
from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.measure import evaluate
from ipo_prompts.experiments.run.tested_before import FILE_NAME, state_dir, told
from ipo_prompts.metrics.clip import Clip

Capture = pytest.CaptureFixture[str]
NAMES = ("cat", "dog", "ice_cream")


@pytest.fixture()
def folder(tmp_path: Path, cache: Path) -> Path:
    """Images in class folders, all different."""
    rng = np.random.default_rng(0)
    for name in NAMES:
        (tmp_path / "good" / name).mkdir(parents=True)
        for i in range(6):
            image = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "good" / name / f"{i}.png")
    return tmp_path / "good"


@pytest.fixture(autouse=True)
def loaded_once(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded CLIP is loaded once for all tests here; what loading does is told in test_clip.py."""
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.loaded", lambda *_: clip)
    monkeypatch.setattr("ipo_prompts.metrics.clip.load_clip", lambda *_: clip)


# --- evaluate


def test_evaluate_prints_one_json_document(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "templates.txt"
    file.write_text("a <CLASS>\n\n  the “{odd}” <CLASS>  \n", encoding="utf-8")
    words = ["--templates-file", str(file), "--template", "<CLASS>", "--json", "--data", f"folder:{folder}"]
    assert main(["evaluate", *words]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["schema"] == 3
    assert document["part"] == "val"
    assert [row["template"] for row in document["templates"]] == ["<CLASS>", "a <CLASS>", "the “{odd}” <CLASS>"]
    for row in document["templates"]:
        low, high = row["ci95"]
        assert 0 <= low <= row["value"] <= high <= 1
        assert row["n"] == 3
        assert row["loss"] >= 0
    assert document["templates"][0]["difference_to_first"]["mean"] == 0
    asked = [row["template"] for row in document["templates"]]
    assert evaluate(asked, f"folder:{folder}").content == document
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("part", "n"), [("train", 6), ("val", 3), ("test", 9)])
def test_evaluate_scores_the_part_asked_for(part: str, n: int, folder: Path, capsys: Capture) -> None:
    words = ["--template", "a <CLASS>", "--json", "--part", part, "--data", f"folder:{folder}"]
    assert main(["evaluate", *words]) == 0
    assert json.loads(capsys.readouterr().out)["templates"][0]["n"] == n


def test_only_the_test_of_evaluate_is_counted(folder: Path, capsys: Capture) -> None:
    words = ["--json", "--data", f"folder:{folder}", "--template", "<CLASS>"]
    for part in ([], ["--part", "train"]):
        assert main(["evaluate", *words, *part]) == 0
    assert not (state_dir() / FILE_NAME).exists()
    found = []
    for other in ("a <CLASS>", "a <CLASS>", "one <CLASS>"):
        capsys.readouterr()
        assert main(["evaluate", *words, "--template", other, "--part", "test"]) == 0
        found.append(json.loads(capsys.readouterr().out)["templates"][1]["difference_to_first"])
    assert [one["p"] is None for one in found] == [False, False, True], "the same answers are the same test"
    assert found[2]["family"] == told(1)


def test_evaluate_cuts_the_parts_of_a_run(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    small = ["--lm", "none", "steps=1", "shots=1", "val_shots=1", "seed=1", "--quiet"]
    assert main(["optimize", f"folder:{folder}", *small, "--out", str(tmp_path / "run")]) == 0
    run = json.loads((tmp_path / "run" / "result.json").read_text())
    test = next(row for row in run["rows"] if row["part"] == "test")
    capsys.readouterr()
    words = ["--template", run["initial_template"], "--part", "test", "--json", "--data", f"folder:{folder}"]
    assert main(["evaluate", *words]) == 0
    row = json.loads(capsys.readouterr().out)["templates"][0]
    assert (row["value"], row["n"]) == (test["before"]["value"], test["n"])
    (run_test, our_test) = [json.loads(line) for line in (state_dir() / FILE_NAME).read_text().splitlines() if line]
    assert run_test["images"] == our_test["images"]


# --- doctor and --dry-run

TO_DEVELOP = ("dev", "embedded")


@pytest.fixture()
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-value")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    return "sk-very-secret-value"


def test_doctor_says_what_would_run_and_shows_no_key(
    folder: Path, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    data = ["--data", f"folder:{folder}", "--lm", "openai/gpt-4o-mini"]
    code = main(["doctor", *data, "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert key not in out + err
    assert (found["keys"]["OPENAI_API_KEY"], found["keys"]["ANTHROPIC_API_KEY"]) == ("set", "not set")
    assert code == 0 and found["problem"] is None
    assert set(found["packages"]) >= {"ipo-prompts", "dspy", "torch"} and found["system"]
    assert found["cache"] == "~/cache", "who posts the findings does not post a user name"
    assert found["tests"] == "counted in ~/state/ipo"
    assert main(["doctor", *data, "exclude=[gone]"]) == 1
    shown = capsys.readouterr()
    assert "problem  " in shown.out and "exclude names the class 'gone'" in shown.out


def test_the_extras_of_doctor_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: listed for name, listed in project["optional-dependencies"].items() if name not in TO_DEVELOP}
    names = {extra: tuple(re.split("[<>=]", one)[0] for one in listed) for extra, listed in extras.items()}
    assert names == installation.EXTRAS


def test_a_dry_run_asks_nothing_and_writes_nothing(
    folder: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--data", f"folder:{folder}", "val_shots=1", "shots=1", "--lm", "openai/gpt-4o-mini", "--steps", "7"]
    assert main(["optimize", "--dry-run", "--json", "--quiet", *words]) == 0
    forecast = json.loads(capsys.readouterr().out)
    assert forecast["optimizer"]["calls"] == 9, "one question is for words of the domain, one for names"
    assert forecast["usd"] == forecast["optimizer"]["usd"] > 0
    assert forecast["describer"] is None
    assert main(["optimize", "--dry-run", "--quiet", *words, "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert "9 calls if each answer can be used, with at most" in out
    assert "nothing was asked yet" in out
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_opens_no_image_loads_no_model_and_needs_no_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a dry run opened an image, or loaded or fetched a model")

    mine = folder.parent / "mine.txt"
    mine.write_text("a negative of a <CLASS>.\n")
    monkeypatch.chdir(folder.parent)  # no run beside it has opened what would be opened
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("IPO_CACHE_DIR", str(folder / "no weights are here"))
    for opening in (
        "ipo_prompts.metrics.images.LazyImage.bytes",
        "ipo_prompts.metrics.images.LazyImage.rgb",
        "ipo_prompts.programs.lm.local.LocalEngine.load",
        "ipo_prompts.programs.lm.local.LocalEngine.complete",
        "ipo_prompts.programs.lm.weights.pull",
        "open_clip.create_model_from_pretrained",
    ):
        monkeypatch.setattr(opening, never)
    few = ["--data", f"folder:{folder}", "val_shots=1", "shots=1"]
    for words in (
        few,
        [*few, "--lm", "openai/gpt-4o-mini", "--describer", "openai/gpt-4o"],
        [*few, "--clip", "ViT-B-16/openai", "strategy=history"],
        [*few, "--lm", "none", "strategy=list", f"strategy.file={mine}"],
        [],
    ):
        assert main(["optimize", "--dry-run", *words]) == 0
    out = capsys.readouterr().out
    assert "no language model is asked; it costs nothing." in out
    assert out.count("nothing was asked yet") == 4
