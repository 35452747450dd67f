"""Makes the recorded runs of the tests again, in the form in which files are written now.

    python -m tools.recorded [FOLDER…]

A recorded run is repeated with its own `config.yaml`, and the replies in its `replies.jsonl` are taken in order, also
where questions are worded otherwise today; then the files in its folder are replaced. No model is asked and nothing is
paid. Facts of the recording stay: replies, times, the machine, the versions of libraries. Images become one pixel, as
nobody views them. A second time changes nothing.

Without a folder, all runs in `tests/recorded/` are made again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import dspy
from dspy import lm15

from ipo_prompts.experiments.pipeline import run_job
from ipo_prompts.experiments.run.config import RunConfig, about_preset
from ipo_prompts.experiments.run.files import digest, load_config, write_bytes, write_json
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs import describe
from ipo_prompts.programs.journal import FILE_NAME, Event, line_of, read
from ipo_prompts.programs.lm import connect
from ipo_prompts.programs.lm.connect import Backend
from ipo_prompts.programs.lm.engine import response_of
from ipo_prompts.programs.lm.ledger import Question, read_questions
from ipo_prompts.programs.search_settings import LIMITS

RECORDED = Path(__file__).parents[1] / "tests" / "recorded"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


def main() -> None:
    """Make the folders on the command line again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="recorded runs; all of tests/recorded/ if none is given")
    folders = parser.parse_args().folders or sorted(RECORDED.iterdir())
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["IPO_CACHE_DIR"] = str(Path(scratch) / "cache")  # images are encoded once for all runs
        for folder in folders:
            os.environ["XDG_STATE_HOME"] = str(Path(scratch) / "state" / folder.absolute().name)  # no earlier tests
            remake(folder, Path(scratch) / folder.absolute().name)
            print(f"made again: {folder}", flush=True)


def remake(folder: Path, scratch: Path) -> None:
    """Make one recorded run again.

    Args:
        folder: the folder of the run; its files are replaced, and none is added.
        scratch: a folder to work in; it is made if it is missing.

    Raises:
        InputError: the folder is no run, or the search asks more or fewer questions now than when it was recorded.
    """
    config, events, replies = load_config(folder / "config.yaml"), read(folder), read_questions(folder)
    sessions = _sessions(events)
    waiting: defaultdict[str, deque[Question]] = defaultdict(deque)
    for reply in replies:
        waiting[reply.role].append(reply)
    made = scratch / "made"
    with _answering(waiting):
        for number, session in enumerate(sessions, start=1):
            run_job(_with_limits(config, session), made, Ui(config.steps, quiet=True), resume=number > 1)
    if lost := sum(map(len, waiting.values())):
        raise InputError(f"{lost} recorded replies of {folder} were not asked for; the search asks otherwise today.")
    _settle(folder, made, config)
    timed = _with_times(read_questions(made), replies)
    write_bytes(made / "replies.jsonl", b"".join(line_of(reply.model_dump()) for reply in timed))
    lines = list(_lines(read(made), sessions, config))
    write_bytes(made / FILE_NAME, b"".join(_with_digests(lines, made, folder)))
    for file in sorted(folder.iterdir()):
        write_bytes(file, (made / file.name).read_bytes())


def _sessions(events: Sequence[Event]) -> list[list[Event]]:
    """Split a journal at each event that begins or resumes the run."""
    sessions: list[list[Event]] = []
    for event in events:
        if event["type"] == "start":
            sessions.append([])
        sessions[-1].append(event)
    return sessions


def _with_limits(config: RunConfig, session: Sequence[Event]) -> RunConfig:
    then = session[0]["config"]
    return config.model_copy(update={name: then[name] for name in LIMITS if name in then})


@contextmanager
def _answering(waiting: Mapping[str, deque[Question]]) -> Iterator[None]:
    """Let the recorded replies of each role answer in order in place of its language model."""
    find = connect.find_backend

    def found(name: str, *, role: str, api_base: str | None = None, ready: bool = True) -> Backend:
        model = waiting[role][0].model if waiting[role] else name
        lm = dspy.LM(model, engine=_InOrder(waiting[role]), cache=False, num_retries=0)
        return replace(find(name, role=role, api_base=api_base, ready=False), model=model, lm=lm)

    with mock.patch("ipo_prompts.experiments.run.plan.find_backend", found), mock.patch.object(describe, "THREADS", 1):
        yield


@dataclass
class _InOrder:
    """A DSPy engine that answers with recorded replies, whatever the question is."""

    waiting: deque[Question]

    def complete(self, request: lm15.Request) -> lm15.Response:
        if not self.waiting:
            raise InputError("the search asks more questions today than when it was recorded.")
        return response_of(self.waiting.popleft(), request.model)


def _with_times(made: Sequence[Question], recorded: Sequence[Question]) -> Iterator[Question]:
    """Yield the new questions with the times of the recorded ones, which are in the same order for each role."""
    times: defaultdict[str, deque[float]] = defaultdict(deque)
    for reply in recorded:
        times[reply.role].append(reply.waited)
    for question in made:
        yield question.model_copy(update={"waited": times[question.role].popleft()})


def _settle(folder: Path, made: Path, config: RunConfig) -> None:
    """Let the files tell of the recording, and not of the repetition."""
    (made / "config.yaml").write_text(
        "".join(f"# {line}\n" for line in about_preset(config)) + config.to_yaml(), "utf-8"
    )
    for name, keys in {"result.json": ("seconds",), "program.json": ("metadata",)}.items():
        then = json.loads((folder / name).read_text("utf-8"))
        now = json.loads((made / name).read_text("utf-8"))
        write_json(made / name, {**now, **{key: then[key] for key in keys}})
    write_bytes(made / "environment.json", (folder / "environment.json").read_bytes())
    analysis = (made / "analysis.json").read_text("utf-8")
    write_bytes(made / "analysis.json", re.sub(r'"data:image/[^"]*"', f'"{PIXEL}"', analysis).encode())


def _lines(made: Sequence[Event], sessions: Sequence[Sequence[Event]], config: RunConfig) -> Iterator[bytes]:
    """Yield the lines of the new journal, with the recorded times.

    Args:
        made: the events of the new journal.
        sessions: the events of the recorded journal, by session.
        config: the settings of the run.
    """
    for session, then in zip(_sessions(made), sessions, strict=True):
        times: defaultdict[Any, deque[float]] = defaultdict(deque)
        for event in then:
            times[_what(event)].append(event["seconds"])
        seconds = 0.0
        for event in session:
            if same := times[_what(event)]:
                seconds = max(seconds, same.popleft())
            if event["type"] == "start":
                limits = {name: event["config"][name] for name in LIMITS}
                event["config"] = config.model_copy(update=limits).model_dump()
            yield line_of({**event, "seconds": seconds})


def _what(event: Event) -> tuple[Any, ...]:
    """Return a key of an event; an event of the new journal gets the time of the recorded event with its key."""
    return event["type"], event.get("kind"), event.get("step")


def _with_digests(lines: Sequence[bytes], made: Path, folder: Path) -> Iterator[bytes]:
    """Yield the lines with the digests of the new files; a file that the folder lacks has None for a digest."""
    for line in lines:
        if line.startswith(b'{"type": "end"'):
            event = json.loads(line)
            kept = {name for name in event["files"] if (folder / name).exists()}
            event["files"] = {name: digest(made / name) if name in kept else None for name in event["files"]}
            line = line_of(event)
        yield line


if __name__ == "__main__":
    main()
