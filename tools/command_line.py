"""Generates the reference of the command line, in Markdown, from the commands and the settings.

python -m tools.command_line > docs/reference/command-line.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import typer

from ipo_prompts.experiments.cli.app import app
from ipo_prompts.experiments.run.config import FREE_KEYS, dotted, settings
from ipo_prompts.experiments.run.files import build

HEAD = """# Command line

Results go to stdout, progress and messages to stderr.
[Exit codes](results-files.md#exit-codes) say how a command ended.

`-h` or `--help` works after every command; `ipo optimize --help-all` also lists rare settings. `ipo --version` prints
the version. After `ipo --install-completion` the Tab key completes commands and flags in your shell.
"""

SETTINGS = """## Settings

Write settings as `key=value` on the command line (`ipo optimize steps=50`), or into a YAML file
(`ipo optimize my.yaml`). If both set a key, the command line wins. `preset=paper` and `preset=code` start from the
published settings; an empty cell means the default. You may change settings marked * when you resume a run.
"""


def reference() -> str:
    """Return the page."""
    command = typer.main.get_command(app)
    return "\n".join([HEAD, *_sections(command, "ipo"), SETTINGS, *_settings()])


def _sections(command: Any, path: str) -> Iterator[str]:
    """Yield a section for each command, including the commands of groups."""
    below = getattr(command, "commands", None)
    if below:
        for name, child in below.items():
            yield from _sections(child, f"{path} {name}")
        return
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    words = [path, *map(_name, arguments), *(["[OPTIONS]"] if options else [])]
    yield f"## `{path}`\n\n{command.help}\n\n```text\n{' '.join(words)}\n```\n"
    if command.params:
        rows = [(f"`{_name(param)}`", _text(_meaning(param))) for param in [*arguments, *options]]
        yield "\n".join(_table(("", "meaning"), rows))
    if command.epilog:
        yield f"```text\n{_examples(command.epilog)}\n```\n"


def _settings() -> Iterator[str]:
    presets = [dotted(build({"preset": name}, where="the reference").model_dump()) for name in ("paper", "code")]
    rows = []
    for one in settings():
        values = [preset.get(one.name, one.default) for preset in presets]
        differ = ["" if one.name == "preset" or value == one.default else f"`{_value(value)}`" for value in values]
        untold = [value for value in one.allowed if f"{value}:" not in one.description]
        allowed = f" ({', '.join(one.allowed)})" if len(untold) > 1 else ""
        star = " *" if one.name in FREE_KEYS else ""
        rows.append((f"`{one.name}`{star}", f"`{_value(one.default)}`", *differ, _text(one.description + allowed)))
    yield from _table(("setting", "default", "paper", "code", "meaning"), rows)


def _name(param: Any) -> str:
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper() + ("…" if param.nargs == -1 else ""))
    names = ", ".join(param.opts)
    return names if param.is_flag else f"{names} {param.metavar or param.name.strip('_').upper()}"


def _meaning(param: Any) -> str:
    """Return the help text with typer's additions: "required", or the default."""
    text = param.help or ""
    if param.required:
        return f"{text}; required" if param.param_type_name == "option" else text
    given = param.default
    known = isinstance(given, (str, int, float)) and not isinstance(given, bool)
    return f"{text}; default {given}" if known else text


def _examples(epilog: str) -> str:
    _, _, examples = epilog.partition(":")
    return "\n".join(line.strip() for line in examples.strip().splitlines())


def _value(value: Any) -> str:
    """Write a value as the command line takes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = tuple(head)
    for row in (head, ("---",) * len(head), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _text(text: str) -> str:
    """Return the text with `<` escaped, which Markdown would take for a tag."""
    return text.replace("<", "\\<")


if __name__ == "__main__":
    print(reference().rstrip())
