"""Cells of a grid: what they learn from, what they are evaluated on, and what they leave behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare import cell as cells_of
from ipo_prompts.experiments.compare.cell import Cell, run_cell, run_config, shared_config
from ipo_prompts.experiments.compare.documents import documents, table_of
from ipo_prompts.experiments.compare.grid import GridConfig, entries
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.protocols import other_tests
from ipo_prompts.experiments.compare.words import notes
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.data.sources import SOURCES
from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.experiments.run.config import nested
from ipo_prompts.experiments.run.result import Budget, RunResult, load_result
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.journal import read
from ipo_prompts.programs.lm.connect import Backend
from support.runs import ipo

SETTINGS = {
    "lm": "scripted/model",
    "describer": "none",
    "shots": 1,
    "val_shots": 1,
    "steps": 2,
    "candidates_per_step": 2,
}
REPLIES = (
    ("a negative of a <CLASS>.", "a drawing of a <CLASS>."),
    ("an x-ray of a <CLASS>.", "a <CLASS> in inverted colors."),
)
KINDS = '[[ ## kinds ## ]]\n["oddment"]\n\n[[ ## images ## ]]\n[]\n\n[[ ## completed ## ]]'
"""The reply to what all classes are, the first question of the default."""
COMPOSED = {"words": 2, "scored_templates": 100, "domain_words": 70}
SHOWN = {"size": 12, "pin_initial": True, "floor": 0.0, "phrases": True, "one_by_one": False}
UNSEEN = "it knows only the classes that it has seen images of"
SEARCHES = ("no-history", "history", "ipo-paper", "ipo-code", "ipo-default", "text", "ipo")


def cell(data: str, method: str = "baseline", protocol: str = "few-shot", **more: Any) -> Cell:
    targets = tuple(more.pop("targets", ()))
    return Cell(protocol, data, method, more.pop("seed", 0), targets, nested({**SETTINGS, **more}))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Make a folder of a few embedded classes; return its spec."""
    root = tmp_path_factory.mktemp("images")

    def make(name: str, *classes: str, domain: str = "a") -> str:
        for wanted in classes:
            if not (root / name / wanted).exists():
                shutil.copytree(IMAGES_DIR / domain / wanted, root / name / wanted)
        return f"folder:{root / name}"

    return make


@pytest.fixture()
def six(images: Callable[..., str], cache: Path) -> str:
    return images("six", "cat", "car", "bus", "key", "book", "fish")


@pytest.fixture()
def language_model(
    monkeypatch: pytest.MonkeyPatch, scripted: Callable[..., Any], as_list: Callable[..., str]
) -> Callable[..., Any]:
    """Make runs ask an engine that answers from a script; return the engine."""

    def make(*script: str | BaseException) -> Any:
        lm, engine = scripted(*(script or [as_list(*reply) for reply in REPLIES]))
        backend = Backend("scripted/model", lm, lambda i, o: (i + 2 * o) / 1e6)
        monkeypatch.setattr("ipo_prompts.experiments.run.plan.find_backend", lambda *_, **__: backend)
        return engine

    return make


def test_a_row_has_the_names_and_the_numbers_that_its_search_settled(six: str, tmp_path: Path, clip: Clip) -> None:
    bad = {"cat": "Felis catus", "bus": "charabanc", "book": "volume"}
    settings = {"class_names": bad, "names": "search"}
    shared = {"describer": "none", "strategy": {"scored_templates": 3}, "steps": 1, "shots": 4, "val_shots": 2}
    found = run_cell(cell(six, "phrases", **settings, **shared), tmp_path / "cell")
    events = {event["type"]: event for event in read(tmp_path / "cell")}
    renamed, data = events["names"]["renamed"], load_data(six, seed=0, class_names=bad)
    assert renamed
    names = [renamed.get(name, name) for name in data.class_names]
    reward = ClipReward(clip, names)
    test = reward.encode([item.image for item in data.test], [item.label for item in data.test])
    plain, given = (one.score(found.templates or (), test)[0] for one in (reward, ClipReward(clip, data.class_names)))
    assert found.tests["test"].answer == plain.bits and given.loss > plain.loss + 0.1


