"""Makes the recorded runs of the tests again, in the form in which files are written now.

    python -m tools.recorded [FOLDER…]

A recorded run is repeated with its own `config.yaml` and the replies in its journal; then the files in its folder are
replaced. No model is asked and nothing is paid. Facts of the recording stay: the lines of the replies (`lm`) byte for
byte, the times, the machine, the versions of libraries. Pictures become one pixel, as nobody views them. A second time
changes nothing.

Without a folder, all runs in `tests/recorded/` are made again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import Any
from unittest import mock

from ipo_prompts.experiments.pipeline import run_job
from ipo_prompts.experiments.run.config import RunConfig, about_preset
from ipo_prompts.experiments.run.files import digest, write_bytes, write_json
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.connect import REPLAY
from ipo_prompts.programs.lm.ledger import bound_tokens
from ipo_prompts.programs.lm.recording import RecordedEngine
from ipo_prompts.programs.record.journal import FILE_NAME, Event, line_of, read
from ipo_prompts.programs.record.trust import SEAL
from ipo_prompts.programs.templates.settings import LIMITS

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
        os.environ["IPO_CACHE_DIR"] = str(Path(scratch) / "cache")  # pictures are encoded once for all runs
        for folder in folders:
            remake(folder, Path(scratch) / folder.absolute().name)
            print(f"made again: {folder}", flush=True)


def remake(folder: Path, scratch: Path) -> None:
    """Make one recorded run again.

    Args:
        folder: the folder of the run; its files are replaced, and none is added.
        scratch: a folder to work in; it is made if it is missing.

    Raises:
        InputError: the folder is no run, or the search asks other questions now than when it was recorded.
    """
    config, events = load_config(folder / "config.yaml"), read(folder)
    sessions = _sessions(events)
    made = scratch / "made"
    for number, session in enumerate(sessions, start=1):
        replies = scratch / f"replies-{number}"  # all replies of this session and earlier ones
        replies.mkdir(parents=True)
        known = [event for earlier in sessions[:number] for event in earlier if event["type"] == "lm"]
        write_bytes(replies / FILE_NAME, b"".join(map(line_of, known)))
        replayed = _with_limits(_replaying(config, replies, known), session)
        with _stopping():
            run_job(replayed, made, Ui(replayed.steps, quiet=True), resume=number > 1)
    _settle(folder, made, config)
    lines = list(_lines(read(made), sessions, (folder / FILE_NAME).read_bytes().splitlines(keepends=True), config))
    if lost := sum(event["type"] == "lm" for event in events) - sum(b'"type": "lm"' in line for line in lines):
        raise InputError(f"{lost} recorded replies of {folder} were not asked for; the search asks otherwise today.")
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


def _replaying(config: RunConfig, replies: Path, known: Sequence[Event]) -> RunConfig:
    """Return the settings of the run with recorded replies in place of its language models."""
    roles = {"optimizer": "lm", "describer": "describer"}
    asked = {roles[event["role"]] for event in known}
    nowhere = dict.fromkeys(("lm_api_base", "describer_api_base"))
    return config.model_copy(update={**nowhere, **dict.fromkeys(asked, f"{REPLAY}{replies}")})


def _with_limits(config: RunConfig, session: Sequence[Event]) -> RunConfig:
    then = session[0]["config"]
    return config.model_copy(update={name: then[name] for name in LIMITS if name in then})


@contextmanager
def _stopping() -> Iterator[None]:
    """Let a question without a recorded reply reach the limits, as it did when the run was recorded."""
    complete = RecordedEngine.complete

    def stopping(self: RecordedEngine, request: Any) -> Any:
        try:
            return complete(self, request)
        except InputError:
            from dspy._vendor.lm15.serde import request_to_dict

            most = bound_tokens(request_to_dict(request)) + request.config.max_tokens
            with self.recorder.ledger.reserve(tokens=most, usd=None):
                raise

    with mock.patch.object(RecordedEngine, "complete", stopping):
        yield


def _settle(folder: Path, made: Path, config: RunConfig) -> None:
    """Let the files tell of the recording, and not of the repetition."""
    (made / "config.yaml").write_text(
        "".join(f"# {line}\n" for line in about_preset(config)) + config.to_yaml(), encoding="utf-8"
    )
    for name, keys in {"result.json": ("seconds",), "program.json": ("metadata",)}.items():
        then = json.loads((folder / name).read_text(encoding="utf-8"))
        now = json.loads((made / name).read_text(encoding="utf-8"))
        write_json(made / name, {**now, **{key: then[key] for key in keys}})
    write_bytes(made / "environment.json", (folder / "environment.json").read_bytes())
    analysis = (made / "analysis.json").read_text(encoding="utf-8")
    write_bytes(made / "analysis.json", re.sub(r'"data:image/[^"]*"', f'"{PIXEL}"', analysis).encode())


def _lines(
    made: Sequence[Event], sessions: Sequence[Sequence[Event]], recorded: Sequence[bytes], config: RunConfig
) -> Iterator[bytes]:
    """Yield the lines of the new journal, with the recorded replies and times.

    Args:
        made: the events of the new journal.
        sessions: the events of the recorded journal, by session.
        recorded: the lines of the recorded journal, in the order of `sessions`.
        config: the settings of the run.
    """
    replies = {
        (event["key"], event["index"]): (place, line, event["seconds"])
        for place, (event, line) in enumerate(zip(chain.from_iterable(sessions), recorded, strict=True))
        if event["type"] == "lm"
    }
    for session, then in zip(_sessions(made), sessions, strict=True):
        times: defaultdict[Any, deque[float]] = defaultdict(deque)
        for event in then:
            times[_what(event)].append(event["seconds"])
        seconds = 0.0
        for are_replies, group in groupby(session, key=lambda event: event["type"] == "lm"):
            if are_replies:  # replies to simultaneous requests keep the order in which they came when recorded
                found = sorted(replies[event["key"], event["index"]] for event in group)
                seconds = found[-1][2]
                yield from (line for _, line, _ in found)
                continue
            for event in group:
                if same := times[_what(event)]:
                    seconds = max(seconds, same.popleft())
                if event["type"] == "start":
                    limits = {name: event["config"][name] for name in LIMITS}
                    event["config"] = config.model_copy(update=limits).model_dump()
                    event.pop(SEAL, None)  # a shipped run has no owner whose seal could be checked
                yield line_of({**event, "seconds": seconds})


def _what(event: Event) -> tuple[Any, ...]:
    """Return a key of an event; an event of the new journal gets the time of the recorded event with its key."""
    return event["type"], event.get("kind"), event.get("step")


def _with_digests(lines: Sequence[bytes], made: Path, folder: Path) -> Iterator[bytes]:
    """Yield the lines with the digests of the new files; a file that the folder lacks has None for a digest."""
    for line in lines:
        if line.startswith(b'{"type": "end"'):
            event = json.loads(line)
            del event["crc"]
            kept = {name for name in event["files"] if (folder / name).exists()}
            event["files"] = {name: digest(made / name) if name in kept else None for name in event["files"]}
            line = line_of(event)
        yield line


if __name__ == "__main__":
    main()
