"""`ipo.evaluate(…)`: the command `ipo evaluate` as one call from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.data import load_data, sources
from ipo_prompts.experiments.data.dataset import Part, left_out
from ipo_prompts.experiments.data.names import names_in_words
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import allow_typed, build
from ipo_prompts.experiments.tasks import REWARDS, check_fractions
from ipo_prompts.metrics.clip import check_name
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import check_slot, check_template


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The scores of templates. `print` shows the table that the command line prints.

    Attributes:
        content: all numbers, as `ipo evaluate --json` prints them: `data`, `part`, `clip`, `fingerprint`, `measure`,
            and for each of the `templates` its `value` (a fraction), `loss`, `n`, `ci95` and `difference_to_first`.
    """

    content: dict[str, Any]

    def __str__(self) -> str:
        from ipo_prompts.metrics.verdict import points

        rows = self.content["templates"]
        measure = self.content["measure"]
        lines = [f"{measure:>8}  {'95 % interval':>15}  {'loss':>7}  {'n':>6}  {'to the first':>24}  template"]
        for row in rows:
            low, high = row["ci95"]
            gain = row["difference_to_first"]
            difference = f"{points(gain['mean'])} [{points(gain['ci95'][0])}, {points(gain['ci95'][1])}]"
            lines.append(
                f"{100 * row['value']:{max(8, len(measure))}.2f}  {f'[{100 * low:.2f}, {100 * high:.2f}]':>15}  "
                f"{row['loss']:7.4f}  "
                f"{row['n']:6,}  {difference if row is not rows[0] else '':>24}  {row['template']}"
            )
        return "\n".join(lines)


def evaluate(
    templates: Sequence[str],
    data: str = "embedded",
    *,
    clip: str = "embedded",
    device: str = "auto",
    part: Part = "val",
    quiet: bool = True,
    **settings: Any,
) -> Evaluation:
    """Score templates on a part of the data, and compare each with the first. This is `ipo evaluate`.

    Args:
        templates: the templates.
        data: the images, as in `--data`: `folder:PATH`, `table:PATH`, ….
        clip: the CLIP.
        device: where it runs.
        part: the part of the data. With `test` this is a test, which is counted as that of a run is.
        quiet: whether to print nothing; see `optimize`.
        **settings: settings that describe data, and `reward`, by name.

    Raises:
        InputError: an argument is bad, or a template does not fit the CLIP.
    """
    allow_typed(settings)
    about = build({"data": data, **settings}, "the call of ipo.evaluate")
    return measure(templates, about, clip, device, part, quiet=quiet)


def measure(
    templates: Sequence[str], about: RunConfig, clip: str, device: str, part: Part, *, quiet: bool
) -> Evaluation:
    """Score templates; `about` describes the data and the reward. For the rest see `evaluate`."""
    sources.allow(about.data)
    for one in templates:
        check_slot(one)
    check_name(clip)
    drawn = load_data(about.data, **about.about_data)
    # The imports below take seconds, so the checks above come first.
    from ipo_prompts.experiments.run.live_view import Logged, Ui
    from ipo_prompts.experiments.run.plan import SPLIT_SEED
    from ipo_prompts.experiments.run.prepared import loaded
    from ipo_prompts.experiments.run.tested_before import count, name_of, told
    from ipo_prompts.metrics.evidence import SAME, paired_difference, score_interval
    from ipo_prompts.metrics.features import FeatureStore, contents
    from ipo_prompts.metrics.reward import scale_of
    from ipo_prompts.metrics.verdict import judge, no_test
    from ipo_prompts.programs.scoring import units_of

    task = REWARDS.build(about.reward)
    items = drawn.part(part)
    if not items:
        raise InputError(f"{drawn.name} has no {part} images; choose another --part.")
    encoder = loaded(clip, device)
    for one in templates:
        check_template(one, drawn.class_names, encoder)
    ui = (Logged if quiet else Ui)(0, quiet=quiet)
    for line in filter(None, (names_in_words(drawn), left_out(drawn))):
        ui.say(line)
    told_of = {"data": drawn.name, "part": part, "clip": encoder.name, "fingerprint": encoder.fingerprint}
    reward = task.reward(encoder, drawn.class_names, FeatureStore(encoder))
    check_fractions(scale_of(reward), f"reward={about.reward['name']}")
    with ui.running():
        encoded = task.encode(reward, items, seed=SPLIT_SEED, progress=ui.images(part))
    scores = reward.score(templates, encoded.units)
    first = scores[0]
    how = encoded.sampling(first.n)
    effects = {
        i: SAME if score.template == first.template else paired_difference(first.hits, score.hits, how)
        for i, score in enumerate(scores)
    }
    verdicts = judge(effects, "with the first template")
    if part == "test":
        answers = [[score.template, units_of(score)] for score in scores]
        if times := count(name_of(answers), contents([item.image for item in items])):
            ui.say(told(times))
            verdicts = {i: no_test(effect, told(times)) for i, effect in effects.items()}
    rows = [
        {
            "template": score.template,
            "value": round(score.value, 6),
            "loss": round(score.loss, 6),
            "n": score.n,
            "ci95": [round(end, 6) for end in score_interval(score.hits, how)],
            "difference_to_first": verdicts[i].model_dump(mode="json"),
        }
        for i, score in enumerate(scores)
    ]
    return Evaluation({"schema": 3, **told_of, "measure": task.measure, "templates": rows})
