"""Golden prompts: what a language model reads changes on purpose or not at all.

After a wanted change: `python tests/signatures/test_prompts.py` writes the golden files anew; read the difference.
"""

from pathlib import Path

import dspy
import pytest

from ipo_prompts.signatures.propose import (
    DescribeAsInTheCode,
    DescribeAsInThePaper,
    DescribeImage,
    ProposeDomain,
    ProposeTemplates,
    history_line,
)

HERE = Path(__file__).parent
ROWS = [("a photo of a <CLASS>.", 0.30, 1.5), ("a sketch of a <CLASS>.", 0.425, 1.25)]
NAMES = ("propose", "domain", "describe", "describe-paper", "describe-code")
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def rendered(name: str) -> str:
    proposed = {
        "task": "pictures of 3 kinds of things, such as cat, bus, pizza",
        "image_descriptions": "The pictures look like: soft light.",
        "scored_templates": "\n".join(history_line(*row) for row in ROWS),
        "refused_templates": "a photo (it has no <CLASS> slot)",
        "count": 5,
    }
    signature, inputs = {
        "propose": (ProposeTemplates, proposed),
        "domain": (ProposeDomain, {"task": "pictures of things", "classes": ["rose", "tulip"]}),
        "describe": (DescribeImage, {"task": "pictures of pets", "image": dspy.Image(PIXEL)}),
        "describe-paper": (DescribeAsInThePaper, {"image": dspy.Image(PIXEL)}),
        "describe-code": (DescribeAsInTheCode, {"image": dspy.Image(PIXEL)}),
    }[name]
    messages = dspy.ChatAdapter().format(signature, [], inputs)
    return "\n".join(f"=== {message['role']}\n{message['content']}" for message in messages) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_prompt_is_the_golden_one(name: str) -> None:
    assert rendered(name) == (HERE / f"{name}.txt").read_text(encoding="utf-8")


def test_parts_come_in_the_papers_order() -> None:
    text = rendered("propose")
    user = text[text.index("=== user") :]
    parts = ["pictures of 3 kinds", "soft light", "30.00 %", "42.50 %"]
    places = [user.index(part) for part in parts]
    assert places == sorted(places)


def test_history_lines_show_percent() -> None:
    assert history_line("a <CLASS>", 0.12345, 2.71828) == "accuracy 12.35 %, loss 2.7183: a <CLASS>"


def test_the_describer_is_never_told_a_class() -> None:
    assert "cat" not in rendered("describe")
    assert set(DescribeImage.input_fields) == {"task", "image"}
    for published in (DescribeAsInThePaper, DescribeAsInTheCode):
        assert set(published.input_fields) == {"image"}


def test_the_papers_question_is_in_the_papers_words() -> None:
    words = "Please generate the description in detail, do not provide the class name in the description."
    assert DescribeAsInThePaper.instructions == words


if __name__ == "__main__":
    for name in NAMES:
        (HERE / f"{name}.txt").write_text(rendered(name), encoding="utf-8")
