"""`ipo models`: the weights of the local language models; other commands fetch them here when they are missing."""

from __future__ import annotations

from typing import Annotated

import typer

from ipo_prompts.metrics.errors import InputError

models_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The weights of the local language models.")

Name = Annotated[str, typer.Argument(help="small, base or large")]


@models_app.command("list")
def list_() -> None:
    """List the models: size, licence, whether they are here, and from where."""
    from ipo_prompts.programs.lm import weights

    for name, model in weights.MODELS.items():
        state = "here" if weights.find(name) else "not here"
        source = f", from {found}" if (found := weights.source(name)) else ""
        print(f"{name:6} {model.size_bytes / 1e6:7.0f} MB  {model.licence:11} {state:9} {model.title}{source}")


@models_app.command()
def pull(name: Name) -> None:
    """Fetch the weights and check their hash."""
    from ipo_prompts.experiments.run.live_view import pull_with_progress

    print(pull_with_progress(name))


@models_app.command()
def path(name: Name) -> None:
    """Print where the weights lie."""
    from ipo_prompts.programs.lm import weights

    found = weights.find(name)
    if found is None:
        raise InputError(f"the weights of {name} are not here; fetch them with `ipo models pull {name}`.")
    print(found)


@models_app.command()
def remove(name: Name) -> None:
    """Delete the weights."""
    from ipo_prompts.programs.lm import weights

    weights.remove(name)
