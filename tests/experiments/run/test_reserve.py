"""A limit holds the start, the sealed test and the files, or it is refused with what does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments import pipeline
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.sealed import FILES, MARGIN, refuse_short, refuse_to_open, reserve_of
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


def test_a_limit_must_hold_the_test() -> None:
    assert reserve_of(40) == 40 * MARGIN + FILES == 52
    refuse_short(Clock(60), 8, 40, CONFIG, FOLDER)
    with pytest.raises(InputError, match=r"the sealed test and the files need 52.0 s; give --max-minutes 1.275 or"):
        refuse_short(Clock(60), 9.2, 40, CONFIG, FOLDER)


def test_the_test_is_opened_only_where_it_fits() -> None:
    refuse_to_open(Clock(60, before=40), 20, CONFIG, FOLDER)
    refuse_to_open(Clock(None, before=40), 20, CONFIG, FOLDER)
    with pytest.raises(InputError, match=r"was not opened: it needs about 21 s, and of the 1 minutes 20 s are left; "):
        refuse_to_open(Clock(60, before=40), 21, CONFIG, FOLDER)


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
