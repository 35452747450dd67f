"""The README's library example runs as it is written, on what ships with us and a language model on this machine."""

import re
from pathlib import Path
from typing import Any

import pytest

from support.openai_server import running
from support.runs import KEY

README = Path(__file__).parents[2] / "README.md"


def test_there_are_exactly_two_setup_commands() -> None:
    assert len(re.findall(r"^pip install ", README.read_text(encoding="utf-8"), re.MULTILINE)) == 2


def test_the_library_example_runs(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    text = code[1]
    for written, here in (
        ('"folder:pets"', '"embedded"'),
        ('clip="ViT-B-16/openai"', 'clip="embedded"'),
        ("budget_usd=0.50", "budget_usd=0.50, steps=1"),
    ):
        assert written in text
        text = text.replace(written, here)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (48, 48), "white").save("cat.jpg")
    scope: dict[str, Any] = {}
    with running() as server:
        monkeypatch.setenv("OPENAI_API_BASE", server.base)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        exec(compile(text, str(README), "exec"), scope)
    assert {asked.body["model"] for asked in server.asked} == {"gpt-4o-mini"}
    result = scope["result"]
    (run,) = Path("runs").iterdir()
    assert result.folder == run.absolute()
    label = result.classifier(image="cat.jpg").label
    assert capsys.readouterr().out == f"{result}\n{result.template} {label}\n"
