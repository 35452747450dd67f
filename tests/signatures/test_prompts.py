"""Golden prompts: what a language model reads changes on purpose or not at all.

After a wanted change: `python tests/signatures/test_prompts.py` writes the golden files anew; read the difference.
"""

from pathlib import Path

import dspy
import pytest

from ipo.signatures.describe import DescribeImage
from ipo.signatures.propose import ProposeTemplates

HERE = Path(__file__).parent
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def rendered(name: str) -> str:
    signature, inputs = {
        "propose": (
            ProposeTemplates,
            {
                "task": "pictures of 3 kinds of things, such as cat, bus, pizza",
                "image_descriptions": "The pictures look like: soft light.",
                "scored_templates": "accuracy 30.00 %, loss 1.5000: a photo of a <CLASS>.\n"
                "accuracy 42.50 %, loss 1.2500: a sketch of a <CLASS>.",
                "refused_templates": "a photo (it has no <CLASS> slot)",
                "count": 5,
            },
        ),
        "describe": (DescribeImage, {"task": "pictures of pets", "image": dspy.Image(PIXEL)}),
    }[name]
    messages = dspy.ChatAdapter().format(signature, [], inputs)
    return "\n".join(f"=== {message['role']}\n{message['content']}" for message in messages) + "\n"


@pytest.mark.parametrize("name", ["propose", "describe"])
def test_prompt_is_the_golden_one(name: str) -> None:
    assert rendered(name) == (HERE / f"{name}.txt").read_text(encoding="utf-8")


def test_parts_come_in_the_papers_order() -> None:
    text = rendered("propose")
    user = text[text.index("=== user") :]
    parts = ["pictures of 3 kinds", "soft light", "30.00 %", "42.50 %"]
    places = [user.index(part) for part in parts]
    assert places == sorted(places)


def test_the_describer_is_never_told_a_class() -> None:
    assert "cat" not in rendered("describe")
    assert set(DescribeImage.input_fields) == {"task", "image"}


if __name__ == "__main__":
    for name in ("propose", "describe"):
        (HERE / f"{name}.txt").write_text(rendered(name), encoding="utf-8")
