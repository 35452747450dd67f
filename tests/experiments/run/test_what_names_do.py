"""What names that were found do on the sealed test, beside what the template does, and where they are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.beside import what_names_do
from ipo_prompts.experiments.run.comparison import Compared, measured
from ipo_prompts.experiments.run.scores import AnyPart
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.programs.naming import Found, Held, NamesChosen

GIVEN, FOUND = ("zzyx", "volumes", "fish"), ("horse", "book", "fish")
INITIAL, CHOSEN = "a photo of a <CLASS>.", "an x-ray of a <CLASS>."


def made(clip: Clip, folder: Path) -> tuple[NamesChosen, Compared]:
    """Two of three classes have another name; the pictures are of all three."""
    data = load_data("embedded:b", seed=0)
    labels = [data.class_names.index(name) for name in FOUND]
    items = [replace(item, label=labels.index(item.label)) for _, item in data.items() if item.label in labels]
    reward = ClipReward(clip, FOUND, FeatureStore(clip, folder))
    units = reward.encode([item.picture for item in items], [item.label for item in items])
    held = Held(0.2, 0.1, 0.3, 0.1)
    found = Found(np.array([3, 4, 2]), held, Held(0.01, 0.1, 0.0, 0.1), 1.0)
    sampling = Sampling.of(len(items), units.labels.tolist())
    test = Compared(items, units, units.labels, reward, sampling, *reward.score([INITIAL, CHOSEN], units))
    return NamesChosen(reward, GIVEN, found, 5, (), 0), test


@pytest.fixture()
def both(clip: Clip, tmp_path: Path) -> tuple[NamesChosen, Compared]:
    return made(clip, tmp_path)


def parts(test: Compared) -> dict[AnyPart, Compared]:
    """Return the parts of a run that searched on one half of its pictures, and chose on the other half."""
    halves = [test.units.part(range(start, len(test.items), 2)) for start in (0, 1)]
    chose = [replace(test, units=half, optimised=test.reward.score([CHOSEN], half)[0]) for half in halves]
    return {"search": chose[0], "selection": chose[1], "test": test}


def test_either_template_is_measured_under_either_names(both: tuple[NamesChosen, Compared]) -> None:
    named, test = both
    found = what_names_do(named, parts(test))
    assert found is not None and found.sealed is not None
    before = named.reward.renamed(GIVEN).score([INITIAL, CHOSEN], test.units)
    initial, template = (measured(one, test.sampling) for one in before)
    assert initial != template
    assert (found.sealed.initial_given, found.sealed.template_given) == (initial, template)


def test_each_name_is_told_by_what_it_adds_to_the_given_one(both: tuple[NamesChosen, Compared]) -> None:
    named, test = both
    found = what_names_do(named, parts(test))
    assert (
        found is not None
        and [(one.given, one.found) for one in found.renamed] == list(zip(GIVEN, FOUND, strict=True))[:2]
    )
    assert found.chose == test.optimised.n
    for label, told in enumerate(found.renamed):
        names = [GIVEN[i] if i == label else name for i, name in enumerate(FOUND)]
        (back,) = named.reward.renamed(names).score([CHOSEN], test.units)
        assert told.hits == int(test.optimised.hits.sum()) - int(back.hits.sum())
        assert told.loss == pytest.approx(test.optimised.loss - back.loss, abs=1e-6) and told.loss < 0


def test_what_is_advised_on_names_does_not_see_sealed_pictures(both: tuple[NamesChosen, Compared]) -> None:
    named, test = both
    told = what_names_do(named, parts(test))
    units = test.units.part(range(3))
    initial, optimised = test.reward.score([INITIAL, CHOSEN], units)
    few = replace(test, units=units, sampling=Sampling.of(3), initial=initial, optimised=optimised)
    other = what_names_do(named, {**parts(test), "test": few})
    assert told is not None and other is not None and told.sealed != other.sealed
    assert told.renamed == other.renamed
