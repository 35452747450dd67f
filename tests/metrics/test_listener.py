"""Options and settings are called what whoever is spoken to writes."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from ipo_prompts.metrics.errors import Listener, flag, listener, setting, speaking_to, to_install
from ipo_prompts.programs.record.trust import resume_command, resumed_by


@pytest.mark.parametrize(
    ("who", "out", "limit", "address", "again"),
    [
        ("command line", "--out", "--budget-tokens 2", "'lm_api_base=http://a b'", "`ipo optimize --resume 'my run'`"),
        ("ipo.optimize", "out=", "budget_tokens=2", "lm_api_base='http://a b'", "`ipo.optimize(resume='my run')`"),
        ("compile", "log_dir", "budget_tokens=2", "lm_api_base='http://a b'", "the same compile"),
    ],
)
def test_what_is_said_is_worded_for_who_reads_it(who: Listener, out: str, limit: str, address: str, again: str) -> None:
    with speaking_to(who):
        assert (flag("out"), flag("budget_tokens", 2), setting("lm_api_base", "http://a b")) == (out, limit, address)
        assert resumed_by(Path("my run")) == again
    assert listener() == "command line"


def test_a_call_to_resume_holds_what_has_to_be_typed() -> None:
    with speaking_to("ipo.optimize"):
        told = resume_command(
            Path("run"), {"lm_api_base": "http://localhost:1", "reward": {"name": "mine:Waves"}}, "max_minutes=0.4"
        )
    assert told == "ipo.optimize(resume='run', max_minutes=0.4, reward='mine:Waves')"


def test_an_extra_is_installed_from_where_the_program_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "my ipo"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    known = {"direct_url.json": f'{{"url": "{checkout.as_uri()}"}}'}
    needs = ["numpy>=2", 'onnx>=1.17; extra == "onnx"', 'onnxruntime; extra == "onnx"', 'ray; extra == "ray"']
    monkeypatch.setattr(metadata, "distribution", lambda _: SimpleNamespace(read_text=known.get, requires=needs))
    monkeypatch.chdir(tmp_path)
    assert to_install("onnx") == f"pip install '{checkout}[onnx]'"
    monkeypatch.chdir(checkout)
    assert to_install("onnx") == "pip install '.[onnx]'"
    (checkout / "pyproject.toml").unlink()
    assert to_install("onnx") == "pip install 'onnx>=1.17' onnxruntime", "the folder is gone"
    known.clear()
    assert to_install("onnx") == "pip install 'onnx>=1.17' onnxruntime", "it was not installed from a folder"
