"""What is done with templates and runs: `ipo evaluate`, `ipo predict`, `ipo report` and `ipo export`."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipo_prompts.experiments.cli.common import (
    Clip,
    Data,
    DataWords,
    Device,
    Json,
    Part,
    Program,
    Seed,
    Trust,
    about_data,
    examples,
    fail,
    note,
    one_of,
    show,
)
from ipo_prompts.metrics.errors import InputError, did_you_mean, printable

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import DataSet
    from ipo_prompts.experiments.export import Target
    from ipo_prompts.experiments.run.labelling import Answer
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.metrics.clip import Clip as LoadedClip
    from ipo_prompts.metrics.head import Head
    from ipo_prompts.metrics.pictures import Picture
    from ipo_prompts.metrics.rejection import Threshold
    from ipo_prompts.programs.classifier import TemplateClassifier

EVALUATE = examples("ipo evaluate --template 'a photo of a <CLASS>.' --template 'a sketch of a <CLASS>.'")
PREDICT = examples(
    "ipo predict runs/RUN holiday/",
    "ipo predict runs/RUN holiday/ cat.jpg --format csv > labels.csv",
    "ipo predict runs/RUN holiday/ --reject 0.05 --top 3",
)
REPORT = examples("ipo report runs/RUN", "ipo report runs/ONE runs/OTHER --out both.html")
EXPORT = examples("ipo export runs/RUN --to open_clip --out pets-open_clip")


def evaluate(
    words: DataWords = None,
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
    drawn = load_data(data or "embedded", seed=seed or 0, **about_data(words, "evaluate"))
    items = drawn.part(chosen if drawn.labelled else "train")
    if not items:
        raise InputError(f"{drawn.name} has no {part} pictures.")
    encoder = load_clip(clip or "embedded", device)
    for one in wanted:
        check(one, drawn.class_names, encoder)
    ui = Ui(0, quiet=as_json)
    about = {"data": drawn.name, "part": part, "clip": encoder.name, "fingerprint": encoder.fingerprint}
    if not drawn.labelled:
        rows = _fits(wanted, drawn, encoder, ui)
        show({"schema": 2, **about, "part": "all", "templates": rows}, _table_of_fits, as_json)
        return 0
    reward = ClipReward(encoder, drawn.class_names)
    pictures = reward.encode(
        [item.picture for item in items], [item.label for item in items], progress=ui.pictures(part)
    )
    scores = reward.score(wanted, pictures)
    how = Sampling.of(len(items), [item.label for item in items], [item.group for item in items])
    pairs = {str(i): (scores[0], score, how) for i, score in enumerate(scores)}
    compared = compare(pairs, sealed=pairs, family="with the first template")
    rows = [
        {
            "template": score.template,
            "accuracy": one.optimised.value,
            "loss": one.optimised.loss,
            "n": one.optimised.n,
            "ci95": list(one.optimised.ci95),
            "difference_to_first": one.difference.model_dump(mode="json"),
        }
        for score, one in zip(scores, (compared[key] for key in pairs), strict=True)
    ]
    show({"schema": 2, **about, "templates": rows}, _table, as_json)
    return 0


def _fits(templates: Sequence[str], data: DataSet, clip: LoadedClip, ui: Ui) -> list[dict[str, Any]]:
    """Measure templates on pictures without labels: their fit, and how many pictures they name otherwise."""
    from ipo_prompts.metrics.fit import Fit

    reward = Fit(clip, data.class_names)
    pictures = reward.encode([item.picture for item in data.train], progress=ui.pictures("all"))
    scores = reward.score(templates, pictures)
    renamed = [int((score.predictions != scores[0].predictions).sum()) for score in scores]
    return [
        {"template": score.template, "fit": score.value, "n": score.n, "named_otherwise_than_by_first": other}
        for score, other in zip(scores, renamed, strict=True)
    ]


def _table_of_fits(content: dict[str, Any]) -> str:
    lines = ["not tested: no labels; fit is in nats and no accuracy", f"{'fit':>8}  {'renamed':>8}  {'n':>6}  template"]
    lines += [
        f"{row['fit']:8.3f}  {row['named_otherwise_than_by_first']:8,}  {row['n']:6,}  {printable(row['template'])}"
        for row in content["templates"]
    ]
    return "\n".join(lines)


def _table(content: dict[str, Any]) -> str:
    rows = content["templates"]
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


def predict(
    program: Program,
    pictures: Annotated[list[Path], typer.Argument(help="pictures, or folders of them")],
    format_: Annotated[str, typer.Option("--format", help="table, csv or jsonl")] = "table",
    top: Annotated[int, typer.Option(help="how many classes are named, the most probable first", metavar="K")] = 1,
    reject: Annotated[
        float | None,
        typer.Option(help="share of pictures of the classes that may be called none of these", metavar="SHARE"),
    ] = None,
    device: Device = "auto",
    trust: Trust = False,
) -> int:
    """Label pictures with an optimised program."""
    from ipo_prompts.experiments.run.labelling import find_pictures, label_files
    from ipo_prompts.programs.classifier import TemplateClassifier

    one_of("format", format_, ("table", "csv", "jsonl"))
    if top < 1:
        raise InputError(f"--top is how many classes are named, 1 or more, such as --top 3, not {top}.")
    if reject is not None and not 0 < reject <= 0.5:
        raise InputError(f"--reject is a share above 0 and at most 0.5, such as --reject 0.05, not {reject:g}.")
    classifier = TemplateClassifier.from_file(program, device=device, trust=trust)
    bare = [path for path in pictures if os.path.isdir(path) and next(find_pictures(path), None) is None]  # noqa: PTH112
    if len(bare) == len(pictures):
        raise InputError(f"there are no pictures in {', '.join(map(str, bare))}.")
    head, line = _head(classifier, reject)
    _tell_how_sure(program, classifier)
    rows = _Rows(format_, classifier.class_names, min(top, len(classifier.class_names)), line)
    for path in bare:
        fail(f"there are no pictures in {path}.", 1)
    failed = len(bare)
    try:
        rows.begin()
        files = (file for path in pictures for file in (find_pictures(path) if os.path.isdir(path) else [path]))  # noqa: PTH112
        for file, outcome in label_files(classifier, files, head):
            rows.write(file, outcome)
            if isinstance(outcome, InputError):
                failed += 1
                fail(str(outcome), 1)
    except BrokenPipeError:  # the reader has enough rows, as `head` has
        _drop_output()
    except OSError as error:
        _drop_output()
        raise InputError(f"cannot write the labels: {error.strerror}; make room, or write them elsewhere.") from error
    gone = any(not os.path.lexists(path) for path in pictures)  # a name that was typed, not a file that is damaged
    return 2 if gone else 1 if failed else 0


def _head(classifier: TemplateClassifier, reject: float | None) -> tuple[Head, Threshold | None]:
    """Return what decides, and with `reject` the line below which a picture is none of the classes."""
    if reject is None:
        return classifier.head(), None
    from ipo_prompts.experiments.run.rejecting import in_words, rejecting

    head, margins = rejecting(classifier, note)
    line = margins.threshold(reject)
    note(in_words(line, margins.strangers_found(reject)))
    return head, line


def _tell_how_sure(program: Path, classifier: TemplateClassifier) -> None:
    """Say what is known of how often labels and probabilities are right."""
    from ipo_prompts.experiments.run.result import RESULT, load_result

    if classifier.temperature == 1:
        note("no temperature was fitted to held-back pictures: the probabilities order labels, no more.")
    folder = program if os.path.isdir(program) else program.parent  # noqa: PTH112
    if not os.path.exists(folder / RESULT):  # noqa: PTH110 - pathlib raises where a name is too long
        return
    try:
        result = load_result(folder)
    except InputError:
        return  # it says nothing of labels, which need it not
    members = {(member.template, member.weight) for member in result.templates}
    if result.reward.measure == "accuracy" and members == set(classifier.templates):
        blended = result.head if result.head and result.head.kept and classifier.pictures else None
        sealed = blended.both if blended else result.scores["test"].optimised
        low, high = sealed.ci95
        note(
            f"of the {sealed.n:,} sealed test pictures of its run this program labelled {sealed.value:.1%} right (95 % "
            f"interval {low:.1%} to {high:.1%}); other pictures may be harder."
        )


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would fail again


@dataclass(frozen=True)
class _Rows:
    """Writes each row at once. File names are not escaped: a CSV is data, not a sheet with formulas.

    Attributes:
        form: table, csv or jsonl.
        class_names: of the classes.
        top: how many are named.
        line: below its margin a picture is rejected; None rejects none.
    """

    form: str
    class_names: Sequence[str]
    top: int
    line: Threshold | None

    def begin(self) -> None:
        """Write the names of columns."""
        if self.form == "csv":
            if hasattr(sys.stdout, "reconfigure"):
                sys.stdout.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is written as it is on disk
            more = ["cosine", "margin", "rejected"] if self.line else []
            others = [f"{what}_{place}" for place in range(2, self.top + 1) for what in ("label", "probability")]
            csv.writer(sys.stdout).writerow(["picture", "label", "probability", *more, *others])

    def write(self, file: Path, outcome: Answer | InputError) -> None:
        """Write what is told of a picture; where nothing is, only JSON has a row."""
        if isinstance(outcome, InputError):
            if self.form == "jsonl":
                self._json({"picture": str(file), "error": str(outcome)})
            return
        order = (-outcome.probabilities).argsort(kind="stable")[: self.top]
        best = [(self.class_names[i], float(outcome.probabilities[i])) for i in order]
        rejected = self.line is not None and outcome.margin is not None and outcome.margin < self.line.margin
        {"csv": self._csv, "jsonl": self._row, "table": self._table}[self.form](file, outcome, best, rejected)
        sys.stdout.flush()

    def _csv(self, file: Path, outcome: Answer, best: Sequence[tuple[str, float]], rejected: bool) -> None:
        cells = [cell for label, probability in best for cell in (label, f"{probability:.4f}")]
        more = [f"{outcome.cosine:.4f}", f"{outcome.margin:.4f}", str(rejected).lower()] if self.line else []
        csv.writer(sys.stdout).writerow([str(file), *cells[:2], *more, *cells[2:]])

    def _row(self, file: Path, outcome: Answer, best: Sequence[tuple[str, float]], rejected: bool) -> None:
        pairs = zip(self.class_names, outcome.probabilities, strict=True)
        row: dict[str, object] = {
            "picture": str(file),
            "label": best[0][0],
            "scores": {name: float(p) for name, p in pairs},
        }
        if self.top > 1:
            row["top"] = [label for label, _ in best]
        if self.line:
            row |= {"cosine": outcome.cosine, "margin": outcome.margin, "rejected": rejected}
        self._json(row)

    def _table(self, file: Path, outcome: Answer, best: Sequence[tuple[str, float]], rejected: bool) -> None:
        label = f"none of these ({best[0][0]})" if rejected else best[0][0]
        print(f"{best[0][1]:7.2%}  {printable(label):24}  {printable(str(file))}")
        for label, probability in best[1:]:
            print(f"{probability:7.2%}  {printable(label)}")

    @staticmethod
    def _json(row: Mapping[str, object]) -> None:
        text = json.dumps(row, ensure_ascii=False)
        # A name that is not UTF-8 is one that JSON has only as an escape.
        print(text if text.isprintable() else json.dumps(row), flush=True)


def report(
    runs: Annotated[list[Path], typer.Argument(help="run directories", metavar="RUN…")],
    out: Annotated[
        Path | None,
        typer.Option(help="the file; default RUN/report.html, for several runs report.html", metavar="FILE"),
    ] = None,
) -> int:
    """Make the page that a person reads: one run explained from answer to command, or several side by side."""
    from ipo_prompts.experiments.report import compare_page, run_page
    from ipo_prompts.experiments.report.gather import read_run
    from ipo_prompts.experiments.report.page import PAGE
    from ipo_prompts.experiments.run.files import write_text

    gathered = [read_run(folder) for folder in runs]
    file = out or (runs[0] if len(runs) == 1 else Path()) / PAGE
    write_text(file, run_page(gathered[0]) if len(runs) == 1 else compare_page(gathered))
    print(file)
    return 0


def export(
    program: Program,
    to: Annotated[
        str,
        typer.Option(help="open_clip, clip_benchmark, hf, head, onnx, hub, npz, txt or program.json", metavar="TARGET"),
    ],
    out: Annotated[Path, typer.Option(help="where to; must not exist yet", metavar="PATH")],
    pictures: Annotated[
        Path | None, typer.Option(help="pictures to compare on; default some that ship with us", metavar="PATH")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="clip_benchmark: its name of the data set; default wds/ipo", metavar="NAME")
    ] = None,
    hf_model: Annotated[
        str | None, typer.Option(help="hf: hub id or folder of the same CLIP in its format", metavar="ID")
    ] = None,
    trust: Trust = False,
) -> int:
    """Carry an optimised program into another tool, and check it there by that tool's own library."""
    from ipo_prompts.experiments.export import export
    from ipo_prompts.programs.classifier import TemplateClassifier

    target = _target(to, dataset, hf_model, program)
    verdict = export(TemplateClassifier.from_file(program, trust=trust), target, out, _pictures(pictures))
    print(f"wrote {out} for {to}; {verdict}")
    return 0


