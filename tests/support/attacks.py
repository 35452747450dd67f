"""What a stranger's run, a program, a table or a command line was seen to do, or might: one row each.

A row says what is done to a run before, which command is typed then, and how it has to end. In its words `RUN` is the
run, `OUTSIDE` a folder that no command names, and `PICTURE` a picture. Whatever the row, nothing is asked, nothing
outside is changed, and a message has less than `LONGEST` signs.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.runs import events, lines_of

LONGEST = 4_200
SENTENCE = (2,)
"""How a command ends that refuses; one that may do its work ends with 0, too."""
EITHER = (0, 1, 2)


@dataclass(frozen=True)
class Place:
    """Where a row happens: a stranger's run, a folder that no command names, the working folder."""

    run: Path
    outside: Path
    here: Path


@dataclass(frozen=True)
class Row:
    """An attack: see the module. `closed` are streams that are not there; `logging` lets W&B's process be started."""

    name: str
    words: str
    codes: tuple[int, ...] = SENTENCE
    before: Callable[[Place], object] = lambda place: None
    closed: tuple[int, ...] = ()
    inside: bool = False
    logging: bool = False


def settings(**values: Any) -> Callable[[Place], object]:
    """Put other settings into the journal, of a run that is not finished."""

    def change(place: Place) -> None:
        folder = place.run
        begun, *others = events(folder)
        told = json.dumps(values).replace("OUTSIDE", str(place.outside)).replace("RUN", str(folder))
        begun["config"] |= json.loads(told)
        kept = [event for event in others if event["type"] == "scores"][:1]
        (folder / "journal.jsonl").write_text(lines_of(begun, *kept))
        (folder / "result.json").unlink(missing_ok=True)

    return change


def edited(file: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Place], object]:
    """Change a JSON file."""

    def write(place: Place) -> None:
        path = place.run / file
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return write


def config(old: str, new: str) -> Callable[[Place], object]:
    """Edit `config.yaml`, which is only an output."""

    def write(place: Place) -> None:
        path = place.run / "config.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new.replace("OUTSIDE", str(place.outside))))

    return write


def rejection(**values: Any) -> Callable[[Place], object]:
    """Change the margins of known pictures of a program."""
    return edited("program.json", lambda it: it["rejection"].update(values))


def _table(label: str) -> Callable[[Place], object]:
    return text("t.csv", f"image,label,class_name\na.png,0,cat\nb.png,{label},dog\n")


def both(*steps: Callable[[Place], object]) -> Callable[[Place], object]:
    """Do several things."""
    return lambda place: [step(place) for step in steps]


def text(file: str, content: str | bytes, of: str = "run") -> Callable[[Place], object]:
    """Write a file, its folder too."""

    def write(place: Place) -> None:
        path = getattr(place, of) / file
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(
            content if isinstance(content, bytes) else content.replace("OUTSIDE", str(place.outside)).encode()
        )

    return write


def pipe(file: str, of: str = "run") -> Callable[[Place], object]:
    """Put a pipe in the place of a file."""

    def make(place: Place) -> None:
        path = getattr(place, of) / file
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return make