def test_the_row_ipo_is_what_ipo_optimize_hands_over(
    six: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    few = {"lm": "none", "shots": 2, "steps": 1, "strategy.scored_templates": 20}
    found = run_cell(Cell("few-shot", six, "ipo", 0, (), nested(few)), tmp_path / "cell")
    words = [f"{key}={value}" for key, value in few.items()]
    assert ipo(capfd, "optimize", six, *words, f"--out={tmp_path / 'alone'}").code == 0
    assert found.tests == load_result(tmp_path / "alone").tests


def test_names_are_read_as_a_run_reads_them(six: str, tmp_path: Path) -> None:
    for name in ("Cat_2019", "Bus (all)"):
        shutil.copytree(
            Path(six.removeprefix("folder:")) / name.split()[0].split("_")[0].lower(), tmp_path / "raw" / name
        )
    raw = f"folder:{tmp_path / 'raw'}"
    for names in ("as-is", "normalised", "auto", "search"):
        run = load_data(raw, clean=names != "as-is")
        config = shared_config(cell(raw, "phrases", names=names))
        planned = cells_of.laid_out(config)
        (other,) = other_tests("cross-dataset", cells_of.laid_out(shared_config(cell(six))), [raw], config)
        assert planned.data.typed == run.typed
        assert planned.drawn.class_names == other.class_names == run.class_names
        assert (run.class_names[0].lower() == "bus") == (names != "as-is")
    assert shared_config(cell(raw)).names == "as-is", "published rows have names as they are"
    assert shared_config(cell(raw, names="normalised")).names == "normalised", "every method can read them so"


def test_a_note_says_what_the_settings_of_its_cells_say(
    six: str, tmp_path: Path, language_model: Callable[..., Any]
) -> None:
    chosen = [{"strategy": "no-history"}, {"strategy": "history", "strategy.size": 5}, {"shots": 2}]
    rows = [{"label": f"＝{place}\x1b", "method": "ipo-paper", "settings": one} for place, one in enumerate(chosen)]
    about = {"title": "x", "protocol": "few-shot", "data": [six], "seeds": [0], "settings": SETTINGS}
    grid = GridConfig.model_validate({**about, "methods": ["baseline", *rows]})
    found, contents = entries(grid, tmp_path), []
    for entry in found:
        language_model()
        contents.append(entry.run())
    table = table_of(grid, found, contents)
    assert table is not None and (table.frame.origin == "ours").all(), "the rows have several numbers of shots"
    for entry in found[1:]:
        header = (entry.folder / "config.yaml").read_text()
        (differences,) = re.findall(r"whose value is in brackets: (.*); `ipo", header)
        assert f"{entry.label} is not in everything as published: {differences}, with" in " ".join(notes(table))
        assert f",'{entry.label[:2]}\\x1b," in documents(grid, table)["table.csv"], "no formula, no escape"


def test_the_baselines_cell_agrees_with_ipo_evaluate(
    cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], clip: Clip
) -> None:
    found = run_cell(cell("embedded:a"), tmp_path / "cell").tests["test"]
    ended = ipo(capfd, "evaluate", "--data=embedded:a", f"--template={BASELINE}", "--part=test", "--json")
    row = json.loads(ended.out)["templates"][0]
    assert (round(found.values.mean(), 6), len(found.answer)) == (row["value"], row["n"])
    data = load_data("embedded:a", seed=0)
    reward = ClipReward(clip, data.class_names)
    test = reward.encode([item.image for item in data.test], [item.label for item in data.test])
    assert found.answer == reward.score([BASELINE], test)[0].bits
    assert found.classes == 68 and len({*(found.labels or ())}) == 68
    assert found.draws is None  # no variants
    assert found.split == data.split


