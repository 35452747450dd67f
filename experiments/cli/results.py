"""The commands `ipo evaluate`, `ipo report` and `ipo export`.

`ipo evaluate` scores templates, `ipo report` makes the page of a run, `ipo export` writes a program for other tools.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ipo_prompts.experiments.cli.app import new_app, note
from ipo_prompts.experiments.cli.common import (
    Clip,
    Data,
    Device,
    Json,
    Part,
    Program,
    examples,
    look_first,
    read_about,
    show,
)
from ipo_prompts.experiments.data import load_data, sources
from ipo_prompts.experiments.data.dataset import left_out
from ipo_prompts.experiments.data.names import names_in_words
from ipo_prompts.experiments.data.sources import find_pictures
from ipo_prompts.experiments.tasks import REWARDS, check_fractions
from ipo_prompts.metrics.clip import check_name, load_clip
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.files import refuse_taken
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import check_slot, check_template, read_templates

EVALUATE = examples("ipo evaluate --template 'a photo of a <CLASS>.' --template 'a sketch of a <CLASS>.'")
REPORT = examples("ipo report runs/RUN", "ipo report runs/first-look/cells.jsonl.gz")
EXPORT = examples(
    "ipo export runs/RUN --to open_clip --out pets-open_clip", "ipo export runs/RUN --to onnx --out pets-onnx"
)

app = new_app()


@app.command("evaluate", epilog=EVALUATE)
def evaluate_templates(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[key=value …]",
            help="class_names=names.yaml, exclude='[CLASS, …]', label=COLUMN, reward=NAME or MODULE:CLASS of your own",
        ),
    ] = None,
    template: Annotated[list[str] | None, typer.Option(help="a template; may be given several times")] = None,
    templates_file: Annotated[Path | None, typer.Option(help="a text file, one template a line")] = None,
    data: Data = None,
    clip: Clip = None,
    device: Device = "auto",
    part: Part = "val",
    as_json: Json = False,
) -> int:
    """Score templates on validation pictures, and compare each with the first. `--part test` is a test as of a run."""
    look_first(what="the file of templates", files=[templates_file] if templates_file else [])
    wanted = [*(template or []), *(read_templates(templates_file) if templates_file else ())]
    if not wanted:
        raise InputError("give at least one template, with --template or --templates-file.")
    config = read_about(words, "evaluate", "reward")
    sources.allow(data)
    for one in wanted:
        check_slot(one)
    check_name(clip or "embedded")
    drawn = load_data(data or "embedded", **config.about_data)
    # The imports below take seconds, so the checks above come first.
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.experiments.run.plan import SPLIT_SEED
    from ipo_prompts.experiments.run.prepared import offering_demo
    from ipo_prompts.experiments.run.tested_before import count, name_of, told
    from ipo_prompts.metrics.evidence import SAME, paired_difference, score_interval
    from ipo_prompts.metrics.features import FeatureStore, contents
    from ipo_prompts.metrics.reward import scale_of
    from ipo_prompts.metrics.verdict import judge, no_test
    from ipo_prompts.programs.scoring import units_of

    task = REWARDS.build(config.reward)
    items = drawn.part(part)
    if not items:
        raise InputError(f"{drawn.name} has no {part} pictures; choose another --part.")
    with offering_demo():
        encoder = load_clip(clip or "embedded", device)
    for one in wanted:
        check_template(one, drawn.class_names, encoder)
    ui = Ui(0, quiet=as_json)
    for line in filter(None, (names_in_words(drawn), left_out(drawn))):
        ui.say(line)
    about = {"data": drawn.name, "part": part, "clip": encoder.name, "fingerprint": encoder.fingerprint}
    reward = task.reward(encoder, drawn.class_names, FeatureStore(encoder))
    check_fractions(scale_of(reward), f"reward={config.reward['name']}")
    with ui.running():
        encoded = task.encode(reward, items, seed=SPLIT_SEED, progress=ui.pictures(part))
    scores = reward.score(wanted, encoded.units)
    how = encoded.sampling(scores[0].n)
    first = scores[0]
    effects = {
        i: SAME if score.template == first.template else paired_difference(first.hits, score.hits, how)
        for i, score in enumerate(scores)
    }
    verdicts = judge(effects, "with the first template")
    if part == "test":
        answers = [[score.template, units_of(score)] for score in scores]
        if times := count(name_of(answers), contents([item.picture for item in items])):
            ui.say(told(times))
            verdicts = {i: no_test(effect, told(times)) for i, effect in effects.items()}
    rows = [
        {
            "template": score.template,
            task.measure.replace(" ", "_"): round(score.value, 6),
            "loss": round(score.loss, 6),
            "n": score.n,
            "ci95": [round(end, 6) for end in score_interval(score.hits, how)],
            "difference_to_first": verdicts[i].model_dump(mode="json"),
        }
        for i, score in enumerate(scores)
    ]
    show({"schema": 2, **about, "measure": task.measure, "templates": rows}, _table, as_json)
    return 0


def _table(content: dict[str, Any]) -> str:
    rows = content["templates"]
    measure = content["measure"]
    key = measure.replace(" ", "_")
    lines = [f"{measure:>8}  {'95 % interval':>15}  {'loss':>7}  {'n':>6}  {'to the first':>24}  template"]
    for row in rows:
        low, high = row["ci95"]
        gain = row["difference_to_first"]
        difference = f"{100 * gain['mean']:+.2f} [{100 * gain['ci95'][0]:+.2f}, {100 * gain['ci95'][1]:+.2f}]"
        lines.append(
            f"{100 * row[key]:{max(8, len(key))}.2f}  {f'[{100 * low:.2f}, {100 * high:.2f}]':>15}  "
            f"{row['loss']:7.4f}  "
            f"{row['n']:6,}  {difference if row is not rows[0] else '':>24}  {row['template']}"
        )
    return "\n".join(lines)


@app.command(epilog=REPORT)
def report(
    run: Annotated[Path, typer.Argument(help="a run directory, or a cells.jsonl.gz", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="the file to write; default RUN/report.html", metavar="FILE")] = None,
) -> int:
    """Make a page that explains a run.

    For a file of cells from `ipo benchmark`, print the tables and the digest of the file; with --out, the name of a
    folder, also write them.
    """
    if run.name.endswith(".jsonl.gz"):
        from ipo_prompts.experiments.compare.documents import tables_of_file

        tables_of_file(run, out)
        return 0
    look_first([run], out=out)
    from ipo_prompts.experiments.report.page import read_run, run_page
    from ipo_prompts.experiments.run.answer import PAGE, summary
    from ipo_prompts.experiments.run.files import write_text

    finished = read_run(run)
    file = out or run / PAGE
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, run_page(finished))
    print(summary(finished.result, finished.config, run))
    print(file)
    return 0


@app.command("export", epilog=EXPORT)
def export_program(
    program: Program,
    to: Annotated[
        str,
        typer.Option(help="open_clip, head, onnx or program.json", metavar="TARGET"),
    ],
    out: Annotated[Path, typer.Option(help="the new file or folder to write", metavar="PATH")],
    pictures: Annotated[
        Path | None,
        typer.Option(help="pictures to check the export with; default pictures that ship with IPO", metavar="PATH"),
    ] = None,
) -> int:
    """Export an optimised program to another tool, and check the export with that tool's own library."""
    look_first([program], "the picture", [pictures] if pictures else [], out)
    refuse_taken(out)
    from ipo_prompts.experiments.export.base import export
    from ipo_prompts.experiments.export.targets import TARGETS
    from ipo_prompts.programs.classifier import TemplateClassifier

    if to not in TARGETS:
        raise InputError(f"there is no target {to!r}{did_you_mean(to, TARGETS)}; it can be {', '.join(TARGETS)}.")
    target = TARGETS[to]
    compared = _pictures(pictures)
    exported = TemplateClassifier.from_file(program)
    told = export(exported, target, out, compared)
    for limit in target.limits(exported, program):
        note(limit)
    print(f"wrote {out} for {to}; {told}\n{target.use}")
    return 0


def _pictures(folder: Path | None) -> list[Picture]:
    """Return the pictures of a folder, or one picture file; for None, the search pictures that ship with IPO.

    Test pictures are not used, so that they stay sealed.
    """
    if folder is None:
        found = [item.picture for item in load_data("embedded", seed=0).train]
    else:
        found = [Picture.from_path(file) for file in find_pictures(folder)]
    if not found:
        raise InputError(f"there are no pictures in {folder}; name another folder with --pictures, or leave it out.")
    return found
