"""The examples of other tasks: scenes, comparison, and a whole run that is killed and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo.experiments.data import draw, load_data
from ipo.experiments.tasks import retrieval, segmentation
from ipo.experiments.tasks.command import CONTROLS, METHOD
from ipo.experiments.tasks.example import Settings, compare
from ipo.experiments.tasks.scenes import LEAST, SIDE, compose
from ipo.experiments.tasks.summary import summary
from ipo.metrics.reward import Score
from ipo.metrics.statistics import mean_interval
from ipo.programs.lm import connect
from ipo.programs.lm.connect import Backend

REPLIES = (
    ("a negative of a <CLASS>.", "a <CLASS>, an x-ray image.", "a dark <CLASS>", "one <CLASS>", "the <CLASS>"),
    ("a dark x-ray of a <CLASS>", "a red <CLASS>", "a <CLASS> at night", "a good <CLASS>", "an old <CLASS>"),
)


def test_scenes_hold_each_picture_once_with_its_exact_mask() -> None:
    items = load_data("embedded", seed=0).val[:22]
    scenes = compose(items, 3)
    assert len(scenes) == 5
    again = compose(items, 3)
    assert [s.image.bytes() for s in scenes] == [s.image.bytes() for s in again]
    assert [s.image.bytes() for s in scenes] != [s.image.bytes() for s in compose(items, 4)]
    labels = []
    for scene in scenes:
        pixels = np.asarray(scene.image.image())
        assert pixels.shape == (SIDE, SIDE, 3)
        for y, x in ((0, 0), (0, SIDE - 1), (SIDE - 1, 0), (SIDE - 1, SIDE - 1)):
            label = scene.mask[y, x]
            labels.append(label)
            rows, columns = np.nonzero(scene.mask == label)
            if (scene.mask[[0, 0, -1, -1], [0, -1, 0, -1]] == label).sum() == 1:
                height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
                assert min(height, width) >= LEAST
                assert len(rows) == height * width
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                own = [
                    np.asarray(item.picture.image().resize((width, height), 3)) for item in items if item.label == label
                ]
                part = np.asarray(scene.image.image().crop(box))
                assert any((part == one).all() for one in own)
    left = [item.label for item in items]
    for label in labels:
        left.remove(label)  # fails when a picture was used twice
    assert len(left) == 2


def test_scenes_of_the_parts_do_not_mix() -> None:
    """Each part is composed of its own pictures: a scene's bytes do not change when the others do."""
    drawn = draw(load_data("embedded", seed=0), 4, 2, 0)
    task = segmentation.prepare(Settings())
    expected = (compose(drawn.search, 0), compose(drawn.selection, 0), compose(drawn.test, 0))
    for got, wanted in zip((task.search, task.selection, task.test), expected, strict=True):
        assert [e.image.bytes() for e in got] == [e.image.bytes() for e in wanted]
    sealed = segmentation.prepare(Settings(seed=1)).test
    assert [e.image.bytes() for e in sealed] == [e.image.bytes() for e in task.test]


def test_galleries_of_the_parts_do_not_mix() -> None:
    task = retrieval.prepare(Settings())
    names = [{example.image.name for example in part} for part in (task.search, task.selection, task.test)]
    assert [len(part) for part in names] == [272, 136, 272]
    assert not names[0] & names[1] | names[0] & names[2] | names[1] & names[2]


def test_units_that_contribute_numbers_are_compared_by_their_means() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(30), rng.random(30)
    one, two = (Score(t, float(v.mean()), 1.0, v, v) for t, v in (("a <CLASS>", before), ("b <CLASS>", after)))
    found = compare(one, two, None)
    assert found["difference"]["mean"] == pytest.approx(two.accuracy - one.accuracy)
    assert found["difference"]["ci95"] == list(mean_interval(after - before))
    assert found["initial"]["ci95"] == list(mean_interval(before))
    right = Score("a <CLASS>", 0.5, 1.0, np.array([True, False]), np.ones(2))
    assert "test" in compare(right, right, None)["difference"]


