"""`ipo evaluate`: score given templates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipo.experiments.data import load_data
from ipo.experiments.run.live_view import Ui
from ipo.experiments.run.pipeline import clusters
from ipo.experiments.run.result import comparison
from ipo.metrics.clip import load_clip
from ipo.metrics.errors import InputError
from ipo.metrics.reward import ClipReward
from ipo.metrics.template import check


def run(
    templates: Sequence[str], file: Path | None, data_spec: str, clip_spec: str, part: str, seed: int, *, as_json: bool
) -> int:
    """Do what the command says; return the exit code."""
    wanted = [*templates, *read_templates(file)]
    if not wanted:
        raise InputError("give at least one template, with --template or --templates-file.")
    if part not in ("train", "val", "test"):
        raise InputError(f"there is no part {part!r}; it can be train, val or test.")
    data = load_data(data_spec, seed=seed)
    items = {"train": data.train, "val": data.val, "test": data.test}[part]
    if not items:
        raise InputError(f"{data.name} has no {part} pictures.")
    clip = load_clip(clip_spec)
    for template in wanted:
        check(template, data.class_names, clip)
    reward = ClipReward(clip, data.class_names)
    ui = Ui(0, quiet=as_json)
    pictures = reward.encode(
        [item.picture for item in items], [item.label for item in items], progress=ui.pictures(part)
    )
    scores = reward.score(wanted, pictures)
    groups = clusters(items, data)
    rows = [{"template": score.template, **_row(comparison(scores[0], score, groups))} for score in scores]
    if as_json:
        about = {"data": data.name, "part": part, "clip": clip.name, "fingerprint": clip.fingerprint}
        print(json.dumps({"schema": 1, **about, "templates": rows}, indent=2, ensure_ascii=False))
    else:
        print(_table(rows))
    return 0


def _row(compared: dict[str, Any]) -> dict[str, Any]:
    return {**compared["optimised"], "difference_to_first": compared["difference"]}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'accuracy':>8}  {'95 % interval':>15}  {'loss':>7}  {'n':>6}  {'to the first':>24}  template"]
    for row in rows:
        low, high = row["ci95"]
        gain = row["difference_to_first"]
        difference = f"{100 * gain['mean']:+.2f} [{100 * gain['ci95'][0]:+.2f}, {100 * gain['ci95'][1]:+.2f}]"
        lines.append(
            f"{100 * row['accuracy']:8.2f}  {f'[{100 * low:.2f}, {100 * high:.2f}]':>15}  {row['loss']:7.4f}  "
            f"{row['n']:6,}  {difference if row is not rows[0] else '':>24}  {row['template']}"
        )
    return "\n".join(lines)


def read_templates(file: Path | None) -> list[str]:
    """Return the templates of a text file, one a line.

    Raises:
        InputError: it cannot be read.
    """
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the templates in {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the templates in {file} are not UTF-8 text: {error}.") from error
    return [line.strip() for line in lines if line.strip()]
