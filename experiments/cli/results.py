"""What is done with templates and runs: `ipo evaluate`, `ipo predict`, `ipo report` and `ipo export`."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
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
    from ipo_prompts.experiments.run.labelling import Decision
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.metrics.clip import Clip as LoadedClip
    from ipo_prompts.metrics.head import Head
    from ipo_prompts.metrics.pictures import Picture
    from ipo_prompts.metrics.rejection import Threshold
    from ipo_prompts.programs.classifier import TemplateClassifier

STDIN = Path("-")
EVALUATE = examples("ipo evaluate --template 'a photo of a <CLASS>.' --template 'a sketch of a <CLASS>.'")
PREDICT = examples(
    "ipo predict runs/RUN holiday/",
    "ipo predict runs/RUN holiday/ cat.jpg --format csv > labels.csv",
    "ipo predict runs/RUN holiday/ --reject 0.05 --top 3",
    "find holiday/ -newer last | ipo predict runs/RUN - --above 0.5",
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
    from ipo_prompts.experiments.tasks import REWARDS
    from ipo_prompts.metrics.clip import load_clip
    from ipo_prompts.metrics.features import FeatureStore
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
    task = REWARDS.build(REWARDS.complete("several" if drawn.several else REWARDS.default))
    reward = task.reward(encoder, drawn.class_names, FeatureStore(encoder))
    encoded = task.encode(reward, items, seed=0, progress=ui.pictures(part))
    scores, how = reward.score(wanted, encoded.units), encoded.sampling(len(items))
    pairs = {str(i): (scores[0], score, how) for i, score in enumerate(scores)}
    compared = compare(pairs, sealed=pairs, family="with the first template")
    rows = [
        {
            "template": score.template,
            task.measure.replace(" ", "_"): one.optimised.value,
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
    key = "accuracy" if "accuracy" in rows[0] else "ranking_precision"
    lines = [
        f"{key.replace('_', ' '):>8}  {'95 % interval':>15}  {'loss':>7}  {'n':>6}  {'to the first':>24}  template"
    ]
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


def predict(
    program: Program,
    pictures: Annotated[list[Path], typer.Argument(help="pictures, folders of them, or - for their paths from stdin")],
    format_: Annotated[str, typer.Option("--format", help="table, csv or jsonl")] = "table",
    top: Annotated[int, typer.Option(help="how many classes are named, the most probable first", metavar="K")] = 1,
    reject: Annotated[
        float | None,
        typer.Option(help="share of pictures of the classes that may be called none of these", metavar="SHARE"),
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(
            help="name all classes that are shown with more than this probability; for runs with labels=several",
            metavar="T",
        ),
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="decide with this one, such as the initial one, instead of the program's")
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
    if above is not None and not 0 <= above < 1:
        raise InputError(f"--above is a probability, such as --above 0.5, not {above:g}.")
    if above is not None and (top > 1 or reject is not None):
        raise InputError("--above names all classes above it, and takes neither --top nor --reject; leave them out.")
    classifier = TemplateClassifier.from_file(program, device=device, trust=trust)
    if template is not None:
        classifier.set_templates(template)
    bare = [path for path in pictures if os.path.isdir(path) and next(find_pictures(path), None) is None]  # noqa: PTH112
    if len(bare) == len(pictures):
        raise InputError(f"there are no pictures in {', '.join(map(str, bare))}.")
    head, line = _head(classifier, reject) if above is None else (classifier.each_by_itself(), None)
    if above is None:
        _tell_how_sure(program, classifier)
    else:
        _tell_of_each(head)
    rows = _Rows(format_, classifier.class_names, min(top, len(classifier.class_names)), line, above)
    for path in bare:
        fail(f"there are no pictures in {path}.", 1)
    failed = len(bare)
    try:
        rows.begin()
        for file, outcome in label_files(classifier, _files(pictures), head):
            rows.write(file, outcome)
            if isinstance(outcome, InputError):
                failed += 1
                fail(str(outcome), 1)
    except BrokenPipeError:  # the reader has enough rows, as `head` has
        _drop_output()
    except OSError as error:
        _drop_output()
        raise InputError(f"cannot write the labels: {error.strerror}; make room, or write them elsewhere.") from error
    gone = any(
        not os.path.lexists(path) for path in pictures if path != STDIN
    )  # a name that was typed, not a file that is damaged
    return 2 if gone else 1 if failed else 0


def _files(pictures: Sequence[Path]) -> Iterator[Path]:
    """Yield the pictures that are named, those of folders, and those that stdin names, a line each, as they come."""
    from ipo_prompts.experiments.run.labelling import find_pictures

    if STDIN in pictures and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is read as it is on disk
    for path in pictures:
        named = (Path(text) for line in sys.stdin if (text := line.rstrip("\r\n"))) if path == STDIN else [path]
        for one in named:
            yield from find_pictures(one) if os.path.isdir(one) else [one]  # noqa: PTH112


def _tell_of_each(head: Head) -> None:
    """Say what the probabilities of classes by themselves are fitted to."""
    from ipo_prompts.metrics.several import ENOUGH, native

    classes = len(head.class_names)
    if head.sureness == native(classes):
        note("the probability of each class is the CLIP's own, which was trained with sigmoids.")
    elif head.sureness:
        note(
            f"the probabilities were fitted to the pictures that searched and chose; {head.sureness.own} of {classes} "
            f"classes, those that {ENOUGH} of them or more show, have a threshold of their own."
        )


def _head(classifier: TemplateClassifier, reject: float | None) -> tuple[Head, Threshold | None]:
    """Return what decides, and with `reject` the line below which a picture is none of the classes."""
    if reject is None:
        return classifier.head(), None
    from ipo_prompts.experiments.run.rejecting import promise_in_words, rejecting

    head, margins = rejecting(classifier, note)
    line = margins.threshold(reject)
    note(promise_in_words(line, margins.strangers_found(reject)))
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
        above: all classes with a higher probability are named, joined by bars; None names `top` of them.
    """

    form: str
    class_names: Sequence[str]
    top: int
    line: Threshold | None
    above: float | None = None

    def begin(self) -> None:
        """Write the names of columns."""
        if self.form == "csv":
            if hasattr(sys.stdout, "reconfigure"):
                sys.stdout.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is written as it is on disk
            more = ["cosine", "margin", "rejected"] if self.line else []
            others = [f"{what}_{place}" for place in range(2, self.top + 1) for what in ("label", "probability")]
            csv.writer(sys.stdout).writerow(["picture", "label", "probability", *more, *others])

    def write(self, file: Path, outcome: Decision | InputError) -> None:
        """Write what is told of a picture; where nothing is, only JSON has a row."""
        if isinstance(outcome, InputError):
            if self.form == "jsonl":
                self._json({"picture": str(file), "error": str(outcome)})
            return
        order = (-outcome.probabilities).argsort(kind="stable")
        named = self.top if self.above is None else int((outcome.probabilities > self.above).sum())
        best = [(self.class_names[i], float(outcome.probabilities[i])) for i in order[:named]]
        rejected = self.line is not None and outcome.margin is not None and outcome.margin < self.line.margin
        {"csv": self._csv, "jsonl": self._row, "table": self._table}[self.form](file, outcome, best, rejected)
        sys.stdout.flush()

    def _csv(self, file: Path, outcome: Decision, best: Sequence[tuple[str, float]], rejected: bool) -> None:
        cells = [cell for label, probability in best for cell in (label, f"{probability:.4f}")]
        if self.above is not None:
            cells = ["|".join(cells[::2]), "|".join(cells[1::2])]
        more = [f"{outcome.cosine:.4f}", f"{outcome.margin:.4f}", str(rejected).lower()] if self.line else []
        csv.writer(sys.stdout).writerow([str(file), *cells[:2], *more, *cells[2:]])

    def _row(self, file: Path, outcome: Decision, best: Sequence[tuple[str, float]], rejected: bool) -> None:
        pairs = zip(self.class_names, outcome.probabilities, strict=True)
        row: dict[str, object] = {
            "picture": str(file),
            "label": best[0][0] if best else None,
            "scores": {name: float(p) for name, p in pairs},
        }
        if self.above is not None:
            row["labels"] = [label for label, _ in best]
        if self.top > 1:
            row["top"] = [label for label, _ in best]
        if self.line:
            row |= {"cosine": outcome.cosine, "margin": outcome.margin, "rejected": rejected}
        self._json(row)

    def _table(self, file: Path, outcome: Decision, best: Sequence[tuple[str, float]], rejected: bool) -> None:
        if not best:
            print(f"{'':7}  {f'none above {self.above:.0%}':24}  {printable(str(file))}")
            return
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
    from ipo_prompts.experiments.report.gather import read_run
    from ipo_prompts.experiments.report.page import PAGE, compare_page, run_page
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
    from ipo_prompts.experiments.export.head import HubFolder
    from ipo_prompts.experiments.export.hf import HuggingFace
    from ipo_prompts.experiments.export.plain import ClipBenchmark

    if to not in TARGETS:
        raise InputError(f"there is no target {to!r}{did_you_mean(to, TARGETS)}; it can be {', '.join(TARGETS)}.")
    for name, value, only in (("--dataset", dataset, "clip_benchmark"), ("--hf-model", hf_model, "hf")):
        if value is not None and to != only:
            raise InputError(f"{name} is for --to {only}, not {to}; leave it out.")
    if dataset is not None:
        return ClipBenchmark(dataset)
    if to == "hub":
        return HubFolder(program)
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
