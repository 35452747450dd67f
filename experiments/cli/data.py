"""`ipo data`: look at a data set before it is used."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipo_prompts.experiments.cli.common import DATA, Part, one_of
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import DataSet
    from ipo_prompts.metrics.clip import Clip

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, check and preview data sets.")

Spec = Annotated[str, typer.Argument(help=DATA)]
Seed = Annotated[int, typer.Option(help="for data without parts of its own")]


@data_app.command("list")
def list_() -> None:
    """List the registered data sets, their official sizes, which of them are below the root, and what else is read."""
    from ipo_prompts.experiments.data.benchmarks import REGISTRY, ROOT_VARIABLE, default_root, state
    from ipo_prompts.experiments.data.sources import FORMS

    root = default_root()
    head = ["name", "title", "classes", "train", "val", "test", "here", "hand-written template"]
    rows = [head]
    for entry in REGISTRY.values():
        sizes = (f"{size:,}" if size else "-" for size in entry.sizes)
        rows.append([entry.name, entry.title, str(entry.classes), *sizes, state(entry, root), entry.hand_written])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(row, "<<>>>><<", widths, strict=True)]
        print("  ".join(cells).rstrip())
    place = f"root: {root}" if root else f"{ROOT_VARIABLE} is not set; it names the folder that holds these data sets"
    print(f"{place}, in the CoOp layout\nother data: {FORMS}", file=sys.stderr)


@data_app.command(epilog="Example:  ipo data check folder:pets --clip ViT-B-16/openai")
def check(
    spec: Spec,
    clip: Annotated[
        str | None,
        typer.Option(help="also check class names against this CLIP's tokenizer, and whether words can help it"),
    ] = None,
    seed: Seed = 0,
) -> int:
    """Read every picture; count them, name the unreadable and the empty, find the same picture in two parts."""
    from ipo_prompts.experiments.data import check_data, load_data

    data = load_data(spec, seed=seed, whole=False)
    loaded, missing = _load(clip) if clip else (None, "--clip NAME does that")
    report = check_data(data, loaded, _Progress("read"))
    print(report.text())
    print(f"fingerprint {report.fingerprint}")
    if loaded is None:
        print(
            f"class names were not checked against a tokenizer, nor whether words can help; {missing}", file=sys.stderr
        )
    elif report.ok:
        _look(spec, data, loaded)
    else:
        print(
            "what the CLIP cannot tell apart was not looked at, nor whether words can help; repair the data first",
            file=sys.stderr,
        )
    if report.ok:
        if clip and loaded is None:
            print(f"the command below is for the CLIP that ships with ipo, as {clip} could not be loaded")
            clip = "embedded"
        _say_next(spec, data, clip)
    return 0 if report.ok else 1


def _load(name: str) -> tuple[Clip | None, str]:
    """Load a CLIP, or say why it cannot be; a name that no CLIP has is refused."""
    from ipo_prompts.metrics.clip import check_name, load_clip

    check_name(name)
    try:
        return load_clip(name), ""
    except InputError as error:
        return None, str(error)


def _look(spec: str, data: DataSet, clip: Clip) -> None:
    """Print what the CLIP cannot tell apart, and whether words can be expected to help."""
    from ipo_prompts.experiments.data.alike import alike
    from ipo_prompts.experiments.run.beforehand import of_data
    from ipo_prompts.experiments.run.config import RunConfig

    with _or_why_not("what the CLIP cannot tell apart"):
        if lines := alike(data, clip, _Progress("encoded")):
            print("\n" + "\n".join(lines))
    with _or_why_not("whether words can help"):
        seen = of_data(data, clip, RunConfig(data=spec, clip=clip.name), _Progress("encoded"))
        if seen.headroom is None:
            raise InputError("there is one class")
        others = f" and {seen.held_back} that choose its winner" if seen.held_back else ""
        print(f"\n{seen.headroom.verdict}")
        print(f"looked at {seen.searched} pictures that a run searches on{others}; no test picture was scored")
        print("\n".join(f"  {line}" for line in seen.headroom.lines))


@contextmanager
def _or_why_not(what: str) -> Iterator[None]:
    """Print why something was not looked at; the rest of the check stands."""
    try:
        yield
    except InputError as error:
        print(f"{what} was not looked at: {error}", file=sys.stderr)


def _say_next(spec: str, data: DataSet, clip: str | None) -> None:
    """Print the command that runs on these pictures, or why none can."""
    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.experiments.run.plan import draw_for, with_shots_that_fit

    clip = clip or ("embedded" if spec.startswith("embedded") else "ViT-B-16/openai")
    config = with_shots_that_fit(data, RunConfig(data=spec, clip=clip))
    try:
        draw_for(data, config)
    except InputError as error:
        print(f"a run cannot search on it: {error}")
        return
    wanted = config.model_dump(include={"shots", "selection_shots"}, exclude_defaults=True)
    shots = [f"{key}={value}" for key, value in wanted.items()]
    print("next: " + shlex.join(["ipo", "optimize", spec, "--clip", clip, *shots]))


@data_app.command(epilog="Example:  ipo data preview eurosat --out eurosat.png")
def preview(
    spec: Spec,
    out: Annotated[Path | None, typer.Option(help="the PNG to write; default preview-NAME.png", metavar="FILE")] = None,
    part: Part = "train",
    seed: Seed = 0,
) -> None:
    """Draw a few pictures of each class on one sheet; of many classes, some, evenly spaced."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.data.check import contact_sheet, save_sheet
    from ipo_prompts.experiments.data.dataset import PARTS

    chosen = one_of("part", part, PARTS)
    data = load_data(spec, seed=seed, whole=False)
    path = out or Path(f"preview-{re.sub(r'[^A-Za-z0-9_.-]+', '-', data.name)}.png")
    sheet = contact_sheet(data, chosen)
    save_sheet(sheet, path)
    for reason in sheet.unreadable:
        print(f"not drawn: {reason}", file=sys.stderr)
    print(f"{path}: {sheet.pictures} {chosen} pictures of {sheet.classes} of {len(data.class_names)} classes")


class _Progress:
    """A line on stderr every ten seconds; `done` is what was done with the pictures."""

    def __init__(self, done: str) -> None:
        self._done = done
        self._spoke = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._spoke > 10:
            print(f"{done:,} of {total:,} pictures {self._done}", file=sys.stderr)
            self._spoke = time.monotonic()
