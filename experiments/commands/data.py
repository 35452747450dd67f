"""`ipo data`: look at a data set before it is used."""

from __future__ import annotations

from typing import Annotated

import typer

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check data sets.")


@data_app.callback()
def _group() -> None:
    """Check data sets."""


@data_app.command(epilog="Example:  ipo data check folder:pets --clip ViT-B-16/openai")
def check(
    spec: Annotated[str, typer.Argument(help="embedded[:NAME], folder:PATH, csv:PATH, parquet:PATH, hf:NAME")],
    clip: Annotated[str | None, typer.Option(help="also check class names against this CLIP's tokenizer")] = None,
    seed: Annotated[int, typer.Option(help="for data without parts of its own")] = 0,
) -> None:
    """Read every picture; count them, name the unreadable, find the same picture in two parts."""
    from ipo.experiments.data import check as check_data
    from ipo.experiments.data import load_data
    from ipo.metrics.clip import load_clip

    tokens = load_clip(clip) if clip else None
    data = load_data(spec, seed=seed)
    report = check_data(data, tokens)
    print(report.text())
    print(f"fingerprint {data.fingerprint()}")
    raise typer.Exit(0 if report.ok else 1)
