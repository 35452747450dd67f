"""A limit is a limit: wherever the time ends, nothing begins after it that a run can be without, and it says so.

The clock is moved, not waited for. A first run passes all places where something optional begins; in each further run
the time ends just before one of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments import tracking
from ipo_prompts.experiments.report import explain
from ipo_prompts.experiments.run import beside
from ipo_prompts.metrics import clock
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.text_pass import TextPass
from ipo_prompts.metrics.text_tower import text_path
from ipo_prompts.programs import naming, running, search
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.describers.interrogator import Interrogator
from ipo_prompts.programs.lm.recording import Attempts
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from support import openai_server, soak
from support.openai_server import Asked, OpenAIServer, Reply, error, good
from support.runs import KEY, Ended, arguments, copy_pictures, ipo, result

BEFORE: dict[str, tuple[Any, str]] = {
    "the describer": (Interrogator, "forward"),
    "phrases that the describer tries": (Interrogator, "_gains"),
    "what is said of descriptions": (running, "shortened"),
    "a step": (search._Run, "_step"),
    "a question": (Attempts, "ask"),
    "another attempt": (Attempts, "wait_after"),
    "a look": (ScoreKeeper, "score_only"),
    "other names of the classes": (naming, "search_names"),
    "a question for names": (naming, "ask_for_names"),
    "names that are tried": (naming, "find_names"),
    "a batch of pictures": (Clip, "encode_pixels"),
    "a batch of texts": (TextPass, "run"),
}
"""What may begin before the sealed test is opened, and where."""
AFTER: dict[str, tuple[Any, str]] = {
    "what each word does": (explain, "word_effects"),
    "pictures of each class": (explain, "sample"),
    "pictures that changed": (explain, "flips"),
    "a picture on the page": (explain, "thumbnail"),
    "how sure the classifier is": (TemplateClassifier, "calibrate"),
    "what other names do": (beside, "what_names_do"),
    "what is known without a search": (beside, "baselines"),
    "tables and program in the log of Weights & Biases": (tracking.Tracker, "finish"),
}
"""What may begin after that; by the names that it is left out under."""
PLACES = BEFORE | AFTER


def answer(asked: Asked) -> Reply:
    """Answer what is asked for templates, and what is asked for names."""
    names = '[[ ## lines ## ]]\n["bus: coach, omnibus"]\n\n[[ ## completed ## ]]'
    return Reply(names) if "what else the classes" in asked.text else good(asked)


class Watch:
    """A clock that stands still until it is moved to the end of the time, and what began meanwhile.

    Args:
        ends: the number of the look at the clock at which the time is up; None never.
    """

    def __init__(self, ends: int | None = None) -> None:
        self.ends, self.time, self.looks = ends, 0.0, 0
        self.first: dict[str, int] = {}
        """How often the clock was looked at before each place."""
        self.late: list[str] = []

    def begins(self, what: str) -> None:
        one = clock.clock()
        if one.limit and not one._due:
            self.first.setdefault(what, self.looks)
            self.late += [what] if one.left() == 0 else []

    def over(self, patch: pytest.MonkeyPatch) -> None:
        """Watch all places."""
        check = clock.Clock.check_time

        def looked(one: clock.Clock) -> None:
            self.looks += 1
            if self.looks == self.ends:
                self.time += one.left() or 0.0
            check(one)

        patch.setattr(clock, "now", lambda: self.time)
        patch.setattr(clock.Clock, "check_time", looked)
        for what, (where, name) in PLACES.items():
            patch.setattr(where, name, self._seen(what, getattr(where, name)))

    def _seen(self, what: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def seen(*args: Any, **named: Any) -> Any:
            self.begins(what)
            return do(*args, **named)

        return seen


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with openai_server.running() as server:
        yield server


@pytest.fixture()
def timed(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], clip: Any
) -> Callable[..., tuple[Ended, Path]]:
    """Run a job of an hour that has every part, with a cache of its own, until the time is up where a watch says."""
    assert clip.width and text_path(clip.model)  # what a CLIP does once would be looked at once
    pictures, count = copy_pictures(tmp_path / "pictures"), iter(range(1000))
    words = arguments(pictures, server, "names=search", steps=1, strategy="compose")
    words[words.index("describer=none")] = "describer=clip"
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    monkeypatch.setattr("ipo_prompts.metrics.clock.pause", lambda *_: None)

    def run(watch: Watch, *more: str) -> tuple[Ended, Path]:
        folder = tmp_path / str(next(count))
        server.fresh().behave = answer
        server.script.append(lambda asked: error(503, "busy"))
        with monkeypatch.context() as patch:
            patch.setenv("IPO_CACHE_DIR", str(folder / "cache"))
            watch.over(patch)
            return ipo(
                capfd, *words, "scored_templates=40", *more, "--max-minutes=60", f"--out={folder / 'run'}"
            ), folder / "run"

    return run


def test_nothing_begins_after_the_limit(timed: Callable[..., tuple[Ended, Path]], record_property: Any) -> None:
    if soak.BY_HAND:
        import signal

        signal.alarm(0)
    watch = Watch()
    ended, _ = timed(watch)
    assert ended.code == 0, ended.err
    rng = random.Random(soak.SEED)
    known = sorted(watch.first)
    tried = known if soak.BY_HAND else rng.sample(known, 3)
    for what in tried:
        late = Watch(watch.first[what])
        ended, folder = timed(late)
        assert late.late == [], f"ended before {what}"
        assert ended.code in (0, 2, 3) and "Traceback" not in ended.err, (what, ended.err)
        if what in AFTER and what != "a picture on the page":
            told = ended.err if "Weights" in what else result(folder)["left_out"]
            assert "eft out for want of time: " in told and what in told, what
    record_property("tried", len(tried))
