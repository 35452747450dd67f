"""A run from elsewhere is harmless: every key of every file changed in five ways, files that are no files, attacks.

Whatever was changed, no command runs its code, reaches a host or writes outside of the run and what was named.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.publishing import MADE_BY_SEARCHING, MADE_OF_FILES
from ipo_prompts.experiments.run.config import CONFIG_FILE
from ipo_prompts.experiments.tracking import LOGS
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.record.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.record.journal import LOCK
from support import attacks, soak
from support.attacked import Attacked
from support.attacks import FOUND, LONGEST, MORE, Place, Row
from support.runs import events, ipo, lines_of
from support.trap import trapped

SMALL = ("lm=none", "describer=none", "shots=1", "selection_shots=1", "steps=1", "candidates_per_step=2")
DOCS = Path(__file__).parents[2] / "docs"
PICTURE = str(PICTURES_DIR / "a" / "cat" / "01.webp")
KINDS: dict[str, Any] = {
    "an address": "http://127.0.0.1:9/v1",
    "a path": "OUTSIDE/theirs",
    "code": "evil:Evil",
    "a name": "hf-hub:stranger/model",
    "a form": [{"name": 10**30, "file": "../../OUTSIDE"}],
}
"""What is put in the place of a value; `OUTSIDE` is a folder that no command names."""
BY_KEY: dict[str, dict[str, Any]] = {
    "clip": {"a path": "local-dir:OUTSIDE", "code": "ViT-B-32/OUTSIDE/theirs", "an address": "hf-hub:127.0.0.1:9/x"},
    "name": {"a path": "local-dir:OUTSIDE"},
    "data": {"a path": "folder:OUTSIDE", "code": "csv:OUTSIDE/theirs.csv", "a name": "hf:stranger/data"},
    "lm": {"a path": "local/OUTSIDE/theirs.gguf", "code": "openai/gpt-4o-mini", "a name": "replay/OUTSIDE"},
    "describer": {"a path": "replay/OUTSIDE", "code": "openai/gpt-4o", "a name": "gemini/gemini-pro"},
    "track": {"code": "wandb"},
    "strategy": {"a path": {"name": "list", "file": "OUTSIDE/theirs.txt"}},
}
"""What such a key is more likely to be believed with."""
COMMANDS: dict[str, list[list[str]]] = {
    "config.yaml": [["optimize", "RUN/config.yaml", "--dry-run"], ["optimize", "--resume", "RUN", "--quiet"]],
    "journal.jsonl": [
        ["report", "RUN"],
        ["optimize", "--resume", "RUN", "--quiet"],
    ],
    "program.json": [["predict", "RUN", PICTURE], ["export", "RUN", "--to", "txt", "--out", "out.txt"]],
    "result.json": [["report", "RUN"], ["optimize", "--resume", "RUN", "--quiet"]],
    "analysis.json": [["report", "RUN"]],
    "environment.json": [["report", "RUN"]],
    "cells.jsonl.gz": [["benchmark", "RUN/cells.jsonl.gz", "--json"]],
    "grid.yaml": [["benchmark", "RUN/grid.yaml", "--dry-run", "--out", "table"]],
}
"""What is done with a run whose file was changed."""
TAKE_NOTHING = {
    "data list",
    "docs",
    "doctor",
    "models list",
    "models pull",
    "models remove",
}
"""Commands that take nothing but what a person types, nor read a run."""
WRITTEN_ONLY = {"search.svg", "templates.csv", "labels.csv", "centring.json"}
"""Files that no command reads because a run holds them: a picture, tables, and programs that are named like any."""
OF_THE_TEST = {"cells.jsonl.gz", "grid.yaml", "cells", "evil.py"}
NO_FILES: dict[str, Callable[[Path, Path], object]] = {
    "a pipe": lambda path, outside: os.mkfifo(path),
    "a device": lambda path, outside: path.symlink_to("/dev/zero"),
    "a hard link": lambda path, outside: os.link(outside / "theirs", path),
    "a sparse file": lambda path, outside: os.truncate(path.open("w").name, 1 << 40),
    "a link": lambda path, outside: path.symlink_to(outside / "theirs"),
    "a link as a folder": lambda path, outside: path.symlink_to(outside),
}
TELLING = {"clip", "data", "lm", "describer", "track", "strategy", "reward", "name"}
"""Keys that name what is loaded, read or asked."""
Keys = tuple[Any, ...]
ATTACKS = [*FOUND, *MORE]


def places(value: Any, at: Keys = ()) -> Iterator[Keys]:
    """Yield where each key of a value is; of a list the first entry, and of a journal the first event of each type."""
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        kinds = {
            item.get("type") if isinstance(item, dict) and not at else 0: i for i, item in [*enumerate(value)][::-1]
        }
        items = [(i, value[i]) for i in sorted(kinds.values())]
    for key, item in items:
        if key != "crc":
            if at or not isinstance(value, list):  # an event is no line of a journal without its type
                yield (*at, key)
            yield from places(item, (*at, key))


def read(file: Path) -> Any:
    if file.name == "journal.jsonl":
        return events(file.parent)
    if file.suffix == ".gz":
        heading, cell, *others = map(json.loads, gzip.decompress(file.read_bytes()).splitlines())
        return {"heading": heading, "cell": cell, "others": others}
    text = file.read_text()
    return yaml.safe_load(text) if file.suffix == ".yaml" else json.loads(text)


def write(file: Path, content: Any) -> None:
    if file.suffix == ".gz":
        others = content["others"] if isinstance(content["others"], list) else [content["others"]]
        lines = [content["heading"], content["cell"], *others]
        text = "".join(lines_of(line) if isinstance(line, dict) else f"{json.dumps(line)}\n" for line in lines)
        file.write_bytes(gzip.compress(text.encode()))
        return
    file.write_text(lines_of(*content) if file.name == "journal.jsonl" else json.dumps(content))  # JSON is YAML


def change(content: Any, place: Keys, kind: str, outside: Path) -> None:
    """Put something else in a place."""
    named = next((part for part in reversed(place) if part in BY_KEY), "")
    value = BY_KEY.get(named, {}).get(kind, KINDS[kind])
    *parents, last = place
    for part in parents:
        content = content[part]
    content[last] = json.loads(json.dumps(value).replace("OUTSIDE", str(outside)))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as its owner sent it, with code of theirs in it, the file of a grid and its cells."""
    from ipo_prompts.experiments.cli.app import main

    place = tmp_path_factory.mktemp("theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPO_STATE_DIR", str(place / "their-state"))
        patch.setenv("IPO_CACHE_DIR", str(place / "cache"))
        assert main(["optimize", *SMALL, "--quiet", "--out", str(place / "run")]) == 0
    run = place / "run"
    shutil.copy(min(DOCS.rglob("*.jsonl.gz"), key=lambda file: file.stat().st_size), run / "cells.jsonl.gz")
    (run / "grid.yaml").write_text(
        "title: t\nprotocol: few-shot\ndata: [embedded]\nmethods: [baseline]\nseeds: 1\n"
        "settings: {clip: embedded, shots: 1, strategy.name: list, lm: none}\n"
    )
    (run / "cells").mkdir()
    (run / "evil.py").write_text("raise SystemExit('the code of a stranger')\n")
    return place