def link(file: str, to: str, of: str = "run") -> Callable[[Place], object]:
    """Put a link in the place of a file or a folder."""

    def make(place: Place) -> None:
        path = getattr(place, of) / file
        path.parent.mkdir(exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(to.replace("OUTSIDE", str(place.outside)))

    return make


def sparse(file: str, of: str = "run") -> Callable[[Place], object]:
    """Put a file of a tebibyte that takes no room."""

    def make(place: Place) -> None:
        (getattr(place, of) / file).open("w").close()
        os.truncate(getattr(place, of) / file, 1 << 40)

    return make


def program(**values: Any) -> Callable[[Place], object]:
    """Put other values into `program.json`."""
    return edited("program.json", lambda content: content.update(values))


def classes(names: int, synonyms: int) -> Callable[[Place], object]:
    """Give `program.json` so many names, each with so many synonyms."""
    made = [f"name {i}" for i in range(names)]
    return program(class_names=made, synonyms=[[f"{one} {k}" for k in range(synonyms)] for one in made])


RESUMED = "optimize --resume RUN track=wandb --quiet"
LONG = "x" * 200_000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

FOUND = [
    # A stranger's settings of Weights & Biases.
    *(
        Row(
            f"{name}/settings in the run, {where}",
            words,
            (0,),
            both(settings(), text(f"{name}/settings", THEIRS)),
            inside=inside,
            logging=True,
        )
        for THEIRS in ("[default]\nbase_url = http://127.0.0.1:9\n",)
        for name in ("wandb", ".wandb")
        for where, words, inside in (
            ("from inside", RESUMED.replace("RUN", "."), True),
            ("from outside", RESUMED, False),
        )
    ),
    # Tables.
    Row("a table that never ends", "optimize --data csv:/dev/zero --lm none"),
    Row("a table that is a pipe", "optimize --data csv:pipe --lm none", SENTENCE, pipe("pipe", "here")),
    Row("parquet that never ends", "data check parquet:/dev/zero"),
    Row(
        "parquet of this disk",
        "data check parquet:table.parquet",
        EITHER,
        lambda place: _parquet(place.here / "table.parquet"),
    ),
    # Programs that take long.
    Row("a program of 200,000 names", "predict RUN PICTURE", SENTENCE, classes(200_000, 0)),
    Row("a program of 200,000 synonyms", "predict RUN PICTURE", SENTENCE, classes(4, 50_000)),
    Row(
        "a program of empty lists",
        "predict RUN PICTURE",
        SENTENCE,
        text("program.json", "[" + "[]," * 20_000_000 + "[]]"),
    ),
    # What ended with a traceback.
    Row(
        "data in a folder with a long name",
        "optimize folder:" + "a" * 245 + " --lm none describer=none shots=1 selection_shots=1 steps=1 --quiet",
        (0, 2),
        lambda place: _pictures(place.here / ("a" * 245)),
    ),
    Row("data with a name of 5,000 letters", f"optimize --data folder:{'x' * 5000} --lm none"),
    Row("--out with a name of 300 letters", f"optimize --lm none --out {'x' * 300}"),
    Row("no stdout", "predict RUN PICTURE", EITHER, closed=(1,)),
    Row("no stdin", "predict RUN -", EITHER, closed=(0,)),
    Row(
        "seconds without end",
        "report RUN",
        EITHER,
        edited("result.json", lambda it: it["seconds"].update(image=float("inf"))),
    ),
    *(
        Row(
            f"accuracy {value!r} in event {number}",
            "report RUN",
            EITHER,
            lambda place, value=value, number=number: _accuracy(place.run, number, value),
        )
        for number, value in ((-1, "x"), (0, 1e308))
    ),
    # What is printed.
    *(
        Row(
            f"{key} of 200,000 letters",
            "predict RUN PICTURE",
            EITHER,
            edited("program.json", lambda it, change=change: change(it)),
        )
        for key, change in {
            "a name": lambda it: it["class_names"].__setitem__(0, LONG),
            "a template": lambda it: it["templates"][0].update(template=LONG),
            "the name of the CLIP": lambda it: it["clip"].update(name=LONG),
        }.items()
    ),
    Row("a first template of 10,000 letters", f"optimize --lm none initial_template={'x' * 10_000}"),
    Row(
        "a NUL in a name, as CSV",
        "predict RUN PICTURE --format csv",
        EITHER,
        edited("program.json", lambda it: it["class_names"].__setitem__(0, "a\0\x1b[2J")),
    ),
    Row("a data set above", "optimize --data hf:../.. --lm none"),
    # What held when it was tried.
    *(
        Row(f".lock is {kind}", "optimize --resume RUN --quiet", SENTENCE, both(settings(), make))
        for kind, make in {
            "a pipe": pipe(".lock"),
            "a link": link(".lock", "OUTSIDE/theirs"),
            "a folder": lambda place: [(place.run / ".lock").unlink(missing_ok=True), (place.run / ".lock").mkdir()],
        }.items()
    ),
    *(
        Row(
            f"exported to {target}",
            f"export RUN --to {target} --out out.txt",
            EITHER,
            program(
                class_names=["__import__('os').system('x')", "{{7*7}}", "$(touch x)", "`x`", "[a](b)", "%s{0}"]
                + [f"n{i}" for i in range(62)]
            ),
        )
        for target in ("open_clip", "head")
    ),
]
"""Each command of the attacks that were tried by hand."""

MORE = [
    Row("a log through a link", RESUMED, SENTENCE, both(settings(), link("wandb", "OUTSIDE")), logging=True),
    Row(
        "links among the logs",
        RESUMED,
        (0,),
        both(settings(), link("wandb/debug.log", "OUTSIDE/theirs"), link("wandb/latest-run", "OUTSIDE")),
        logging=True,
    ),
    Row(
        "wandb/settings never ends",
        RESUMED,
        (0,),
        both(settings(), link(".wandb/settings", "/dev/zero"), link("wandb/settings", "/dev/zero")),
        logging=True,
    ),
    Row(
        "W&B's defaults are a pipe",
        RESUMED.replace("RUN", "."),
        (0,),
        both(settings(), pipe("config-defaults.yaml")),
        inside=True,
        logging=True,
    ),
    Row("track in the journal", "optimize --resume RUN --quiet", SENTENCE, settings(track="wandb")),
    Row(
        "a name in the journal is a file",
        "optimize --resume RUN --quiet",
        SENTENCE,
        settings(class_names="OUTSIDE/theirs"),
    ),
    Row(
        "data above those that ship", "optimize --resume RUN --quiet", SENTENCE, settings(data="embedded:../../OUTSIDE")
    ),
    Row("a device that is a path", "optimize --resume RUN --quiet", EITHER, settings(device="OUTSIDE/theirs")),
    Row(
        "edited settings begin no run",
        "optimize RUN/config.yaml --dry-run",
        SENTENCE,
        config("steps: 1", "steps: 9"),
    ),
    Row(
        "settings beside a journal that is a link to nothing",
        "optimize RUN/config.yaml --dry-run",
        SENTENCE,
        both(config("data: embedded", "data: hf:stranger/x"), link("journal.jsonl", "OUTSIDE/none")),
    ),
    Row("settings that grow", "optimize RUN/config.yaml --dry-run", SENTENCE, text("config.yaml", BOMB)),
    Row("a grid that grows", "benchmark RUN/grid.yaml --dry-run --out table", SENTENCE, text("grid.yaml", BOMB)),
    Row(
        "cells that grow",
        "benchmark RUN/cells.jsonl.gz --json",
        SENTENCE,
        text("cells.jsonl.gz", gzip.compress(bytes(1 << 30), 1)),
    ),
    Row("a report through a link", "report RUN", (0,), link("report.html", "OUTSIDE/theirs")),
    Row("the environment has a tebibyte", "report RUN", SENTENCE, sparse("environment.json")),
    Row("seen.json and classes.yaml are pipes", "report RUN", EITHER, both(pipe("seen.json"), pipe("classes.yaml"))),
    Row("templates out of a run", "evaluate --templates-file RUN/evil.txt", SENTENCE, link("evil.txt", "/dev/zero")),
    Row("labels up to 10^9", "data check csv:RUN/t.csv", SENTENCE, _table("1000000000")),
    Row("a label of 5,000 digits", "data check csv:RUN/t.csv", SENTENCE, _table("9" * 5_000)),
    Row("sizes of 10^400", "predict RUN PICTURE --reject 0.05", SENTENCE, rejection(sizes=[10**400] * 136)),
    Row("100,000 words for none", "predict RUN PICTURE --reject 0.05", SENTENCE, rejection(none=["pit"] * 100_000)),
    Row("a share of 1e-320", "predict RUN PICTURE --reject 1e-320"),
]
"""Twenty more, and some."""


def _parquet(file: Path) -> None:
    import pandas

    pictures = sorted(Path(__file__).parents[2].glob("experiments/embedded/pictures/a/*/01.webp"))[:8]
    pandas.DataFrame({"image": [str(one) for one in pictures], "label": ["a", "b"] * 4}).to_parquet(file)


def _pictures(folder: Path) -> None:
    from support.runs import copy_pictures

    copy_pictures(folder)


def _accuracy(run: Path, number: int, value: Any) -> None:
    content = events(run)
    scored = [event for event in content if event["type"] == "scores"]
    scored[number]["scores"][0]["accuracy"] = value
    (run / "journal.jsonl").write_text(lines_of(*content))
