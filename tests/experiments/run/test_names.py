"""A run that looks for names: from badly named folders to a classifier, its page and its `classes.yaml`."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.experiments.run.answer import table
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.plan import estimate, plan
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.other_names import in_wordnet
from support.runs import Ended, check_it_can_be_done_again, ipo

BAD = {"cat": "Felis_catus", "bus": "motorbuses", "book": "volumes", "horse": "zzyx", "apple": "apple", "fish": "kala"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links to all ten images of a class."""
    folder = tmp_path_factory.mktemp("bad")
    for own, name in BAD.items():
        (folder / name).symlink_to(IMAGES_DIR / "b" / own)
    return folder


@pytest.fixture()
def run(cache: Path, capfd: pytest.CaptureFixture[str], images: Path) -> Any:

    def start(*more: str) -> Ended:
        few = ("describer=none", "steps=1", "candidates_per_step=2", "scored_templates=10")
        names = () if any(word.startswith("names=") for word in more) else ("names=search",)
        return ipo(capfd, "optimize", f"--data=folder:{images}", *few, *names, *more)

    return start


def test_badly_named_folders_get_names_that_the_clip_reads(
    run: Any, images: Path, clip: Clip, tmp_path: Path, capfd: Any
) -> None:
    (tmp_path / "more.yaml").write_text("zzyx: [zzyx, horse]\n")
    folder = tmp_path / "run"
    ended = run("lm=none", f"class_names={tmp_path / 'more.yaml'}", "--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder)
    rows = {row.what: row for row in found.rows_on("test")}
    assert "horse" in found.names["zzyx"] and "apple" not in found.names
    searched = rows["other names"]
    assert searched.kept and searched.difference.mean > 0 and searched.before == rows["template"].after
    assert f"names by search: {searched.how}" in [line.what for line in table(found)] and "names by search" in ended.out
    page = html.unescape((folder / "report.html").read_text()).replace("\xa0", " ")
    assert f"<td><bdi>{found.names['zzyx']}</bdi></td>" in page
    # What is handed out has the names, and predicts what the held-out test counted.
    program = TemplateClassifier.from_file(folder / "program.json", clip).text_only()
    drawn = plan(load_config(folder / "config.yaml")).drawn
    predicted = program.probabilities([item.image for item in drawn.test]).argmax(axis=1)
    assert (predicted == [item.label for item in drawn.test]).mean() == pytest.approx(searched.after.value, abs=1e-6)
    assert set(found.names.values()) < set(program.class_names) and set(program.labels) == set(BAD.values())
    written = yaml.safe_load((folder / "classes.yaml").read_text())
    assert load_data(f"folder:{images}", seed=0, class_names=written).class_names == program.class_names
    check_it_can_be_done_again(capfd, folder, tmp_path / "again")


def test_questions_for_names_are_forecast() -> None:
    """One for twenty of the 68 classes, of a model that is large enough to be asked."""
    calls = {}
    for names in ("as-is", "search"):
        planned = plan(RunConfig(lm="openai/gpt-4o-mini", describer="none", names=names), ready=False)
        calls[names] = estimate(planned)["optimizer"]["calls"]
    assert calls["search"] == calls["as-is"] + 4


@pytest.mark.parametrize(
    ("folder", "known"),
    [("001.Birds_of_Europe", "bird"), ("Keys_2", "key"), ("books_final", "volume")],
)
def test_a_folder_is_read_as_people_write_it(folder: str, known: str) -> None:
    assert known in in_wordnet(folder) and "deuce" not in in_wordnet(folder)


@pytest.mark.parametrize(
    ("words", "searched", "read"),
    [
        ((), True, True),
        (("names=normalised",), False, True),
        (("names=as-is",), False, False),
        (("reward=retrieval",), False, True),
        (("preset=paper",), False, False),
        (("data=embedded",), False, False),
        (("data=embedded", "names=search"), True, False),
    ],
)
def test_names_of_labels_are_read_and_searched_unless_something_else_is_typed(
    images: Path, words: tuple[str, ...], searched: bool, read: bool
) -> None:
    said: list[str] = []
    config = load_config(None, ["lm=openai/gpt-4o-mini", "describer=none", f"data=folder:{images}", *words])
    planned = plan(config, ready=False, say=said.append)
    assert (planned.search.names == "search") is searched and ("volume" in planned.data.class_names) is read
    assert [line for line in said if line.startswith("names: ")] == (
        ["names: Felis_catus → Felis catus, motorbuses → motorbus, volumes → volume (3 of 6)"] if read else []
    )


def test_the_typed_name_is_a_candidate_and_stands_in_answers(run: Any, clip: Clip, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    given = "class_names={kala: fish, volumes: book, motorbuses: zzyzx}"
    assert run("lm=none", given, "names=auto", "--out", str(folder)).code == 0
    program = TemplateClassifier.from_file(folder / "program.json", clip)
    assert set(program.labels) == set(BAD.values())
    assert "zzyzx" in program.class_names  # somebody wrote it, so it is not searched


def test_new_classes_keep_their_names_and_nobody_takes_them(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    given = "class_names={zzyx: house cat}"
    ended = run("lm=none", "classes=base-to-new", given, "--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder)
    assert "house cat" not in found.names.values()
    assert found.rows_on("new")[-1].n > 0
    if any(row.kept for row in found.rows_on("test") if row.what == "other names"):
        new = sorted(BAD.values())[3:]
        assert all(name in yaml.safe_load((folder / "classes.yaml").read_text()) for name in new)