def test_every_method_is_evaluated_on_the_same_images(
    six: str, tmp_path: Path, language_model: Callable[..., Any], clip: Clip, as_list: Callable[..., str]
) -> None:
    cells = {}
    for method in METHODS:
        one_by_one = [as_list(template) for reply in REPLIES for template in reply]
        scripts = {
            "ipo-code": one_by_one,
            **{name: [KINDS, *(as_list(*reply) for reply in REPLIES)] for name in SEARCHES[4:]},
        }
        language_model(*scripts.get(method, ()))
        cells[method] = run_cell(cell(six, method, "base-to-new"), tmp_path / method)
    absent, first = cells.pop("hand-written"), cells["baseline"].tests
    assert absent.absent == "no hand-written template exists for this data set" and not absent.tests
    for method, found in cells.items():
        assert found.absent is None
        no_text = method in ("prototype", "gda", "gda-text")
        assert found.gaps == ({"new": UNSEEN} if no_text else {}) and (found.templates is None) == no_text
        assert (found.reward.measure, found.reward.unit) == ("accuracy", "images")
        assert list(found.tests) == (["test"] if no_text else ["test", "new"])
        for name, one in found.tests.items():
            assert (one.images, one.labels) == (first[name].images, first[name].labels), method
            assert len(one.answer) == len(one.labels or ()) > 0 and one.classes == 3
        assert (found.budget.calls > 0) == (method in SEARCHES)
        assert isinstance(found, RunResult) == (method in (*SEARCHES, "phrases"))
    assert [*cells["ipo-paper"].shown] == ["train"], "it chooses on the train images"
    assert first["test"].images != first["new"].images
    for method in SEARCHES:
        calls = {"ipo-code": 4, "ipo-default": 3, "text": 4, "ipo": 4}.get(method, 2)
        budget = Budget(proposals=4, calls=calls, tokens_in=100 * calls, tokens_out=20 * calls, usd=calls * 0.00014)
        assert cells[method].budget.model_dump(exclude={"scored_only"}) == budget.model_dump(exclude={"scored_only"})
    (winner,), drawn = cells["vocabulary"].templates or (), draw(load_data(six, seed=0), 1, 1, 0, "base")
    reward = ClipReward(clip, drawn.class_names)
    shown = cells["vocabulary"].shown
    for part, value in {**shown, "test": cells["vocabulary"].tests["test"].values.mean()}.items():
        items = getattr(drawn, part)
        units = reward.encode([item.image for item in items], [item.label for item in items])
        assert round(value, 6) == round(reward.score([winner], units)[0].value, 6)


