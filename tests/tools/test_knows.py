"""What is measured of words: on a stand-in whose answers are known, and the card's numbers on the files that ship."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.template import BASELINE, problem
from tools.embedded import knows
from tools.embedded.measure import Part, Shipped
from tools.embedded.suite import PAIRS
from tools.embedded.vocabulary import UNTAUGHT, WORDS

from .conftest import COMMON, word_list

EYE = np.eye(4, dtype=np.float32)


class StandIn:
    """Sees every image right; what it makes of a template or a name is given: class → what it is taken for."""

    classes = ("cat", "dog", "zebra")

    def __init__(self, templates: dict[str, Sequence[int]] | None = None, names: dict[str, int] | None = None) -> None:
        self._templates, self._names = templates or {}, names or {}

    def shifted(self, transformations: Collection[str], part: str) -> Part:
        return Part(EYE[[0, 1, 2, 0, 1, 2]], np.array([0, 1, 2, 0, 1, 2]))

    def part(self, domain: str, part: str) -> Part:
        return Part(EYE[[0, 0, 1, 1, 2, 2]], np.array([0, 0, 1, 1, 2, 2]))

    def texts(self, templates: Sequence[str]) -> Floats:
        return np.stack([EYE[list(self._templates.get(template, (3, 3, 3)))] for template in templates])

    def named(self, template: str, names: Sequence[str]) -> Floats:
        assert template == BASELINE
        return np.stack([EYE[self._names.get(name, 3)] for name in names])


def test_synonyms_are_asked_of_the_images_of_renamed_classes_only() -> None:
    clip = StandIn(names={"cat": 0, "dog": 1, "kitten": 0, "puppy": 3})  # and nothing is known of zebras
    found = knows.synonyms(clip)  # type: ignore[arg-type]
    assert found["synonym_images"] == 4
    assert (found["names"]["accuracy"], found["synonyms"]["accuracy"]) == (1, 0.5)
    assert found["names"]["se"] == 0 < found["synonyms"]["se"]


def test_a_phrase_and_its_twin_are_asked_of_every_transformation() -> None:
    right = (0, 1, 2)
    templates = {taught: right for _, taught in UNTAUGHT.values()} | {UNTAUGHT["dark"][0]: right}
    found = knows.phrases(StandIn(templates))["phrases"]  # type: ignore[arg-type]
    assert found["taught"] == {"accuracy": 1, "gain_se": 0}
    # All classes are alike to what is not understood, so that it names the first of three.
    assert found["baseline"] == {"accuracy": round(1 / 3, 4), "gain_se": 0}
    assert found["untaught"] == {"accuracy": round((14 / 3 + 1) / 15, 4), "gain_se": round(2 / 3 / 15, 4)}


def test_equal_words_are_counted_over_the_whole_list(tmp_path: Path) -> None:
    word_list(tmp_path)
    places = dict.fromkeys((COMMON[0], COMMON[-1], COMMON[3]), 0) | {COMMON[1]: 1, COMMON[2]: 2}
    short = tmp_path / "node_modules" / knows.words.WORD_LIST / "english-words-10.json"
    short.write_text(json.dumps(sorted(places)))
    clip = StandIn(names=places)
    assert knows.equal_words(clip, tmp_path) == {"common_words": 5, "equal_words": 3}  # type: ignore[arg-type]


def test_templates_are_chosen_on_validation_and_measured_on_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knows, "pool", lambda: ([BASELINE, "a dim <CLASS>"], ["a dim <CLASS> on its side"]))

    class Turning(StandIn):
        def shifted(self, transformations: Collection[str], part: str) -> Part:
            seen = super().shifted(transformations, part)
            return seen if part == "val" else Part(EYE[[1, 2, 0, 1, 2, 0]], seen.labels)

    # The dim one is right on the validation images, and wrong on the test images.
    clip = Turning({"a dim <CLASS>": (0, 1, 2), BASELINE: (2, 0, 1), "a dim <CLASS> on its side": (0, 3, 3)})
    (row,) = knows.compositions(clip, [("sideways", "dark")])  # type: ignore[arg-type]
    assert row["set"] == "sideways+dark" and row["single_template"] == "a dim <CLASS>" and row["single"] == 0
    assert row["composed_template"] == "a dim <CLASS> on its side"


def test_means_are_in_percent_and_count_pairs_that_composing_helps() -> None:
    rows = [{"baseline": 0.1, "single": 0.2, "composed": c} for c in (0.2, 0.27, 0.29)]
    assert knows.means(rows) == {"baseline": 10, "single": 20, "composed": 25.33, "far": 1}


def test_the_pool_is_fixed_and_composes_two_transformations() -> None:
    singles, composed = knows.pool()
    assert (singles, composed) == knows.pool() and singles[0] == BASELINE
    assert len(set(singles)) == len(singles) and len(set(composed)) == len(composed) == knows.COMPOSITIONS
    assert not any(problem(template) for template in [*singles, *composed])
    for template in composed[:200]:
        before, after = template.removesuffix(".").split(" photo of a <CLASS> ")
        adjective = before.split(" ", 1)[1]
        first = {transformation for transformation, said in WORDS.items() if adjective in said.adjectives}
        then = {transformation for transformation, said in WORDS.items() if after in said.tails}
        assert first and then and len(first | then) > 1


def test_before_is_measured_by_the_same_rules_as_the_card() -> None:
    before: dict[str, Any] = json.loads(Path(knows.__file__).with_name("before.json").read_text("utf-8"))
    assert knows.means(before["compositions"]) == before["means"]
    assert [row["set"] for row in before["compositions"]] == [knows.name_of_set(pair) for pair in PAIRS]
    synonyms = yaml.safe_load(Path(knows.__file__).with_name("synonyms.yaml").read_text("utf-8"))
    table = json.loads((MODEL_DIR.parent / "split.json").read_text("utf-8"))
    assert before["synonym_images"] == sum(row[2] in synonyms for row in table["test"])


def test_what_the_card_says_of_words_is_what_the_shipped_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    card = json.loads((MODEL_DIR / "card.json").read_text("utf-8"))
    shipped = Shipped(MODEL_DIR.parent)
    assert knows.synonyms(shipped).items() <= card["knows"].items()
    said = card["knows"]["compositions"][0]
    singles, composed = knows.pool()
    # The best of 2,000 is the best of each tenth of them that it is in, too; equal ones stay in their order.
    some = composed[composed.index(said["composed_template"]) % 10 :: 10]
    monkeypatch.setattr(knows, "pool", lambda: (singles, some))
    (row,) = knows.compositions(shipped, PAIRS[:1])
    assert row == said
    assert knows.means(card["knows"]["compositions"]) == card["knows"]["means"]
