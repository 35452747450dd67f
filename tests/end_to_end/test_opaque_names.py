"""No model is told how a set of shifted images was made: the names of its transformations reach no prompt.

Whatever a run on `embedded:OP+OP` asks, it asks alike of a table that holds the same images under numbers.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments import pipeline
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded.shifts import TRANSFORMATIONS, name_of_set
from ipo_prompts.metrics.errors import InputError
from support import openai_server
from support.openai_server import Asked, OpenAIServer
from support.runs import Ended, answered

SMALL_RUN = ("shots=1", "val_shots=1", "candidates_per_step=2")
Run = Callable[..., Ended]


def table_of(spec: str, folder: Path) -> str:
    """Write the images of a data set with numbers for names, and return the table's spec."""
    data = load_data(spec, seed=0)
    folder.mkdir()
    groups: dict[str, int] = {}
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image", "label", "class_name", "split", "group"))
        for number, (part, item) in enumerate(data.items()):
            (folder / f"{number}.ppm").write_bytes(item.image.bytes())
            group = groups.setdefault(item.group, len(groups))
            table.writerow((f"{number}.ppm", item.label, data.class_names[item.label], part, group))
    return f"csv:{folder / 'table.csv'}"


def words_of(transformations: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join({word for name in transformations for word in name.split()})
    return re.compile(rf"\b({words})\b", re.IGNORECASE)


def without_images(asked: Asked) -> str:
    """All that was sent to a model, but for the pixels."""
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", asked.same)


@pytest.fixture(autouse=True)
def only_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """End a run with its search: nothing is asked later."""
    searching = pipeline.search_in

    def search(*arguments: Any) -> None:
        searching(*arguments)
        raise InputError("the search is over.")

    monkeypatch.setattr(pipeline, "search_in", search)


@pytest.fixture()
def plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose own templates name no transformation: they come back in the history."""
    monkeypatch.setattr(openai_server, "LOOKS", ("flat", "plain", "bold"))


def test_an_api_and_a_multimodal_describer_are_told_no_transformation(
    run: Run, server: OpenAIServer, plain_words: None, tmp_path: Path
) -> None:
    said = ("negative",)  # "the loss is never negative" is in the question to every model
    transformations = tuple(name for name in TRANSFORMATIONS if name not in said)
    models = ("--describer=openai/vision", f"describer_api_base={server.base}", "described_images=3")
    ended = run(f"--data=embedded:{name_of_set(transformations)}", *models, *SMALL_RUN)
    assert "the search is over" in ended.sentence
    assert len([asked for asked in server.asked if asked.images]) == 3 < len(server.asked)
    told = [
        (hit.group(), asked.text)
        for asked in server.asked
        for hit in words_of(transformations).finditer(without_images(asked))
    ]
    assert told == []


def requests(run: Run, spec: str, out: Path, *words: str, lm: str) -> set[str]:
    """Return what a run asked of the describer and of the optimizer LLM, each image by its digest."""
    ended = run(f"--data={spec}", *words, *SMALL_RUN, f"--out={out}", lm=lm)
    assert "the search is over" in ended.sentence
    return {json.dumps(question.messages) for question in answered(out)}


def test_a_local_model_is_told_what_scores_best_and_no_transformation(
    run: Run, small_weights: None, tmp_path: Path
) -> None:
    transformations = "zoom+hue"  # words that the vocabulary does not have
    numbered = table_of(f"embedded:{transformations}", tmp_path / "images")
    one, other = (
        requests(run, spec, tmp_path / name, "steps=1", lm="local/small")
        for name, spec in (("named", f"embedded:{transformations}"), ("numbered", numbered))
    )
    assert any("The pictures look like: " in asked for asked in one) and not one ^ other
    assert not words_of(("zoom", "hue")).search(" ".join(one))
