"""The commands `ipo data …`: list and check data sets before a run uses them."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ipo_prompts.experiments.cli.common import DataWords, about_data, meaning, read_about
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import DataSet

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List and check data sets.")

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
) -> int:
    """Read and count all pictures; report unreadable pictures, empty classes and copies."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.data.check import check_data
    from ipo_prompts.experiments.data.sources import own
    from ipo_prompts.metrics.clip import check_name, load_clip

    about = about_data(read_about(words, "data check"))
    own.allow(spec)
    data = load_data(spec, seed=seed, whole=False, **about)
    if clip:
        check_name(clip)
    loaded = load_clip(clip) if clip else None
    report = check_data(data, loaded, _Progress("read"))
    print(report.text())
    print(f"fingerprint {report.fingerprint}")
    if loaded is None:
        print("not checked: class names with a tokenizer; --clip NAME checks them", file=sys.stderr)
    if report.ok:
        _say_next(spec, data, clip, words or [])
    return 0 if report.ok and not data.unnamed else 1  # a data set that has only test pictures is sound


def _say_next(spec: str, data: DataSet, clip: str | None, words: list[str]) -> None:
    """Print the command that searches on these pictures, or the reason why no run can search on them."""
    from ipo_prompts.experiments.data.wordnet import refuse_codes
    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.experiments.run.plan import choices

    clip = clip or ("embedded" if spec.startswith("embedded") else "ViT-B-16/openai")
    try:
        print("\n".join(choices(data, RunConfig(data=spec, clip=clip))))
        refuse_codes(data)
    except InputError as error:
        print(f"a run cannot search on these data: {error}")
        return
    print("next: " + shlex.join(["ipo", "optimize", "--data", spec, "--clip", clip, "--lm", "none", *words]))


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
