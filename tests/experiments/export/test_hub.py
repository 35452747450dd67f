"""The folder for the hub: its card, and its way to a hub on this machine and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.export import TARGETS, export
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier
from support.hub import Hub, point_to, serving
from support.pages import blocks

RECORDED = Path(__file__).parents[2] / "recorded" / "local-history"
TOKEN = "hf_of_a_test"


@pytest.fixture()
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    with serving(monkeypatch, TOKEN) as served:
        yield served


def pushed(*more: str) -> int:
    return main(["export", str(RECORDED), "--to", "hub", "--push", "someone/pets", *more])


def test_a_run_is_pushed_and_used_from_there(
    hub: Hub, clip: Clip, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert pushed() == 0
    told = capsys.readouterr().out
    assert told.startswith(f"pushed to {hub.address}/someone/pets, which is private if it is new; checked, with NumPy")
    assert hub.private == {"someone/pets": True} and not any(file.suffix == ".md" for file in Path().iterdir())
    names = {"README.md", "head.json", "head.safetensors", "program.json", "read.py"}
    assert set(hub.files) == {f"someone/pets/{name}" for name in names}
    Path("card.md").write_bytes(hub.files["someone/pets/README.md"])
    about = ModelCard.load("card.md").data
    assert (about.library_name, about.pipeline_tag) == ("ipo-prompts", "zero-shot-image-classification")
    (found,) = about.eval_results
    sealed = json.loads((RECORDED / "result.json").read_text())["scores"]["test"]["optimised"]
    assert found.metric_value == sealed["value"]
    assert found.metric_args == {"n": sealed["n"], "ci95": sealed["ci95"]}
    assert found.metric_name == "accuracy, n = 272, 95 % interval [0.5586, 0.6734]"
    assert (found.metric_type, found.dataset_name, found.dataset_split) == ("accuracy", "embedded:a", "test")
    Path("picture.jpg").write_bytes(pictures[0].bytes())
    (code,) = [block.text for block in blocks(Path("card.md")) if block.language == "python"]
    exec(code, {})
    answer = TemplateClassifier.from_file(RECORDED, clip)(image="picture.jpg")
    assert capsys.readouterr().out.split()[0] == answer.label
    again = [main(["predict", "hf://someone/pets", "picture.jpg"]), capsys.readouterr().out]
    assert again[0] == 0 and answer.label in str(again[1])


def test_a_program_that_cannot_be_fetched_is_said_after_one_question(
    hub: Hub, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("picture.jpg").write_bytes(pictures[0].bytes())
    for place in ("someone/gone", "a/b/c"):
        assert main(["predict", f"hf://{place}", "picture.jpg"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"ipo: cannot fetch program.json of hf://{place} (")
    assert 1 <= len(hub.asked) <= 2
    monkeypatch.setattr("huggingface_hub.hf_hub_download", _never)
    point_to("http://127.0.0.1:9", monkeypatch)
    assert main(["predict", "hf://someone/gone", "picture.jpg"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "hf://someone/gone is not on this machine and the Hugging Face hub does not answer" in line


def _never(*given: object) -> None:
    raise AssertionError("a download repeats its questions for half a minute")


def test_a_folder_is_kept_beside_where_it_is_asked_for(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert pushed("--out", "kept") == 0
    for file in Path("kept").iterdir():
        assert hub.files[f"someone/pets/{file.name}"] == file.read_bytes()


def test_nothing_is_sent_without_a_token(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert pushed() == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said == (
        "ipo: --push takes a token of the Hugging Face hub that may write; set HF_TOKEN, or type `hf auth login`."
    )
    assert hub.asked == []


def test_a_token_that_may_not_write_and_a_hub_that_is_away_are_said(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_another")
    assert pushed() == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("ipo: cannot push to someone/pets (") and "401" in said and "hf_of" not in said
    assert hub.files == {}
    point_to("http://127.0.0.1:9", monkeypatch)
    assert pushed("--out", "kept") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("ipo: cannot push to someone/pets (") and said.endswith("and the network.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hub", "--push", "pets"], "--push takes USER/NAME, a repository on the Hugging Face hub, not 'pets'."),
        (["hub", "--push", "a/b.git"], "--push takes USER/NAME, a repository on the Hugging Face hub, not 'a/b.git'."),
        (["hub", "--push", "a/b/c"], "--push takes USER/NAME, a repository on the Hugging Face hub, not 'a/b/c'."),
        (["head", "--push", "a/b", "--out", "x"], "--push is for --to hub, not head; leave it out."),
        (["hub"], "name the file or folder to write with --out."),
    ],
)
def test_a_wrong_push_is_one_sentence(
    words: list[str], message: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["export", str(RECORDED), "--to", *words]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"ipo: {message}")
    assert hub.asked == []


def test_the_score_of_a_program_with_pictures_is_the_score_of_both(
    clip: Clip, pictures: list[Picture], tmp_path: Path
) -> None:
    shutil.copytree(RECORDED, tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    both, over = {"value": 0.75, "loss": 1.0, "n": 272, "ci95": [0.7, 0.8]}, {"difference": 0.1, "ci95": [0.0, 0.2]}
    way = result["head"] = {"kept": True, "weight": 1.0, "labelled": 3.0, "without": [], "left_out": 0}
    way |= {"way": "class mean", "alone": "class mean", "words_alone": both, "pictures_alone": both, "both": both}
    way |= {"over_words": over, "over_pictures": over}
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    program = TemplateClassifier(clip, ["cat", "dog"])
    export(program, TARGETS["hub"](tmp_path / "run", "someone/pets"), tmp_path / "out", pictures)
    assert ModelCard.load(tmp_path / "out" / "README.md").data.eval_results[0].metric_value == 0.75


def test_a_card_is_broken_by_no_name_and_has_no_score_without_a_run(
    hub: Hub, clip: Clip, pictures: list[Picture], tmp_path: Path
) -> None:
    program = TemplateClassifier(clip, ["cat", "``` # dog"], "a photo of a <CLASS>.")
    verdict = export(program, TARGETS["hub"](), tmp_path / "out", pictures)
    assert verdict.startswith("checked, ")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.count("```") == 4 and "No temperature was fitted" in card
    assert ModelCard(card).data.eval_results is None and "model" not in card.split("---")[1]
    assert json.loads(card.split("```")[1].removeprefix("json"))["classes"] == ["cat", "``` # dog"]
    content = json.loads((tmp_path / "out" / "program.json").read_text())
    hub.files["someone/pets/program.json"] = json.dumps(content).encode()
    assert TemplateClassifier.from_file("hf://someone/pets", clip).class_names == program.class_names
    content["clip"]["name"] = "local-dir:/elsewhere"
    hub.files["someone/other/program.json"] = json.dumps(content).encode()
    with pytest.raises(InputError, match="trust"):
        TemplateClassifier.from_file(Path("hf://someone/other"))
