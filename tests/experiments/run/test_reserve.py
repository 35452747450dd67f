"""A limit holds the start, the sealed test and the files, or it is refused with what does."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ipo_prompts.experiments import pipeline
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.sealed import FILES, MARGIN, refuse_short, refuse_to_open, reserve_of, seconds_of_test
from ipo_prompts.metrics import clock
from ipo_prompts.metrics.clock import Clock
from ipo_prompts.metrics.errors import InputError
from support.runs import copy_pictures, events, ipo

CONFIG, FOLDER = RunConfig(max_minutes=1), Path("nowhere")
WORDS = (
    "lm=none",
    "strategy=compose",
    "describer=none",
    "shots=1",
    "selection_shots=1",
    "steps=1",
    "scored_templates=20",
)


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still."""
    monkeypatch.setattr(clock, "now", lambda: 0.0)


def test_a_limit_below_twice_the_start_is_refused_with_what_is_needed() -> None:
    refuse_short(Clock(60), 30, 0, CONFIG, FOLDER)
    with pytest.raises(InputError, match=r"--max-minutes 1 leaves .* took 30.1 s .* give --max-minutes 1.255 or more"):
        refuse_short(Clock(60), 30.1, 0, CONFIG, FOLDER)


def test_a_limit_must_hold_the_test() -> None:
    assert reserve_of(40) == 40 * MARGIN + FILES == 52
    refuse_short(Clock(60), 8, 40, CONFIG, FOLDER)
    with pytest.raises(InputError, match=r"the sealed test and the files need 52.0 s; give --max-minutes 1.275 or"):
        refuse_short(Clock(60), 9.2, 40, CONFIG, FOLDER)


def test_a_run_that_goes_on_needs_no_time_to_search() -> None:
    refuse_short(Clock(60, before=20), 30, 0, CONFIG, FOLDER)
    with pytest.raises(InputError, match=r"29 s were used before, .* go on with `ipo optimize --resume nowhere --max-"):
        refuse_short(Clock(60, before=29), 30, 0, CONFIG, FOLDER)


def test_the_test_is_opened_only_where_it_fits() -> None:
    refuse_to_open(Clock(60, before=40), 20, CONFIG, FOLDER)
    refuse_to_open(Clock(None, before=40), 20, CONFIG, FOLDER)
    with pytest.raises(InputError, match=r"was not opened: it needs about 21 s, and of the 1 minutes 20 s are left; "):
        refuse_to_open(Clock(60, before=40), 21, CONFIG, FOLDER)


def test_the_limit_that_is_proposed_holds_what_was_used_and_the_test() -> None:
    with pytest.raises(InputError, match=r"--max-minutes 1\.422"):  # 1.25 times 40 s and 28.25 s for test and files
        refuse_to_open(Clock(60, before=40), 21, CONFIG, FOLDER)


def test_what_the_test_takes_is_what_pictures_took_times_those_not_encoded() -> None:
    asked: list[Any] = []
    item = SimpleNamespace(picture="a picture")
    store = SimpleNamespace(encoded=64, missing=lambda pictures: asked.append(pictures) or 10)
    drawn = SimpleNamespace(test=[item] * 12, new_test=[item] * 3)
    part = SimpleNamespace(items=[item] * 32)
    prepared: Any = SimpleNamespace(
        plan=SimpleNamespace(drawn=drawn, data=SimpleNamespace(labelled=True)),
        clip=SimpleNamespace(seconds={"image": 32.0}),
        store=store,
        search=part,
        selection=part,
    )
    assert seconds_of_test(prepared) == pytest.approx(10 * 0.5)
    assert asked == [["a picture"] * 15]


def test_without_labels_all_pictures_are_named_at_the_end_and_take_their_time() -> None:
    asked: list[Any] = []
    searched, rest = SimpleNamespace(picture="searched"), SimpleNamespace(picture="rest")
    prepared: Any = SimpleNamespace(
        plan=SimpleNamespace(
            drawn=SimpleNamespace(test=[rest], new_test=[]),
            data=SimpleNamespace(labelled=False, train=[searched, rest]),
        ),
        store=SimpleNamespace(missing=lambda pictures: asked.append(pictures) or 0),
    )
    assert seconds_of_test(prepared) == 0
    assert asked == [["searched", "rest"]]


def test_a_run_whose_test_does_not_fit_any_more_stops_before_it_and_can_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clip: Any
) -> None:
    copy_pictures(tmp_path / "pets")
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    searching, run = pipeline.search_in, str(tmp_path / "run")

    def slow(*args: Any) -> Any:
        found = searching(*args)
        monkeypatch.setattr(clock, "now", lambda: 599.0)
        monkeypatch.setattr(pipeline, "refuse_to_open", lambda one, test, *more: refuse_to_open(one, 5.0, *more))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "search_in", slow)
        ended = ipo(capfd, "optimize", f"folder:{tmp_path / 'pets'}", *WORDS, "--max-minutes=10", f"--out={run}")
    assert ended.code == 2
    assert "the sealed test was not opened: it needs about 5 s, and of the 10 minutes 1 s are left" in ended.sentence
    assert not events(Path(run), "test") and not (tmp_path / "run" / "result.json").exists()
    again = re.search(r"`ipo (optimize --resume .*)`", ended.sentence)
    assert again
    monkeypatch.setattr(clock, "now", lambda: 0.0)
    monkeypatch.setattr(pipeline, "refuse_to_open", refuse_to_open)
    assert ipo(capfd, *again[1].split()).code == 0
    assert len(events(Path(run), "test")) == 1
