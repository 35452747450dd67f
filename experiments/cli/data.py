"""The commands `ipo data …`: list, check and preview data sets before a run uses them."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipo_prompts.experiments.cli.common import DataWords, Part, about_data, look_first, make_room, meaning, read_about
from ipo_prompts.metrics.errors import InputError, several

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import DataSet
    from ipo_prompts.metrics.clip import Clip

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, check and preview data sets.")

Spec = Annotated[str, typer.Argument(help=meaning("data"))]
Seed = Annotated[int, typer.Option(help="seed of the split, for data without a split")]


@data_app.command("list")
def list_data() -> None:
    """List the known data sets with their official sizes, and say which are on this machine."""
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
        typer.Option(help="also check class names with this CLIP's tokenizer"),
    ] = None,
    seed: Seed = 0,
    words: DataWords = None,
    groups: Annotated[
        Path | None,
        typer.Option(help="also write a table in which near copies share a group; needs --clip", metavar="FILE"),
    ] = None,
) -> int:
    """Read and count all pictures; report unreadable pictures, empty classes and copies."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.data.assemble import about_bars
    from ipo_prompts.experiments.data.check import check_data
    from ipo_prompts.experiments.data.sources import own

    about = about_data(read_about(words, "data check"))
    if groups:
        _check_groups(groups, spec, clip)
    own.allow(spec)
    data = load_data(spec, seed=seed, whole=False, **about)
    if (bars := about_bars(data)) and not any(word.lstrip("-").startswith("labels=") for word in words or []):
        again = ["ipo", "data", "check", spec, *(words or []), "labels=several", *(["--clip", clip] if clip else [])]
        raise InputError(f"{bars}; check them so with `{shlex.join(again)}`, or keep such classes with labels=given.")
    loaded, missing = _load(clip) if clip else (None, "--clip NAME checks them")
    report = check_data(data, loaded, _Progress("read"))
    print(report.text())
    print(f"fingerprint {report.fingerprint}")
    if loaded is None:
        print(f"not checked: class names with a tokenizer; {missing}", file=sys.stderr)
    elif report.ok and (data.several or not data.labelled):
        if not data.labelled:
            from ipo_prompts.experiments.run.beforehand import about_unlabelled

            with _or_why_not("other names of the classes"):
                if lines := about_unlabelled(data, loaded, _Progress("encoded")):
                    print("\n" + "\n".join(lines))
        print("not checked: what the CLIP cannot tell apart, which needs one label a picture", file=sys.stderr)
    elif report.ok:
        _look(data, loaded)
        if groups:
            _write_groups(groups, spec, loaded)
    else:
        print("not checked: what the CLIP cannot tell apart; repair the data first", file=sys.stderr)
    if report.ok:
        if clip and loaded is None:
            print(f"the command below is for the demo CLIP, because {clip} could not be loaded")
            clip = "embedded"
        _say_next(spec, data, clip, words or [])
    return 0 if report.ok and not data.unnamed else 1  # a data set that has only test pictures is sound


def _load(name: str) -> tuple[Clip | None, str]:
    """Load the CLIP with this name.

    Returns:
        The CLIP and "". If it cannot be loaded, None and the reason.

    Raises:
        InputError: no CLIP has this name.
    """
    from ipo_prompts.metrics.clip import check_name, load_clip

    check_name(name)
    try:
        return load_clip(name), ""
    except InputError as error:
        return None, str(error)


def _look(data: DataSet, clip: Clip) -> None:
    """Print which pictures the CLIP cannot tell apart."""
    from ipo_prompts.experiments.data.near_copies import alike

    with _or_why_not("what the CLIP cannot tell apart"):
        if lines := alike(data, clip, _Progress("encoded")):
            print("\n" + "\n".join(lines))


def _check_groups(file: Path, spec: str, clip: str | None) -> None:
    """Check the use of --groups at once, because it would fail only after minutes.

    Raises:
        InputError: no CLIP is named, the data are not files, or the file exists or cannot be written.
    """
    if clip is None:
        raise InputError("--groups compares pictures as a CLIP sees them; name one, as in --clip ViT-B-16/openai.")
    if spec.partition(":")[0] not in ("folder", "table", "csv"):
        raise InputError(f"--groups writes a table of files, which {spec} is not; it takes folder:PATH or table:PATH.")
    look_first(out=file)
    if file.exists():
        raise InputError(f"{file} is there already; read it, or choose another --groups.")


def _write_groups(file: Path, spec: str, clip: Clip) -> None:
    """Write the table of groups, and print what is in the table. A run uses the table only if the user names it."""
    from ipo_prompts.experiments.data.near_copies import grouped_table
    from ipo_prompts.experiments.data.sources import SOURCES
    from ipo_prompts.experiments.run.files import write_text

    kind, _, rest = spec.strip().partition(":")
    source = SOURCES[kind].gather(rest.strip())
    table, told = grouped_table(source, clip, _Progress("encoded"))
    if not told:
        print(f"\nno pictures look like near copies; {file} was not written")
        return
    write_text(make_room(file), table)
    print(f"\n{told}: {file} proposes them as groups; no run uses this table by itself")
    print(f"check its column group, correct it, and search on it with --data {shlex.quote(f'table:{file}')}")
    if source.names:
        print("a table does not read classes.yaml: give its names of classes as class_names='{CLASS: NAME}'")


