"""The commands `ipo doctor` and `ipo models`.

`ipo doctor` says what is installed, which models and keys are there, and what a run would do and cost. `ipo models`
lists, fetches and deletes the weights of the local language models.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from ipo_prompts.experiments.cli.common import Clip, Data, Describer, Json, Lm, show
from ipo_prompts.metrics.errors import InputError, money, to_install

EXTRAS = {
    "local": ("xllamacpp",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "ray": ("ray",),
    "sklearn": ("scikit-learn",),
}
"""Name of an extra → the packages that the extra installs, as in pyproject.toml."""
KEYS = [f"{name}_API_KEY" for name in ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "OPENROUTER", "WANDB")]

models_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List, fetch and delete the weights of local language models."
)

Name = Annotated[str, typer.Argument(help="small, base or large")]


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
    from ipo_prompts.experiments.run.files import PACKAGES, load_config
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.experiments.run.plan import estimate, plan
    from ipo_prompts.experiments.run.prepared import prepare
    from ipo_prompts.metrics.files import cache_dir
    from ipo_prompts.metrics.text_tower import text_path
    from ipo_prompts.programs.lm import weights

    findings: dict[str, Any] = {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "extras": _extras(),
        "cache": str(cache_dir()).replace(f"{os.path.expanduser('~')}/", "~/", 1),  # noqa: PTH111 - no name of a person is posted
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
            "would run": estimate(planned),
            "problem": None,
        }
    except InputError as error:
        findings["problem"] = str(error)
    show(findings, _text, as_json)
    return 1 if findings["problem"] else 0


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
    lines = []
    for name, value in findings.items():
        if name == "would run":
            for role in ("optimizer", "describer"):
                if part := value[role]:
                    tokens = part["tokens_in"] + part["tokens_out"]
                    calls = f"about {part['calls']} calls, {tokens:,} tokens, {money(part['usd'])}"
                    lines.append(f"{role:13} {part['name']}: {calls}")
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
    from ipo_prompts.programs.lm import weights

    for name, model in weights.MODELS.items():
        state = "here" if weights.find(name) else "not here"
        print(f"{name:6} {model.size_bytes / 1e6:7.0f} MB  {model.licence:11} {state:9} {model.title}")


@models_app.command("pull")
def pull_weights(name: Name) -> None:
    """Fetch the weights and check their hash."""
    from ipo_prompts.programs.lm import weights

    print(weights.pull(name, partial(print, file=sys.stderr)))


@models_app.command("remove")
def remove_weights(name: Name) -> None:
    """Delete the weights."""
    from ipo_prompts.programs.lm import weights

    weights.remove(name)
