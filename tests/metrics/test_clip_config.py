"""A CLIP that a stranger made runs no code of theirs, asks no question, and says no more than the shape of a model."""

from __future__ import annotations

import json
import os
import pty
from collections.abc import Callable
from pathlib import Path
from select import select
from typing import Any

import open_clip
import pytest
import torch
from open_clip import factory
from safetensors.torch import save_file

from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.clip_config import check_config
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.classifier import TemplateClassifier
from support.killing import ForkServer

CODE = """
import pathlib
pathlib.Path({mark!r}).write_text("the code of a stranger ran")
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast


class Config(BertConfig):
    model_type = "strange"


class Model(BertModel):
    config_class = Config


class Tokenizer(PreTrainedTokenizerFast):
    pass
"""


def tiny(**text: Any) -> dict[str, Any]:
    return {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1, **text},
    }


def saved(folder: Path, config: dict[str, Any]) -> None:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


def with_weights(folder: Path) -> None:
    """Save random weights, so that what fails afterwards is the tokenizer."""
    listed = folder / f"ipo-strange-{folder.name}.json"
    listed.write_text(json.dumps(tiny()))
    open_clip.add_model_config(listed)
    torch.manual_seed(0)
    model = open_clip.create_model(listed.stem)
    listed.unlink()
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / "open_clip_model.safetensors")


def strange_tokenizer(folder: Path) -> None:
    """A tokenizer that only its author's code can read."""
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "StrangeTokenizer", "auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}})
    )


def by_argument(folder: Path) -> None:
    with_weights(folder)
    strange_tokenizer(folder)
    saved(folder, tiny(hf_tokenizer_name="x", tokenizer_kwargs={"trust_remote_code": True}))


def by_tokenizer(folder: Path) -> None:
    with_weights(folder)
    strange_tokenizer(folder)
    saved(folder, tiny(hf_tokenizer_name="x"))


def by_text_model(folder: Path) -> None:
    with_weights(folder)
    auto = {"AutoConfig": "code.Config", "AutoModel": "code.Model", "AutoTokenizer": ["code.Tokenizer", None]}
    (folder / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": auto}))
    saved(folder, tiny(hf_model_name=str(folder), hf_tokenizer_name="x"))


WAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "argument": (by_argument, "open_clip_config.json sets text_cfg.tokenizer_kwargs.trust_remote_code"),
    "tokenizer": (by_tokenizer, "comes with Python code, which is never run"),
    "text model": (by_text_model, "comes with Python code, which is never run"),
}


@pytest.fixture(params=WAYS)
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, str]:
    """A model whose author wants code run: its name, the file that the code would leave, and what is said."""
    pytest.importorskip("transformers")
    make, said = WAYS[request.param]
    folder, mark = tmp_path / "model", tmp_path / "ran"
    folder.mkdir()
    (folder / "code.py").write_text(CODE.format(mark=str(mark)))
    make(folder)
    return f"local-dir:{folder}", mark, said


def test_no_code_of_a_model_is_run(
    strange: tuple[str, Path, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name, mark, said = strange
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    with pytest.raises(InputError, match=said):
        load_clip(name, "cpu")
    assert not mark.exists()
    assert (f"the CLIP {name} also loads" in caplog.text) == said.startswith("comes with"), "before it is fetched"


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("text_cfg", "tokenizer_kwargs", {"clean": "__import__"}), ("vision_cfg", "timm_pool", "__import__")],
)
def test_a_value_that_open_clip_does_not_know_is_one_sentence(
    section: str, key: str, value: Any, tmp_path: Path
) -> None:
    config = tiny()
    config[section][key] = value
    if key == "timm_pool":
        config[section]["timm_model_name"] = "resnet10t"
    saved(tmp_path, config)
    with pytest.raises(InputError, match="cannot load the CLIP"):
        load_clip(f"local-dir:{tmp_path}", "cpu")


def test_predict_with_a_strangers_program_runs_nothing_and_asks_nothing_on_a_terminal(
    strange: tuple[str, Path, str], clip: Clip, tmp_path: Path
) -> None:
    name, mark, said = strange
    run = tmp_path / "run"
    run.mkdir()
    TemplateClassifier(clip, ("cat", "dog")).save(str(run / "program.json"))
    state = (run / "program.json").read_text()
    (run / "program.json").write_text(state.replace('"embedded"', json.dumps(name)))
    code, shown = on_a_terminal("predict", str(run), str(IMAGES_DIR / "a" / "cat"))
    assert said in " ".join(shown.split())
    assert code == 2
    assert "[y/N]" not in shown
    assert "Traceback" not in shown
    assert not mark.exists()


def on_a_terminal(*words: str) -> tuple[int, str]:
    """Run `ipo` with a terminal for everything; anybody who asks there is answered yes."""
    ours, theirs = pty.openpty()
    os.write(ours, b"y\n" * 5)
    process = ForkServer().start(list(words), Path(os.ttyname(theirs)), COLUMNS="500")
    shown = b""
    while select([ours], [], [], 0.05)[0] or process.is_alive():
        if select([ours], [], [], 0)[0]:
            shown += os.read(ours, 1 << 16)
    os.close(theirs)
    os.close(ours)
    assert process.exitcode is not None
    return process.exitcode, shown.decode(errors="replace")


@pytest.mark.parametrize("name", open_clip.list_models())
def test_every_model_that_open_clip_ships_may_say_what_it_says(name: str) -> None:
    check_config(open_clip.get_model_config(name), name)


def test_all_shipped_configurations_are_looked_at() -> None:
    files = {file.stem for file in (Path(factory.__file__).parent / "model_configs").glob("*.json")}
    assert len(files) > 100
    assert files <= set(open_clip.list_models())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("text_cfg", "tokenizer_kwargs", {"gguf_file": "x"}),
        ("text_cfg", "tokenizer_kwargs", {"bpe_path": "/etc/passwd"}),
        ("text_cfg", "tokenizer_kwargs", {"clean": {"a": 1}}),
        ("text_cfg", "tokenizer_kwargs", ["trust_remote_code"]),
        ("text_cfg", "norm_kwargs", {"device": "cuda"}),
        ("vision_cfg", "act_kwargs", {"inplace": True}),
        ("vision_cfg", "timm_model_name", "hf-hub:stranger/model"),
        ("vision_cfg", "timm_model_name", "local-dir:/tmp"),
        ("vision_cfg", "width", {"a": 1}),
        ("text_cfg", "hf_model_name", ["a"]),
        ("text_cfg", "trust_remote_code", True),
        ("", "cast_dtype", "x"),
    ],
)
def test_what_is_not_on_the_lists_is_refused_and_not_dropped(
    section: str, key: str, value: Any, tmp_path: Path
) -> None:
    config = tiny()
    (config[section] if section else config)[key] = value
    saved(tmp_path, config)
    with pytest.raises(InputError, match=rf"open_clip_config.json (sets|has) ({section}.)?{key}.*name another CLIP\.$"):
        load_clip(f"local-dir:{tmp_path}", "cpu")