@pytest.fixture()
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What happened, in order: the names of the images opened, and `learnt` once a method is done with them."""
    log: list[str] = []
    read = LazyImage.bytes

    def bytes_(self: LazyImage) -> bytes:
        log.append(self.name)
        return read(self)

    monkeypatch.setattr(LazyImage, "bytes", bytes_)
    yield log


# No method knows the protocol it is evaluated by: of each kind, one is enough for another. A run opens the test
# images before it searches, without their labels.
ONE_OF_A_KIND = ("baseline", "best-of-80", "gda-text")


@pytest.mark.parametrize(
    ("method", "protocol"),
    [
        *((method, "base-to-new") for method in ONE_OF_A_KIND),
        *((method, "base-to-new") for method in ("ensemble-80", "vocabulary", "prototype")),
        *((method, "cross-dataset") for method in ONE_OF_A_KIND),
    ],
)
def test_test_images_are_opened_only_after_learning(
    method: str,
    protocol: str,
    six: str,
    images: Callable[..., str],
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets = [images("two", "apple", "tree")] if protocol == "cross-dataset" else []
    this = cell(six, method, protocol, targets=targets)
    monkeypatch.setattr(type(METHODS.find(method)), "fit", _then(type(METHODS.find(method)).fit, opened))
    run_cell(this, tmp_path / "cell")

    data = load_data(six, seed=0)
    drawn = draw(data, 1, 1, 0, "base" if protocol == "base-to-new" else "all")
    held_out = [*drawn.test, *drawn.new_test, *(i for spec in targets for i in load_data(spec, seed=0).test)]
    before, after = opened[: opened.index("learnt")], opened[opened.index("learnt") + 1 :]
    allowed = {item.image.name for item in (*drawn.train, *drawn.val)}
    assert set(before) <= allowed
    assert {item.image.name for item in held_out} <= set(after)
    if METHODS.find(method).labelled_per_class(shared_config(this)) == 2:
        assert set(before) == allowed  # and what may be looked at was


def _then(function: Any, log: list[str]) -> Any:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        log.append("learnt")
        return result

    return wrapped


def test_a_finished_cell_is_read_back_and_another_one_refused(
    six: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_cell(cell(six), tmp_path)
    monkeypatch.setattr(cells_of, "laid_out", None)  # nothing is loaded any more
    same = Cell("few-shot", six, "baseline", 0, (), dict(reversed(SETTINGS.items())))
    assert run_cell(same, tmp_path) == done
    with pytest.raises(InputError, match="holds another cell; choose another folder"):
        run_cell(cell(six, seed=1), tmp_path)
    for text in ("{", done.model_dump_json(exclude={"cell"})):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(InputError, match=r"the cell in .*; delete the file"):
            run_cell(cell(six), tmp_path)


def test_other_data_sets_are_tested_with_their_own_classes(
    six: str, images: Callable[..., str], tmp_path: Path, clip: Clip
) -> None:
    two = images("two", "apple", "tree")
    content = run_cell(cell(six, "class-name", "cross-dataset", targets=[two]), tmp_path)
    assert {name: one.classes for name, one in content.tests.items()} == {"test": 6, "folder:two": 2}
    target = load_data(two, seed=0)
    reward = ClipReward(clip, target.class_names)
    test = reward.encode([item.image for item in target.test], [item.label for item in target.test])
    assert content.tests["folder:two"].answer == reward.score(["<CLASS>"], test)[0].bits


def test_a_shifted_data_set_may_hold_a_part_of_the_classes(
    six: str, images: Callable[..., str], tmp_path: Path
) -> None:
    shifted = images("shifted", "car", "fish", domain="c")
    content = run_cell(cell(six, "baseline", "domain-generalization", targets=[shifted]), tmp_path / "cell")
    assert content.tests["folder:shifted"].classes == 2
    strange = images("strange", "car", "apple", domain="c")
    with pytest.raises(InputError, match=r"strange has the class 'apple'; use cross-dataset"):
        run_cell(cell(six, "baseline", "domain-generalization", targets=[strange]), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_cell_that_is_a_run_loads_its_data_once_whatever_it_calls_the_classes(
    six: str, images: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, shifted = Path(six.removeprefix("folder:")), images("shifted", "car", "fish", domain="c")
    for folder in (root, Path(shifted.removeprefix("folder:"))):
        shutil.copytree(folder, tmp_path / folder.name)
        for one in (tmp_path / folder.name).iterdir():
            one.rename(one.with_name(f"{one.name.title()} (all)"))
    source, loaded = SOURCES["folder"], list[str]()

    def gather(rest: str) -> Any:
        loaded.append(Path(rest).name)
        return source.gather(rest)

    monkeypatch.setitem(SOURCES, "folder", source._replace(gather=gather))
    targets, few = [f"folder:{tmp_path / 'shifted'}"], {"lm": "none", "strategy.scored_templates": 3, "steps": 1}
    asked = cell(f"folder:{tmp_path / 'six'}", "text", "domain-generalization", targets=targets, **few)
    assert run_cell(asked, tmp_path / "grid" / "cells" / "data" / "row" / "seed-0").tests.keys() > {"test"}
    assert loaded == ["six", "shifted"]


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("no-history", {"strategy": {"name": "no-history"}, "selection": "validation"}),
        ("history", {"strategy": {"name": "history", **SHOWN}, "selection": "validation"}),
        ("ipo-default", {"strategy": {"name": "compose", **COMPOSED}, "selection": "validation"}),
        ("ipo-paper", {"strategy": {"name": "history", **SHOWN, "size": 20, "phrases": False}, "selection": "train"}),
        (
            "ipo-code",
            {
                "strategy": {
                    **{"name": "history", "size": 30, "floor": 0.2, "pin_initial": False},
                    **{"phrases": False, "one_by_one": True},
                },
                "selection": "train",
            },
        ),
    ],
)
def test_searches_differ_in_what_they_are_and_in_nothing_else(method: str, own: dict[str, Any]) -> None:
    settings = {"temperature": 0.7, "max_tokens": 99}
    config = run_config(cell("embedded:a", method, "base-to-new", seed=3, **settings))
    assert config is not None
    shared = shared_config(cell("embedded:a", method, "base-to-new", seed=3, **settings))
    assert (config.steps, config.candidates_per_step, config.patience) == (2, 2, None)
    assert {key: getattr(config, key) for key in own} == own
    may_differ = {"preset", "patience", "strategy", "selection", "describer_question"}
    assert config.model_dump(exclude=may_differ) == shared.model_dump(exclude=may_differ)
    assert (config.temperature, config.max_tokens, config.seed, config.classes) == (0.7, 99, 3, "base-to-new")


def test_a_setting_of_the_grid_wins_over_a_preset_but_not_over_what_makes_a_control() -> None:
    settings = {"strategy": "history", "strategy.size": 5}
    configs = {method: run_config(cell("embedded", method, **settings)) for method in SEARCHES}
    sizes = {method: config and config.strategy.get("size") for method, config in configs.items()}
    assert sizes == {**dict.fromkeys(SEARCHES, 5), "no-history": None}
    assert run_config(cell("embedded", "prototype")) is None