@pytest.fixture()
def run(theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Any) -> Path:
    """The run where somebody else works, with a folder outside that may not change."""
    import huggingface_hub.constants as hub

    monkeypatch.setenv("IPO_CACHE_DIR", str(theirs / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary0123456789canary")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "theirs").write_text("not to be changed\n")
    (tmp_path / "here").mkdir()
    shutil.copy(theirs / "run" / "evil.py", tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here" / "run"


def commands() -> Iterator[str]:
    """Yield every command of the app, such as `data check`."""
    import typer

    from ipo_prompts.experiments.cli.app import app

    def below(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        for name, one in command.commands.items():
            yield from below(one, (*path, name)) if hasattr(one, "commands") else [" ".join((*path, name))]

    return below(typer.main.get_command(app), ())


def command_of(words: list[str]) -> str:
    return next(name for name in commands() if name.split() == words[: len(name.split())])


def renew(theirs: Path, run: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(theirs / "run", run)
    if Path("out.txt").exists():
        Path("out.txt").unlink()


def words_of(command: list[str], run: Path) -> list[str]:
    return [word.replace("RUN", str(run)) for word in command]


def changes(theirs: Path, seed: int, count: int) -> list[tuple[str, Keys, str]]:
    """Return so many of all the changes; those of the run's settings come first, since they are believed."""
    every = [
        (name, place, kind) for name in COMMANDS for place in places(read(theirs / "run" / name)) for kind in KINDS
    ]
    random.Random(seed).shuffle(every)
    every.sort(key=lambda one: not TELLING.intersection(one[1]))
    return every[:: max(1, len(every) // count)][:count] if not soak.BY_HAND else every[:count]


def check(caught: list[str], run: Path, what: object) -> None:
    outside = run.parents[1] / "outside"
    assert not caught, (what, caught)
    assert [file.name for file in outside.iterdir()] == ["theirs"], what
    assert (outside / "theirs").read_text() == "not to be changed\n", what


def test_no_change_of_a_strangers_run_does_anything(
    theirs: Path,
    run: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    clip: Any,
    record_property: Callable[[str, object], None],
) -> None:
    if soak.BY_HAND:
        import signal

        signal.alarm(0)
    from ipo_prompts.metrics import clip as clips

    real = clips.load_clip
    for module in ("experiments.run.prepared", "programs.classifier"):  # the one that ships with us is loaded only once
        monkeypatch.setattr(
            f"ipo_prompts.{module}.load_clip",
            lambda name, *more, **named: clip if name == "embedded" else real(name, *more, **named),
        )
    from ipo_prompts.experiments import pipeline

    search_in = pipeline.search_in

    def unless_it_would_ask_nobody(prepared: Any, *more: Any) -> Any:
        if prepared.plan.optimizer or prepared.plan.describer:
            return search_in(prepared, *more)
        raise InputError("all is loaded, and nobody would be asked; the rest is left to the whole commands.")

    monkeypatch.setattr(pipeline, "search_in", unless_it_would_ask_nobody)
    wanted = changes(theirs, soak.SEED, soak.count(12, 1_100))
    record_property("tried", len(wanted))
    codes: dict[int, int] = {}
    for name, place, kind in wanted:
        renew(theirs, run)
        content = read(run / name)
        change(content, place, kind, run.parents[1] / "outside")
        if "config" in place and TELLING.intersection(place):  # as if it had been killed: it is searched again
            content = [event for event in content if event["type"] in ("start", "scores")]
        write(run / name, content)
        for command in COMMANDS[name]:
            what = (name, place, kind, command)
            with trapped(str(run.parent), str(theirs / "cache"), os.environ["IPO_STATE_DIR"]) as caught:
                try:
                    ended = ipo(capfd, *words_of(command, run))
                except Exception as error:
                    raise AssertionError(what) from error
            codes[ended.code] = codes.get(ended.code, 0) + 1
            assert ended.code in (0, 1, 2, 3), what
            check(caught, run, what)
    record_property("note", f"exit codes {dict(sorted(codes.items()))}")


@pytest.fixture(scope="module")
def attacked(theirs: Path) -> Iterator[Attacked]:
    """The process that runs whole commands."""
    for name in ("desk", "tmp"):
        (theirs / name).mkdir()
    env = {
        "HF_HUB_OFFLINE": "0",
        "TMPDIR": str(theirs / "tmp"),
        "TORCHINDUCTOR_CACHE_DIR": str(theirs / "tmp"),
        "MPLCONFIGDIR": str(theirs / "tmp"),
        "IPO_CACHE_DIR": str(theirs / "cache"),
        "HF_HOME": str(theirs / "cache" / "hf"),
    }
    env |= {"OPENAI_API_KEY": "sk-canary0123456789canary", "IPO_STATE_DIR": str(theirs / "our-state")}
    env |= {"WANDB_API_KEY": "0123456789" * 4, "WANDB_MODE": "offline"}
    env |= {f"WANDB_{name}_DIR": str(theirs / "tmp") for name in ("CACHE", "DATA", "CONFIG")}
    found = Attacked(*(str(theirs / name) for name in ("desk", "tmp", "cache", "our-state")), env=env)
    yield found
    found.close()


@pytest.fixture()
def desk(theirs: Path) -> Place:
    """Where a stranger's runs lie, and a folder outside that may not change."""
    shutil.rmtree(theirs / "desk")
    shutil.rmtree(theirs / "outside", ignore_errors=True)
    place = Place(theirs / "desk" / "run", theirs / "outside", theirs / "desk")
    shutil.copytree(theirs / "run", place.run)
    victim = place.outside / "wandb" / "offline-run-20261128_101010-k3y9abcd"
    victim.mkdir(parents=True)
    (victim / "theirs").write_text("not to be changed\n")
    (place.outside / "theirs").write_text("not to be changed\n")
    os.mkfifo(place.outside / "pipe")
    return place


def test_whole_commands(
    theirs: Path, attacked: Attacked, desk: Place, record_property: Callable[[str, object], None]
) -> None:
    if soak.BY_HAND:
        import signal

        signal.alarm(0)
    wanted = changes(theirs, soak.SEED + 1, 1_000_000 if soak.BY_HAND else 2)
    wanted = random.Random(soak.SEED).sample(wanted, 40 if soak.BY_HAND else 1)
    record_property("tried", len(wanted))
    for name, place, kind in wanted:
        renew(theirs, desk.run)
        content = read(desk.run / name)
        change(content, place, kind, desk.outside)
        write(desk.run / name, content)
        came = attacked.run(words_of(COMMANDS[name][-1], desk.run), desk.here)
        assert came.code in (0, 1, 2, 3), (name, place, kind, came)
        check_outside(desk, came.caught)


def check_outside(desk: Place, caught: list[str]) -> None:
    assert not caught
    there = sorted(str(file.relative_to(desk.outside)) for file in desk.outside.rglob("*"))
    victim = "wandb/offline-run-20261128_101010-k3y9abcd"
    assert there == ["pipe", "theirs", "wandb", victim, f"{victim}/theirs"]
    assert (desk.outside / "theirs").read_text() == "not to be changed\n"


@pytest.mark.parametrize("row", ATTACKS if soak.BY_HAND else ATTACKS[1::30], ids=lambda row: row.name)
def test_attacks(row: Row, attacked: Attacked, desk: Place, record_property: Callable[[str, object], None]) -> None:
    row.before(desk)
    words = [one.replace("RUN", str(desk.run)) for one in row.words.split()]
    words = [one.replace("OUTSIDE", str(desk.outside)).replace("PICTURE", PICTURE) for one in words]
    folder = desk.run if row.inside else desk.here
    came = attacked.run(words, folder, closed=row.closed, logging=row.logging)
    told = f"{row.name} | {came.code} | {len(came.caught)} | {came.memory:,.0f} | {came.seconds:.0f}"
    record_property("row", told)
    check_outside(desk, came.caught)
    assert came.code in row.codes, came
    assert "Traceback" not in came.err and len(came.err) < LONGEST and "\x1b" not in came.out, came
    assert "wandb:" not in came.err, came


def test_every_command_is_in_the_list() -> None:
    """A new command is one of those that take nothing of a stranger's, or it is tried."""
    tried = {command_of(words) for lines in COMMANDS.values() for words in lines}
    tried |= {command_of(row.words.split()) for row in (*FOUND, *MORE)}
    assert {*commands()} == tried | TAKE_NOTHING
    assert not tried & TAKE_NOTHING


def test_every_file_is_in_the_list(theirs: Path) -> None:
    """A file that a run may hold is changed, or stands in a row; and no run holds another file."""
    held = {*MADE_BY_SEARCHING, *MADE_OF_FILES, JOURNAL, LOCK, CONFIG_FILE, LOGS}
    assert {file.name for file in (theirs / "run").iterdir()} - OF_THE_TEST <= held
    rows = Path(attacks.__file__).read_text()
    assert [
        name for name in held - {*COMMANDS, *WRITTEN_ONLY} if f'"{name}' not in rows and f"'{name}" not in rows
    ] == []


@pytest.mark.parametrize("name", COMMANDS if soak.BY_HAND else ["journal.jsonl", "program.json"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_files_that_are_none(
    theirs: Path, run: Path, capfd: pytest.CaptureFixture[str], name: str, kind: str, light: None
) -> None:
    renew(theirs, run)
    (run / name).unlink()
    NO_FILES[kind](run / name, run.parents[1] / "outside")
    for command in COMMANDS[name]:
        with trapped(str(run.parent), str(theirs / "cache"), os.environ["IPO_STATE_DIR"]) as caught:
            ended = ipo(capfd, *words_of(command, run))
        assert ended.code in (0, 1, 2, 3), (name, kind, command)
        check(caught, run, (name, kind, command))
