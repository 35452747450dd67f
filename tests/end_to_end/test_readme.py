"""The README's library example runs as it is written, on what ships with us and a scripted language model."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_there_are_exactly_two_setup_commands() -> None:
    assert len(re.findall(r"^pip install ", README.read_text(encoding="utf-8"), re.MULTILINE)) == 2


def test_the_library_example_runs(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: Callable[..., Any],
    as_list: Callable[..., str],
) -> None:
    from PIL import Image

    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    text = code[1]
    for written, here in (
        ('"folder:pets"', '"embedded"'),
        ('"ViT-B-16/openai"', '"embedded"'),
        ('dspy.LM("openai/gpt-4o-mini", temperature=1.0)', "LM"),
        ('task="pictures of pets"', 'task="pictures of pets", steps=1'),
    ):
        assert written in text
        text = text.replace(written, here)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (48, 48), "white").save("cat.jpg")
    lm, engine = scripted(
        as_list(*[f"a {word} picture of a <CLASS>." for word in ("old", "new", "good", "dark", "odd")])
    )
    scope: dict[str, Any] = {"LM": lm}
    exec(compile(text, str(README), "exec"), scope)
    assert len(engine.requests) == 1
    assert "<CLASS>" in scope["loaded"].template
    assert scope["loaded"].templates == scope["program"].templates