@pytest.mark.parametrize("example", [retrieval, segmentation])
def test_an_example_runs_and_goes_on(
    example: Any,
    tmp_path: Path,
    cache: Path,
    scripted: Callable[..., Any],
    as_list: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answer_with(*replies: tuple[str, ...]) -> None:
        _, engine = scripted(*(as_list(*reply) for reply in replies))
        backend = Backend("scripted/model", engine, lambda tokens_in, tokens_out: 0.0, small=False)
        monkeypatch.setattr(connect, "find_backend", lambda name, **_: backend)

    arms = [METHOD, *CONTROLS]
    answer_with(*(REPLIES * len(arms)))
    arguments = [str(tmp_path / "run"), "--lm", "scripted", "--steps", "2", "--controls"]
    assert example.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "n = 68)" in printed
    assert "over no-description" in printed or "as no-description" in printed
    found = {arm: json.loads((tmp_path / "run" / arm / "seed-0" / "result.json").read_text()) for arm in arms}
    assert found["no-history"]["settings"]["history_size"] == 0
    assert len({result["templates_scored"] for result in found.values()}) == 1
    for measured in found[METHOD]["test"].values():
        low, high = measured["difference"]["ci95"]
        assert low <= measured["difference"]["mean"] <= high
        gain = measured["optimised"]["accuracy"] - measured["initial"]["accuracy"]
        assert measured["difference"]["mean"] == pytest.approx(gain, abs=1e-5)
        assert np.mean(measured["units"]) == pytest.approx(gain, abs=1e-5)

    # Finished runs are read back: nothing is asked, and the words are the same.
    answer_with()
    assert example.main(arguments) == 0
    assert capsys.readouterr().out == printed

    # A run cut off in the middle of the record comes to the same, and asks nothing that was answered.
    place = tmp_path / "run" / METHOD / "seed-0"
    journal = place / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    replies = [line for line in lines if json.loads(line)["type"] == "lm"]
    assert len(replies) == 2
    journal.write_text("".join(lines[: lines.index(replies[0]) + 1]))
    (place / "result.json").unlink()
    answer_with(REPLIES[1])
    assert example.main(arguments) == 0
    assert {**json.loads((place / "result.json").read_text()), "seconds": 0} == {**found[METHOD], "seconds": 0}

    assert example.main([*arguments[:4], "3"]) == 2
    assert "holds a run with steps 2, not 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "0"], "'0' is no whole number of at least 1"),
        (["--steps", "many"], "'many' is no whole number of at least 1"),
        (["--nothing"], "unrecognized arguments: --nothing"),
    ],
)
def test_a_bad_argument_is_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        retrieval.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("ipo: ") and error.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert retrieval.main([str(tmp_path / "file" / "runs")]) == 2
    assert "choose another OUT" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(settings: Settings) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(retrieval, "prepare", interrupted)
    assert retrieval.main([str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_the_mean_over_seeds_is_that_of_the_runs() -> None:
    def one(seed: int, units: list[float]) -> dict[str, Any]:
        side = {"accuracy": 0.5, "loss": 1.0, "n": 4, "ci95": [0.4, 0.6]}
        difference = {"mean": float(np.mean(units)), "ci95": [0.0, 1.0]}
        measured = {"initial": side, "optimised": side, "difference": difference, "units": units, "groups": None}
        return {
            "settings": {"seed": seed},
            "template": f"{seed} | <CLASS>",
            "initial_template": "a <CLASS>",
            "templates_scored": 10,
            "seconds": 60.0,
            "test": {"recall@1": measured},
        }

    runs = [one(0, [1.0, 0.0, 0.0, 0.0]), one(1, [1.0, 1.0, 0.0, 0.0]), one(2, [0.0, 1.0, 0.0, 0.0])]
    said = summary({"ipo": runs, "no-history": [one(seed, [0.0] * 4) for seed in range(3)]}, "queries")
    assert f"mean gain {100 * 4 / 12:+.2f} " in said
    low, high = mean_interval([0.25, 0.5, 0.25])
    assert f"[{100 * low:+.2f}, {100 * high:+.2f}] over seeds alone" in said
    assert "`0 \\| <CLASS>`" in said
    assert "the same templates as no-history" in said
