"""How an extra is installed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from ipo_prompts.metrics.errors import to_install


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
