"""How an extra is installed."""

from __future__ import annotations

from importlib import metadata

import pytest

from ipo_prompts.metrics.errors import to_install


def test_the_packages_of_an_extra_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["numpy>=2", 'onnx>=1.17; extra == "onnx"', 'onnxruntime; extra == "onnx"', 'ray; extra == "ray"']
    monkeypatch.setattr(metadata, "requires", lambda _: needs)
    assert to_install("onnx") == "pip install 'onnx>=1.17' onnxruntime"