def _target(to: str, dataset: str | None, hf_model: str | None, program: Path) -> Target:
    from ipo_prompts.experiments.export import TARGETS
    from ipo_prompts.experiments.export.clip_benchmark import ClipBenchmark
    from ipo_prompts.experiments.export.hf import HuggingFace
    from ipo_prompts.experiments.export.hub import Hub

    if to not in TARGETS:
        raise InputError(f"there is no target {to!r}{did_you_mean(to, TARGETS)}; it can be {', '.join(TARGETS)}.")
    for name, value, only in (("--dataset", dataset, "clip_benchmark"), ("--hf-model", hf_model, "hf")):
        if value is not None and to != only:
            raise InputError(f"{name} is for --to {only}, not {to}; leave it out.")
    if dataset is not None:
        return ClipBenchmark(dataset)
    if to == "hub":
        return Hub(program)
    return HuggingFace(hf_model) if hf_model is not None else TARGETS[to]()


def _pictures(folder: Path | None) -> list[Picture]:
    """Find the pictures of a folder, or the search pictures that ship with us: test pictures stay sealed."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.experiments.run.labelling import find_pictures
    from ipo_prompts.metrics.pictures import Picture

    if folder is None:
        found = [item.picture for item in load_data("embedded", seed=0).train]
    else:
        files = find_pictures(folder) if os.path.isdir(folder) else [folder]  # noqa: PTH112
        found = [Picture.from_path(file) for file in files]
    if not found:
        raise InputError(f"there are no pictures in {folder}; name another folder with --pictures, or leave it out.")
    return found
