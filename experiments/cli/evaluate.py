"""`ipo evaluate`: score given templates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipo_prompts.experiments.cli.options import Clip, Data, Device, Json, Part, Seed, examples, one_of
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.result import Comparison

EXAMPLES = examples("ipo evaluate --template 'a photo of a <CLASS>.' --template 'a sketch of a <CLASS>.'")


def evaluate(
    template: Annotated[list[str] | None, typer.Option(help="a template; may be given several times")] = None,
    templates_file: Annotated[Path | None, typer.Option(help="a text file, one template a line")] = None,
    data: Data = None,
    clip: Clip = None,
    device: Device = "auto",
    part: Part = "test",
    seed: Seed = None,
    as_json: Json = False,
) -> int:
    """Score templates on a data set; later ones are compared with the first."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.data.dataset import PARTS
    from ipo_prompts.experiments.run.comparison import compare
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.metrics.classification import ClipReward
    from ipo_prompts.metrics.clip import load_clip
    from ipo_prompts.metrics.sampling import Sampling
    from ipo_prompts.metrics.template import check, read_templates

    wanted = [*(template or []), *(read_templates(templates_file) if templates_file else ())]
    if not wanted:
        raise InputError("give at least one template, with --template or --templates-file.")
    chosen = one_of("part", part, PARTS)
    drawn = load_data(data or "embedded", seed=seed or 0)
    items = drawn.part(chosen)
    if not items:
        raise InputError(f"{drawn.name} has no {part} pictures.")
    encoder = load_clip(clip or "embedded", device)
    for one in wanted:
        check(one, drawn.class_names, encoder)
    reward = ClipReward(encoder, drawn.class_names)
    ui = Ui(0, quiet=as_json)
    pictures = reward.encode(
        [item.picture for item in items], [item.label for item in items], progress=ui.pictures(part)
    )
    scores = reward.score(wanted, pictures)
    how = Sampling.of(len(items), [item.label for item in items], [item.group for item in items])
    pairs = {str(i): (scores[0], score, how) for i, score in enumerate(scores)}
    compared = compare(pairs, sealed=pairs, family="with the first template")
    rows = [{"template": score.template, **_row(compared[str(i)])} for i, score in enumerate(scores)]
    if as_json:
        about = {"data": drawn.name, "part": part, "clip": encoder.name, "fingerprint": encoder.fingerprint}
        print(json.dumps({"schema": 2, **about, "templates": rows}, indent=2, ensure_ascii=False))
    else:
        print(_table(rows))
    return 0


def _row(compared: Comparison) -> dict[str, Any]:
    score = compared.optimised
    return {
        "accuracy": score.value,
        "loss": score.loss,
        "n": score.n,
        "ci95": list(score.ci95),
        "difference_to_first": compared.difference.model_dump(mode="json"),
    }


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
