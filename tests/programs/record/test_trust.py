"""What is taken from a run, program or grid of somebody else: what ships with us, or was begun here, or is said."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare.grid import GRID_FILE, load_grid, to_sealed_yaml
from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import read_json
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.journal import Journal, begin, last
from ipo_prompts.programs.record.trust import (
    outside,
    own_settings,
    refuse_foreign,
    resume_command,
    seal,
    secret_file,
    trusting,
)

MODEL = PICTURES_DIR.parent / "model"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IPO_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clip", "hf-hub:someone/model"),
        ("clip", "local-dir:model"),
        ("clip", "ViT-B-32/weights.pt"),
        ("data", "folder:pets"),
        ("data", "hf:someone/data"),
        ("data", "eurosat:/their/root"),
        ("lm", "openai/gpt-4o"),
        ("lm", "local/theirs.gguf"),
        ("lm", "replay/runs/other"),
        ("lm_api_base", "http://localhost:1/v1"),
        ("describer", "gemini/gemini-pro"),
        ("track", "wandb"),
        ("strategy", {"name": "list", "file": "/etc/passwd"}),
    ],
)
def test_what_reaches_a_host_or_a_file_needs_a_word(key: str, value: Any) -> None:
    settings = {key: value, "steps": 3}
    with pytest.raises(InputError, match=rf"the run in x was not begun here, and would use '?{key}=") as caught:
        refuse_foreign(settings, None, "the run in x")
    assert "add `--trust`" in str(caught.value)
    refuse_foreign(settings, settings, "a run of one's own")
    with pytest.raises(InputError):
        refuse_foreign(settings, {key: "another"}, "a run of one's own that came back changed")
    with trusting(True):
        refuse_foreign(settings, None, "the run in x")


def test_what_ships_with_us_and_open_clips_list_need_none() -> None:
    assert not outside(
        {
            "clip": "ViT-B-32/openai",
            "data": "embedded:clouds",
            "lm": "local/small",
            "lm_api_base": None,
            "describer": "clip",
            "track": "none",
            "strategy": {"name": "history", "size": 3},
        }
    )


def test_the_refusal_shows_what_the_folder_of_a_clip_names(tmp_path: Path) -> None:
    config = {"model_cfg": {"text_cfg": {"hf_tokenizer_name": "someone/tokenizer"}, "vision_cfg": {}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="with hf_tokenizer_name 'someone/tokenizer'"):
        refuse_foreign({"clip": f"local-dir:{tmp_path}"}, None, "the run in x")


def started(folder: Path, **config: Any) -> Path:
    journal = Journal(folder)
    begin(journal, {"pictures": "p"}, config=config)
    journal.close()
    return folder


def test_a_moved_run_stays_ones_own_and_a_changed_one_does_not(tmp_path: Path) -> None:
    folder = started(tmp_path / "run", clip="local-dir:x", numbers=[1.5, None], classes={"a": "b"})
    moved = folder.rename(tmp_path / "moved")
    event = last(moved, "start")
    assert event is not None
    assert own_settings(event) == event["config"]
    for other in ({**event, "pictures": "q"}, {**event, "more": 1}, {**event, "seal": "é"}, {"config": {}}, None):
        assert own_settings(other) is None
    (secret_file()).unlink()
    assert own_settings(event) is None


def test_a_secret_that_cannot_be_kept_seals_nothing(state: Path, tmp_path: Path) -> None:
    state.write_text("a file where the folder would be")
    assert seal({"a": 1}) is None
    assert "seal" not in (last(started(tmp_path / "run"), "start") or {})


def test_a_secret_that_is_a_link_is_not_used(state: Path, tmp_path: Path) -> None:
    seal({"a": 1})
    shutil.copy(secret_file(), tmp_path / "known")
    (tmp_path / "known").chmod(0o600)
    secret_file().unlink()
    secret_file().symlink_to(tmp_path / "known")
    before = (tmp_path / "known").read_bytes()
    assert seal({"a": 1})
    assert not secret_file().is_symlink() and secret_file().read_bytes() != before
    assert (tmp_path / "known").read_bytes() == before


def test_those_who_make_a_secret_at_once_share_it(state: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(lambda _: seal({"a": 1}), range(32))}) == 1
    assert [file.name for file in state.iterdir()] == ["secret"]


def test_the_program_of_a_run(clip: Any, tmp_path: Path) -> None:
    named = f"local-dir:{shutil.copytree(MODEL, tmp_path / 'model')}"
    folder = started(tmp_path / "run", clip=named)
    program = TemplateClassifier(clip, ("cat", "dog"))
    state = {**program.dump_state(), "clip": {"name": named, "fingerprint": clip.fingerprint}}
    for file in (folder / "program.json", tmp_path / "program.json"):
        file.write_text(json.dumps(state))
    assert TemplateClassifier.from_file(folder).template == program.template, "a run of one's own"
    assert TemplateClassifier.from_file(tmp_path / "program.json", clip).clip is clip
    with pytest.raises(InputError, match=r"program.json was not begun here, and would use clip=local-dir:"):
        TemplateClassifier.from_file(tmp_path / "program.json")
    assert TemplateClassifier.from_file(tmp_path / "program.json", trust=True).template == program.template
    (folder / "program.json").write_text(json.dumps({**state, "clip": {"name": "hf-hub:a/b", "fingerprint": "c"}}))
    with pytest.raises(InputError, match="would use clip=hf-hub:a/b"):
        TemplateClassifier.from_file(folder)


def test_the_grid_in_the_folder_of_a_grid(tmp_path: Path) -> None:
    file = tmp_path / GRID_FILE
    file.write_text(
        "title: t\nprotocol: few-shot\ndata: ['folder:pets']\nmethods: [baseline]\nseeds: 1\n"
        "settings: {clip: 'hf-hub:a/b'}\n"
    )
    grid = load_grid(str(file))  # a person wrote it
    (tmp_path / "cells").mkdir()
    with pytest.raises(InputError, match=r"the grid in .* was not begun here, and would use data=folder:pets"):
        load_grid(str(file))
    with pytest.raises(InputError, match="would use clip=hf-hub:a/b"):
        load_grid(str(file), ["data=embedded"])
    assert load_grid(str(file), ["data=embedded", "clip=embedded"]).data == ["embedded"]
    with trusting(True):
        assert load_grid(str(file)) == grid
    file.write_text(to_sealed_yaml(grid))
    assert load_grid(str(file)) == grid
    file.write_text(file.read_text().replace("hf-hub:a/b", "hf-hub:a/c"))
    with pytest.raises(InputError, match="would use data="):
        load_grid(str(file))


def test_a_file_that_is_none_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "device.json"):
        with pytest.raises(InputError, match="it is no regular file"):
            read_json(tmp_path / name, "the program", "name another")


def test_where_no_secret_can_be_kept_the_command_that_resumes_says_so(state: Path) -> None:
    state.write_text("a file where the folder would be")
    assert seal({"config": {}}) is None
    told = resume_command(Path("runs/one"), {"clip": "embedded", "data": "folder:pets"})
    assert told == "ipo optimize --resume runs/one --trust"
    assert "--trust" not in resume_command(Path("runs/one"), {"clip": "embedded", "data": "embedded:a", "lm": "local"})
    state.unlink()
    seal({"config": {}})
    assert "--trust" not in resume_command(Path("runs/one"), {"clip": "embedded", "data": "folder:pets"})
