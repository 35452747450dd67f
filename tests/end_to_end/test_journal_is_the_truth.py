"""`--resume` takes the settings from the journal: `config.yaml` is an output, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ipo_prompts.experiments.run.files import config_of
from ipo_prompts.metrics.errors import InputError
from support.late import end_before_the_search
from support.openai_server import OpenAIServer
from support.runs import Ended, copy_images, ipo, resuming, scored

Run = Callable[..., Ended]


@pytest.mark.parametrize("edited", ["", "[", "steps: 9\npace: 3\n"])
def test_what_became_of_config_yaml_changes_no_run(
    stopped: Path, server: OpenAIServer, capfd: pytest.CaptureFixture[str], tmp_path: Path, edited: str
) -> None:
    before = (stopped / "config.yaml").read_text()
    (stopped / "config.yaml").write_text(edited)
    lm = ["lm=openai/test-model", f"lm_api_base={server.base}"]
    new = ["optimize", str(stopped / "config.yaml"), *lm, "budget_tokens=null", "--out", str(tmp_path / "new")]
    for words in ([*resuming(stopped), "budget_tokens=100000"], new):
        server.fresh()
        assert ipo(capfd, *words).code == 0
        assert len(server.asked) == 2, "as many as its two steps need"
    assert (stopped / "config.yaml").read_text() == before.replace("budget_tokens: 1", "budget_tokens: 100000")
    assert scored(stopped)


def test_relative_images_are_looked_for_where_the_run_began(
    run: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my pets").mkdir()
    copy_images(tmp_path / "my pets" / "pets")
    monkeypatch.chdir(tmp_path / "my pets")
    words = ["folder:pets", "lm=none", "strategy=compose", "describer=none", "shots=1", "val_shots=1", "steps=1"]
    with monkeypatch.context() as patch:
        end_before_the_search(patch)
        assert ipo(capfd, "optimize", *words, "max_minutes=10", "--out", "run").code == 3
    monkeypatch.chdir(tmp_path)
    again = ["optimize", "--resume", "my pets/run", "max_minutes=60"]
    ended = ipo(capfd, *again)
    assert ended.code == 2
    assert f"`cd '{tmp_path}/my pets'`, or name its new place" in ended.sentence
    copy_images(tmp_path / "pets")
    assert ipo(capfd, *again).code == 0, "a project that was moved as a whole"


def test_a_table_that_was_moved_is_named_anew(
    run: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    copy_images(tmp_path / "pets")
    files = sorted((tmp_path / "pets").glob("*/*"))
    lines = ["image,label", *(f"{file.relative_to(tmp_path)},{file.parent.name}" for file in files)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    words = ["--data", "csv:labels.csv", "lm=none", "shots=1", "val_shots=1", "steps=1"]
    with monkeypatch.context() as patch:
        end_before_the_search(patch)
        assert ipo(capfd, "optimize", *words, "max_minutes=10", "--out", "run").code == 3
    (tmp_path / "elsewhere").mkdir()
    for name in ("pets", "labels.csv"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    again = ["optimize", "--resume", "run", "max_minutes=60"]
    ended = ipo(capfd, *again)
    assert ended.code == 2 and "data=csv:PLACE" in ended.sentence
    assert ipo(capfd, *again, "data=csv:elsewhere/labels.csv").code == 0


def test_a_run_from_before_a_setting_existed_has_its_default(stopped: Path) -> None:
    journal = stopped / "journal.jsonl"
    text = journal.read_text()
    assert '"verdict": "plain", ' in text
    journal.write_text(text.replace('"verdict": "plain", ', ""))
    assert config_of(stopped).verdict == "plain"
    journal.write_text(text.replace('"verdict": "plain"', '"verdikt": "plain"'))
    with pytest.raises(InputError, match="unknown key 'verdikt'"):
        config_of(stopped)
