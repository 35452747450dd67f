"""DSPy's own optimizers change a classifier's template: COPRO, MIPROv2 without demos, and GEPA."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dspy
import pytest

from ipo_prompts.experiments.data import Draw, draw, load_data
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import BASELINE, SLOT
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.for_dspy import NOTE, AboutTemplates, clip_accuracy, with_feedback
from support.template_lm import PLANTED, USELESS, Writer, language_model, optimised

OPTIMIZERS = ("copro", "miprov2", "gepa")
BAD = [
    "",
    "no slot",
    "=<CLASS>",
    "a <CLASS>\u202e",
    "x" * 400 + SLOT,
    "<b><CLASS></b>",
    "\n\n",
    f"{'word ' * 55}<CLASS>",
]
BAD = [*BAD, *(f"Look at the image number {i}, then name it." for i in range(24 - len(BAD)))]


class Explained(dspy.Module):  # type: ignore[misc]
    """A classifier, and a predictor that a language model answers."""

    def __init__(self, classifier: TemplateClassifier) -> None:
        super().__init__()
        self.classify = classifier
        self.explain = dspy.Predict("label -> reason")

    def forward(self, image: Any) -> dspy.Prediction:
        label = self.classify(image=image).label
        return dspy.Prediction(label=label, reason=self.explain(label=str(label)).reason)


@pytest.fixture(scope="module")
def data() -> Draw:
    return draw(load_data("embedded:a", seed=0), shots=1, val_shots=1, seed=0)


@pytest.fixture()
def examples(data: Draw) -> list[dspy.Example]:
    return data.examples("train")[:24]


@pytest.fixture()
def program(clip: Clip, data: Draw) -> TemplateClassifier:
    return TemplateClassifier(clip, data.class_names)


def check_private(asked: Sequence[str], data: Draw) -> None:
    """No question holds a path or a folder's name, the name of a group, or the scores of the classes."""
    folders = {str(Path(item.image.name).parent) for item in data.train}
    private = (*folders, "webp", "images/", "search 0", "'scores'", '"scores"')
    assert not [part for text in asked for part in private if part in text]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_planted_template_is_found(
    name: str, program: TemplateClassifier, examples: list[dspy.Example], data: Draw, tmp_path: Path
) -> None:
    writer = Writer()
    found = optimised(name, program, examples, writer)
    assert (found.template, program.template) == (PLANTED, BASELINE)
    assert found.clip is program.clip
    check_private(writer.asked, data)
    found.save(str(tmp_path / "program.json"))
    loaded = TemplateClassifier.from_file(tmp_path / "program.json", program.clip)
    assert loaded.template == found.template
    assert loaded(examples[0].image).scores == found(examples[0].image).scores


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_found_inside_a_larger_program(
    name: str, program: TemplateClassifier, examples: list[dspy.Example], data: Draw, tmp_path: Path
) -> None:
    writer, whole = Writer(), Explained(program)
    found = optimised(name, whole, examples, writer)
    assert (found.classify.template, program.template) == (PLANTED, BASELINE)
    assert SLOT not in found.explain.signature.instructions
    check_private(writer.asked, data)
    found.save(str(tmp_path / "whole.json"))
    again = Explained(TemplateClassifier(program.clip, data.class_names))
    again.load(str(tmp_path / "whole.json"))
    assert again.classify.template == found.classify.template
    assert again.explain.signature.instructions == found.explain.signature.instructions


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_24_bad_proposals_in_a_row_end_nothing(
    name: str, program: TemplateClassifier, examples: list[dspy.Example]
) -> None:
    writer = Writer(*BAD)
    found = optimised(name, program, examples, writer, proposals=24)
    assert writer.told >= 24
    assert found.template == BASELINE


def test_the_questions_of_gepa_stay_short_with_1000_classes(
    clip: Clip, data: Draw, examples: list[dspy.Example]
) -> None:
    names = [*data.class_names, *(f"thing {i}" for i in range(1000 - len(data.class_names)))]
    writer = Writer()
    optimised("gepa", TemplateClassifier(clip, names), examples, writer)
    assert writer.told
    assert max(map(len, writer.asked)) < 5000


def test_a_language_model_is_told_of_templates_where_there_is_one(examples: list[dspy.Example]) -> None:
    writer = Writer()
    with dspy.context(lm=language_model(writer), adapter=AboutTemplates()):
        told = dspy.Predict("basic_instruction -> proposed_instruction")(basic_instruction=BASELINE)
        attempts = dspy.Predict("attempts: list[str] -> proposed_instruction")(attempts=[BASELINE, "x"])
        other = dspy.Predict("question -> answer")(question="What is a class?")
    assert (told.proposed_instruction, attempts.proposed_instruction, other.answer) == (PLANTED, PLANTED, USELESS)
    assert [NOTE[:40] in text for text in writer.asked] == [True, True, False]


def test_feedback_says_what_went_wrong() -> None:
    cat = dspy.Example(label="cat")
    right, wrong = dspy.Prediction(label="cat", scores={}), dspy.Prediction(label="dog", scores={})
    none = dspy.Prediction(label=None, scores={}, problem="the template cannot be used: it has no <CLASS> slot")
    assert [clip_accuracy(cat, answer) for answer in (right, wrong, none)] == [1.0, 0.0, 0.0]
    assert clip_accuracy(dspy.Example(label=None), none) == 0.0
    found = [with_feedback(cat, answer) for answer in (right, wrong, none, dspy.Prediction(label=None))]
    assert [(answer.score, answer.feedback) for answer in found] == [
        (1.0, "An image of cat was recognised."),
        (0.0, "An image of cat was taken for dog."),
        (0.0, "The template cannot be used: it has no <CLASS> slot."),
        (0.0, "There is no label."),
    ]
    inside = with_feedback(cat, dspy.Prediction(label=None), None, "classify", [(None, {}, none)])
    assert inside.feedback == found[2].feedback


def test_an_unusable_end_is_not_saved(program: TemplateClassifier, tmp_path: Path) -> None:
    program.signature = program.signature.with_instructions(USELESS)
    for whole in (program, Explained(program)):
        with pytest.raises(InputError, match=r"the template cannot be used: it has no <CLASS> slot \('Think step by"):
            whole.save(str(tmp_path / "program.json"))
    assert not (tmp_path / "program.json").exists()
