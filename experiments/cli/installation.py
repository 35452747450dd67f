"""The commands `ipo doctor`, `ipo models` and `ipo docs`: what is here, and how it is used.

`ipo doctor` says what is installed, which models and keys are there, and what a run would do and cost. `ipo models`
lists, fetches and deletes the weights of the local language models. `ipo docs` prints the pages of the documentation,
as they ship with the program: messages and help name a page as `ipo docs PAGE`. So a page is read in the version that
is installed, without a network.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Collection
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from ipo_prompts.experiments.cli.app import new_app
from ipo_prompts.experiments.cli.common import Clip, Data, Describer, Json, Lm, show
from ipo_prompts.experiments.run.files import PACKAGES, load_config
from ipo_prompts.metrics.errors import InputError, did_you_mean, to_install
from ipo_prompts.metrics.files import cache_dir
from ipo_prompts.programs.lm import weights

EXTRAS = {
    "local": ("xllamacpp",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "ray": ("ray",),
    "sklearn": ("scikit-learn",),
}
"""Name of an extra → the packages that the extra installs, as in pyproject.toml."""
KEYS = [f"{name}_API_KEY" for name in ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "OPENROUTER", "WANDB")]

app = new_app()
models_app = new_app("models", help="List, fetch and delete the weights of local language models.")
app.add_typer(models_app)

Name = Annotated[str, typer.Argument(help="small, base or large")]


@app.command()
def doctor(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="settings of `ipo optimize`")
    ] = None,
    lm: Lm = None,
    clip: Clip = None,
    describer: Describer = None,
    data: Data = None,
    as_json: Json = False,
) -> int:
    """Print what is installed, which extras are missing, which models and keys are there, and what a run would cost."""
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.experiments.run.plan import estimate, plan, tested_before
    from ipo_prompts.experiments.run.prepared import prepare
    from ipo_prompts.experiments.run.tested_before import state_dir
    from ipo_prompts.metrics.text_tower import text_path

    findings: dict[str, Any] = {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "extras": _extras(),
        "cache": _posted(cache_dir()),
        "tests": f"counted in {_posted(state_dir())}",
        "free disk": _free(cache_dir()),
        "local models": {name: "here" if weights.find(name) else "not here" for name in weights.MODELS},
        "keys": {name: "set" if os.environ.get(name) else "not set" for name in KEYS},
    }
    try:
        config = load_config(None, words or [], to_run=True, lm=lm, clip=clip, describer=describer, data=data)
        planned = plan(config, say=lambda line: print(line, file=sys.stderr))
        prepared = prepare(planned, Ui(config.steps, quiet=True))
        findings |= {
            "device": prepared.clip.device,
            "clip": f"{prepared.clip.name}, context {prepared.clip.context_length} tokens",
            "text path": text_path(prepared.clip.model),
            "data": f"{planned.data.name}, {len(planned.data.class_names)} classes",
            "would run": estimate(planned) | {"tested_before": tested_before(planned)},
            "problem": None,
        }
    except InputError as error:
        findings["problem"] = str(error)
    show(findings, _text, as_json)
    return 1 if findings["problem"] else 0


def _posted(folder: Path) -> str:
    """Return a path without the name of a person, since findings are posted."""
    return str(folder).replace(f"{os.path.expanduser('~')}/", "~/", 1)  # noqa: PTH111 - a path may hold no home


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _extras() -> dict[str, str]:
    found = {}
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if _version(name) == "not installed"]
        found[extra] = f"lacks {', '.join(missing)}: {to_install(extra)}" if missing else "here"
    return found


def _free(folder: Path) -> str:
    """Return, as a text, the free disk space at the place where the cache is or will be."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return f"{shutil.disk_usage(there).free / 1e9:.1f} GB for the cache"


def _text(findings: dict[str, Any]) -> str:
    from ipo_prompts.experiments.cli.optimize import forecast_text

    lines = []
    for name, value in findings.items():
        if name == "would run":
            lines.append(forecast_text(value))
        elif isinstance(value, dict):
            between = "; " if name == "extras" else ", "
            lines.append(f"{name:13} " + between.join(f"{key} {state}" for key, state in value.items()))
        elif name != "problem":
            lines.append(f"{name:13} {value}")
    lines.append(f"problem       {findings['problem']}" if findings["problem"] else "this job would run.")
    return "\n".join(lines)


@models_app.command("list")
def list_models() -> None:
    """List the models with size and licence, and whether the weights are on this machine."""
    for name, model in weights.MODELS.items():
        state = "here" if weights.find(name) else "not here"
        print(f"{name:6} {model.size_bytes / 1e6:7.0f} MB  {model.licence:11} {state:9} {model.title}")


@models_app.command("pull")
def pull_weights(name: Name) -> None:
    """Fetch the weights and check their hash."""
    print(weights.pull(name, partial(print, file=sys.stderr)))


@models_app.command("remove")
def remove_weights(name: Name) -> None:
    """Delete the weights."""
    weights.remove(name)


KINDS = ("tutorial", "how-to", "reference", "explanation", "evidence")
"""The folders of pages, in the order in which a newcomer needs them."""


@app.command()
def docs(
    page: Annotated[str | None, typer.Argument(help="the name of a page; without a name, all names are listed")] = None,
) -> None:
    """Print a page of the documentation, or list the pages."""
    root = Path(str(files("ipo_prompts"))) / "docs"
    pages = {file.stem: file for kind in KINDS for file in sorted((root / kind).glob("*.md"))}
    if page is None:
        for kind in KINDS:
            print(kind)
            for name, file in pages.items():
                if file.parent.name == kind:
                    print(f"  {name:<18} {title(file)}")
        print("\nRead one: ipo docs PAGE")
    elif page in pages:
        page_out(readable(pages[page].read_text(encoding="utf-8"), pages))
    else:
        raise InputError(f"no page {page!r}{did_you_mean(page, pages)}; `ipo docs` lists all pages.")


def title(file: Path) -> str:
    """Return the heading of a page."""
    with file.open(encoding="utf-8") as lines:
        return next(lines, "").removeprefix("# ").strip()


def readable(text: str, pages: Collection[str]) -> str:
    """Return a page with commands in place of links to pages, and without what does not ship with the program."""

    def told(link: re.Match[str]) -> str:
        image, label, target = link.groups()
        name = Path(target.partition("#")[0])
        if "://" in target:
            return link[0]
        if not image and name.suffix == ".md" and name.stem in pages:
            return f"{label} (`ipo docs {name.stem}`)" if label != name.name else f"`ipo docs {name.stem}`"
        return label

    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    for index in range(0, len(parts), 2):
        for _ in range(2):  # an image may be the label of a link
            parts[index] = re.sub(r"(!?)\[([^\[\]]*)\]\(([^)\s]+)\)", told, parts[index])
    return "".join(parts)


def page_out(text: str) -> None:
    """Print Markdown as it is, or, in a terminal, set it and page it."""
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager():
        console.print(Markdown(text.replace("\\<", "<")))
