"""The README's library example runs as it is written, on what ships with us. `.ci/run` finds its commands."""

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_its_commands_are_found_in_the_order_in_which_they_are_typed() -> None:
    found = re.findall(r"^(python -m pip|pip) install (?:(-e)|\S+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert found == [("python -m pip", ""), ("pip", ""), ("pip", "-e")], "PyTorch, IPO, and the tests"


def test_no_command_writes_what_another_reads() -> None:
    text = README.read_text(encoding="utf-8")
    assert not set(re.findall(r"table:(\S+?)`", text)) & set(re.findall(r"(?:>|--out) (\S+)", text))


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
        ("shots=16, val_shots=16", "shots=2, val_shots=1, steps=1"),
    ):
        assert written in text
        text = text.replace(written, here)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (48, 48), "white").save("cat.jpg")
    scope: dict[str, Any] = {}
    exec(compile(text, str(README), "exec"), scope)
    result = scope["result"]
    (run,) = Path("runs").iterdir()
    assert result.folder == run.absolute()
    label = result.classifier(image="cat.jpg").label
    assert capsys.readouterr().out == f"{result}\n{result.template} {label}\n"
