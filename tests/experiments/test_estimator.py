"""`IPOClassifier` keeps what scikit-learn expects of an estimator, over paths, PIL images and features."""

from __future__ import annotations

import pickle
import re
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import ipo_prompts
from ipo_prompts import InputError, IPOClassifier
from ipo_prompts.experiments.data import Item, load_data
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import to_install
from ipo_prompts.metrics.features import FeatureStore

TEMPLATES = ["a sketch of a <CLASS>.", "a dark photo of a <CLASS>.", "a rotated <CLASS>."]
KINDS = ("paths", "PIL images", "features")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """Six images of each of three classes."""
    data = load_data("embedded", seed=0)
    return [item for label in (0, 3, 5) for item in [one for _, one in data.items() if one.label == label][:6]]


@pytest.fixture(scope="module")
def rows(items: list[Item], clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{i}.webp" for i in range(len(items))]
    for path, item in zip(paths, items, strict=True):
        path.write_bytes(item.image.bytes())
    return {
        "paths": [str(path) for path in paths],
        "PIL images": [item.image.rgb() for item in items],
        "features": FeatureStore(clip).encode([item.image for item in items]),
    }


@pytest.fixture(scope="module")
def labels(items: list[Item]) -> list[str]:
    names = load_data("embedded", seed=0).class_names
    return [names[item.label] for item in items]


def made(**changes: Any) -> IPOClassifier:
    return IPOClassifier(**{"strategy": TEMPLATES, "steps": 1, **changes})


def some(rows: Any, order: list[int]) -> Any:
    return rows[order] if isinstance(rows, np.ndarray) else [rows[i] for i in order]


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract(kind: str, rows: dict[str, Any], labels: list[str]) -> None:
    given = rows[kind]
    fresh = made(random_state=3)
    assert clone(fresh).get_params() == fresh.get_params()
    assert clone(fresh).set_params(steps=2).steps == 2
    with pytest.raises(NotFittedError):
        fresh.predict(given)
    fitted = fresh.fit(given, labels)
    assert fitted is fresh and fitted.classes_.tolist() == sorted(set(labels))
    probabilities = fitted.predict_proba(given)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert fitted.predict(given).tolist() == fitted.classes_[probabilities.argmax(axis=1)].tolist()
    assert (fitted.decision_function(given).argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert fitted.score(given, labels) == np.mean(fitted.predict(given) == np.array(labels)) > 1 / 3
    with pytest.raises(NotFittedError):
        clone(fitted).predict(given)

    order = [7, 2, 16, 2]
    assert np.allclose(fitted.predict_proba(some(given, order)), probabilities[order], atol=1e-6)
    turned = list(reversed(range(len(labels))))
    again = made(random_state=3).fit(some(given, turned), some(np.array(labels), turned))
    assert (again.template_, again.program_.temperature) == (fitted.template_, fitted.program_.temperature)

    loaded = pickle.loads(pickle.dumps(fitted))
    assert (loaded.predict_proba(given) == probabilities).all()
    two = [i for i, label in enumerate(labels) if label != labels[0]]
    fitted.fit(some(given, two), some(np.array(labels), two))  # twice: nothing of the first is left
    assert len(fitted.classes_) == 2
    assert fitted.decision_function(given).shape == (len(labels),)
    assert fitted.predict(given).tolist() == fitted.classes_[(fitted.decision_function(given) > 0).astype(int)].tolist()


def test_a_pickle_holds_no_clip_and_one_that_is_loaded_is_not_pickled(
    rows: dict[str, Any], labels: list[str], clip: Clip
) -> None:
    assert len(pickle.dumps(made().fit(rows["features"], labels))) < 10_000
    with pytest.raises(InputError, match="give an IPOClassifier the name of the CLIP, clip="):
        pickle.dumps(made(clip=clip))
    assert clone(made(clip=clip)).clip is clip


def test_integers_have_names(rows: dict[str, Any], labels: list[str]) -> None:
    names = sorted(set(labels))
    numbers = np.array([names.index(label) for label in labels])
    expected = made().fit(rows["features"], labels)
    listed = made(class_names=names).fit(rows["features"], numbers)
    assert (listed.predict(rows["features"]) == np.searchsorted(names, expected.predict(rows["features"]))).all()
    synonyms = {number: [name, f"{name} toy"] for number, name in enumerate(names)}
    other = made(class_names=synonyms).fit(rows["features"], numbers)
    assert other.program_.class_names[0].synonyms == (f"{names[0]} toy",)
    assert pickle.loads(pickle.dumps(other)).predict(rows["features"]).dtype == numbers.dtype


def test_what_is_searched_on_is_not_held_back(
    rows: dict[str, Any], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies stay together, and so do groups."""
    from ipo_prompts.experiments import estimator

    seen: list[tuple[set[str], set[str], int]] = []
    compile_ = estimator.IPO.compile

    def watched(self: Any, student: Any, *, trainset: Any, valset: Any) -> Any:
        groups = [{one.group for one in part} for part in (trainset, valset)]
        seen.append((groups[0], groups[1], len(trainset) + len(valset)))
        return compile_(self, student, trainset=trainset, valset=valset)

    monkeypatch.setattr(estimator.IPO, "compile", watched)
    twice = np.concatenate([rows["features"]] * 2)
    made().fit(twice, labels * 2)
    made().fit(rows["features"], labels, groups=[i // 2 for i in range(len(labels))])
    made().fit(twice, labels * 2, groups=range(len(twice)))  # copies are one group
    assert all(searched and held and not searched & held for searched, held, _ in seen)
    assert [n for *_, n in seen] == [len(twice), len(labels), len(twice)]
    assert seen[1][0] | seen[1][1] == {str(i) for i in range(9)}
    assert len(seen[2][0] | seen[2][1]) == len(labels)


def test_it_works_in_what_takes_estimators(rows: dict[str, Any], labels: list[str]) -> None:
    assert len(cross_val_score(made(), rows["paths"], labels, cv=2, error_score="raise")) == 2
    thirds = np.arange(len(labels)) % 3
    folds = cross_val_predict(
        made(class_names=sorted(set(labels))),
        rows["features"],
        labels,
        cv=GroupKFold(3),
        groups=thirds,
        method="predict_proba",
    )
    assert np.allclose(folds.sum(axis=1), 1)
    by_number = make_pipeline(FunctionTransformer(lambda numbers: [rows["paths"][i] for i in numbers]), made())
    assert by_number.fit(list(range(len(labels))), labels).predict([3, 4]).tolist() == (
        made().fit(rows["paths"], labels).predict(rows["paths"][3:5]).tolist()
    )
    calibrated = CalibratedClassifierCV(made(), cv=2).fit(rows["PIL images"], labels)
    arrays = [np.asarray(one) for one in rows["PIL images"][:2]]
    assert calibrated.predict(arrays).tolist() == calibrated.predict(rows["PIL images"][:2]).tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"X": "cat.png"}, r"X is str and no list of images; write \[image\]"),
        ({"X": np.ones((18, 3))}, r"X has the shape \(18, 3\), and features of this CLIP"),
        ({"y": ["a"] * 5}, r"for each of 18 images: .*\[18, 5\]"),
        ({"y": ["a"] * 18}, "y has the one label 'a'"),
        ({"y": [0, 1, 2] * 6}, r"give class_names=\{label: name\}"),
        ({"groups": [1]}, r"for each of 18 images: .*\[18, 18, 1\]"),
        ({"class_names": ["one", "two", "three"]}, "no name for the labels"),
        ({"class_names": "cat"}, "takes label → name"),
        ({"random_state": -1}, "random_state= is a whole number from 0"),
        ({"settings": {"stepz": 3}}, "no setting 'stepz'"),
    ],
)
def test_bad_input_is_one_sentence(change: dict[str, Any], said: str, rows: dict[str, Any], labels: list[str]) -> None:
    data = {"X": rows["features"], "y": labels, "groups": None}
    own = {name: change[name] for name in change if name not in data}
    with pytest.raises(InputError, match=said):
        made(**own).fit(**{**data, **{name: change[name] for name in change if name in data}})


def test_without_scikit_learn_the_package_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "ipo_prompts.experiments.estimator")
    exec("from ipo_prompts import *", {})
    with pytest.raises(InputError, match=re.escape(to_install("sklearn"))):
        _ = ipo_prompts.IPOClassifier