@contextmanager
def _or_why_not(what: str) -> Iterator[None]:
    """Within the block, turn an InputError into a message that says why `what` was not checked. The check goes on."""
    try:
        yield
    except InputError as error:
        print(f"not checked: {what}: {error}", file=sys.stderr)


def _say_next(spec: str, data: DataSet, clip: str | None, words: list[str]) -> None:
    """Print the command that searches on these pictures, or the reason why no run can search on them."""
    from ipo_prompts.experiments.data.wordnet import refuse_codes
    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.experiments.run.plan import choices

    clip = clip or ("embedded" if spec.startswith("embedded") else "ViT-B-16/openai")
    try:
        print("\n".join(choices(data, RunConfig(data=spec, clip=clip))))
        refuse_codes(data, spec, clip)
    except InputError as error:
        print(f"a run cannot search on these data: {error}")
        return
    print("next: " + shlex.join(["ipo", "optimize", "--data", spec, "--clip", clip, "--lm", "none", *words]))


@data_app.command(epilog="Example:  ipo data names folder:scans --clip ViT-B-16/openai")
def names(
    spec: Spec,
    clip: Annotated[
        str | None, typer.Option(help="also write the words that this CLIP finds nearest to the pictures")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="the file to write; default classes.yaml in the folder of pictures", metavar="FILE"),
    ] = None,
) -> None:
    """Write a classes.yaml to edit: the name of each class, or a gap if the name is a code."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.data.dataset import NAMES_FILE
    from ipo_prompts.experiments.data.sources import own
    from ipo_prompts.experiments.data.wordnet import names_to_edit, nearest_words
    from ipo_prompts.experiments.run.files import write_text
    from ipo_prompts.metrics.clip import load_clip

    own.allow(spec)
    data = load_data(spec, seed=0, whole=False)
    kind, _, rest = spec.partition(":")
    path = out or Path(rest if kind == "folder" else ".").expanduser() / NAMES_FILE
    if path.exists():
        raise InputError(f"{path} is there already; edit it, or choose another --out.")
    near = nearest_words(data, data.unnamed, load_clip(clip)) if clip and data.unnamed else {}
    text = names_to_edit(data, near)
    write_text(make_room(path), text if kind == "folder" else "class_names:\n" + textwrap.indent(text, "  "))
    gaps = len(data.unnamed)
    print(f"{path}: {len(data.class_names)} classes, {gaps} without a name" + ("; write one for each" if gaps else ""))
    if kind != "folder":
        print(f"next: {shlex.join(['ipo', 'optimize', str(path), '--data', spec])}")


@data_app.command(epilog="Example:  ipo data preview eurosat --out eurosat.png")
def preview(
    spec: Spec,
    words: DataWords = None,
    out: Annotated[Path | None, typer.Option(help="the PNG to write; default preview-NAME.png", metavar="FILE")] = None,
    part: Part = "train",
    seed: Seed = 0,
) -> None:
    """Put a few pictures of each class on one sheet. Of many classes only some are shown."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.data.check import contact_sheet
    from ipo_prompts.experiments.data.dataset import empty_classes
    from ipo_prompts.experiments.data.sources import own
    from ipo_prompts.experiments.run.files import write_bytes

    own.allow(spec)
    data = load_data(spec, seed=seed, whole=False, **about_data(read_about(words, "data preview")))
    look_first(out=out)
    path = out or Path(f"preview-{re.sub(r'[^A-Za-z0-9_.-]+', '-', data.name)}.png")
    if path.suffix.lower() != ".png":
        raise InputError(f"a contact sheet is a PNG and {path} does not end in .png; choose another --out.")
    sheet = contact_sheet(data, part)
    write_bytes(make_room(path), sheet.png())
    for reason in sheet.unreadable:
        print(f"not drawn: {reason}", file=sys.stderr)
    if empty := [repr(str(data.class_names[label])) for label in empty_classes(data)]:
        print(f"without pictures: {several(empty)}", file=sys.stderr)
    of = f", {sheet.classes} of {len(data.class_names)} classes" if data.labelled else " without labels"
    print(f"{path}: {sheet.pictures} of {len(data.part(part))} {part} pictures{of}")


class _Progress:
    """Prints a line about progress on stderr, every ten seconds.

    The argument `done` of the constructor is a word for what happens to the pictures, such as `read`.
    """

    def __init__(self, done: str) -> None:
        self._done = done
        self._spoke = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._spoke > 10:
            print(f"{done:,} of {total:,} pictures {self._done}", file=sys.stderr)
            self._spoke = time.monotonic()
