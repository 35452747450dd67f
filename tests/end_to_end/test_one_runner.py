"""The command and the DSPy optimizer are the same program: the same job leaves the same journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts import IPO, TemplateClassifier
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.programs.journal import read
from support.runs import answered, ipo, program

RECORDED = Path(__file__).parents[1] / "recorded"
PUBLISHED = {"start", "drawn", "test", "end"}
"""Beside the search: the beginning of each session, and what the command writes at the end."""


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images are encoded once for all of them; a replay leaves no replies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def told(folder: Path) -> list[dict[str, Any]]:
    """Return the events of a search, without clock, checksum, and what makes it this run."""
    events = read(folder)
    assert events[0]["type"] == "start"
    found = [event for event in events if event["type"] not in PUBLISHED]
    return [{key: value for key, value in event.items() if key != "seconds"} for event in found]


def compiled(folder: Path, clip: Clip, words: dict[str, Any]) -> Any:
    """Compile what the configuration of a run says."""
    config = load_config(folder / "config.yaml")
    data = load_data(config.data, seed=SPLIT_SEED)
    drawn = draw(data, config.shots, config.val_shots, config.seed)
    made = IPO(strategy=config.strategy, task=data.task, settings=config, **words)
    sets = {"trainset": drawn.examples("train"), "valset": drawn.examples("val") or None}
    return made.compile(TemplateClassifier(clip, drawn.class_names), **sets)


@pytest.mark.parametrize("name", ["local-history", "api-cross-validated"])
def test_the_same_job_leaves_the_same_journal(
    name: str, clip: Clip, light: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recorded, run, log = RECORDED / name, tmp_path / "run", tmp_path / "log"
    ended = ipo(capfd, "optimize", str(recorded / "config.yaml"), "--lm", f"replay/{recorded}", "--out", str(run))
    assert ended.code == 0, ended.err
    found = compiled(recorded, clip, {"lm": f"replay/{recorded}", "log_dir": log})
    assert told(log) == told(run)
    saved = program(run)
    state = found.dump_state()
    assert [state[key] for key in ("template", "clip")] == [saved[key] for key in ("template", "clip")]
    assert [one.key for one in answered(log)] == [one.key for one in answered(run)]
    assert len(answered(log)) == found.usage["optimizer"].calls > 0
