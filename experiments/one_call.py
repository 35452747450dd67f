"""`ipo.optimize(…)`: the command `ipo optimize` as one call from Python; its result, in words and in a notebook."""

from __future__ import annotations

import os
import shlex
import textwrap
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.clicks.commands import commands_to_test
from ipo_prompts.experiments.data.dataset import NAMES_FILE
from ipo_prompts.experiments.pipeline import run_job, stopped_early
from ipo_prompts.experiments.report.gather import Program, read_run
from ipo_prompts.experiments.report.page import PAGE, notebook_part
from ipo_prompts.experiments.run.config import CHOSEN, CONFIG_FILE, RunConfig
from ipo_prompts.experiments.run.files import default_folder, holds_run, read_model, reserved, resumed, stored_config
from ipo_prompts.experiments.run.live_view import money, view
from ipo_prompts.experiments.run.reading import allow, build, config_of
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.experiments.run.scores import Comparison, Measured, NamesFound
from ipo_prompts.metrics.errors import InputError, printable, setting, several, speaking_to
from ipo_prompts.metrics.verdict import Verdict
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.lm.connect import REPLAY
from ipo_prompts.programs.record.trust import to_type, trusting

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ipo_prompts.experiments.run.settings import RunKeywords

CALL = "the call of ipo.optimize"
INSTEAD = {
    "data": "a text, such as data='folder:pets' or 'csv:pets.csv'",
    "clip": "a name, such as clip='ViT-B-16/openai'; a loaded CLIP goes to TemplateClassifier (docs/dspy.md)",
    "lm": "a name, such as lm='openai/gpt-4o-mini'; a dspy.LM goes to IPO(lm=…) (docs/dspy.md)",
    "describer": "a name, such as describer='clip'; one of your own goes to IPO(describer=…) (docs/dspy.md)",
    "reward": "a name, such as reward='retrieval' or, of your own, reward='module:Class'; an object goes to "
    "IPO(reward=…) (docs/your-own-reward.md)",
    "strategy": "a name, or one with its settings, such as strategy={'name': 'list', 'file': 'templates.txt'}, or, "
    "of your own, strategy='module:Class'; a list of templates or an object goes to IPO(strategy=…) "
    "(docs/strategies.md)",
}
"""What to give where people give the object itself: a run is its configuration, which a file holds."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a run found. It shows itself: `print` says what the command line prints, a notebook shows the pictures too.

    Attributes:
        folder: the run directory, absolute, which everything can be read from again.
        result: all numbers, the content of `result.json`.
    """

    folder: Path
    result: RunResult

    @property
    def template(self) -> str:
        """The chosen template; the initial one where nothing convincing was found."""
        return self.result.template

    @property
    def gain(self) -> Verdict:
        """The gain over the initial template on the sealed test: `mean` and `ci95`, fractions; `numbers`, in words.

        Raises:
            InputError: the run had no labels.
        """
        if self.result.untested:
            raise InputError(
                f"the run in {self.folder} has no gain, for it is not tested: no labels; `ipo label` and `ipo verify` "
                "test it."
            )
        return self.result.scores["test"].difference

    @cached_property
    def classifier(self) -> TemplateClassifier:
        """The classifier with the template, on the device of the run; loads the CLIP when it is first asked for."""
        return TemplateClassifier.from_file(self.folder, device=stored_config(self.folder).device)

    def report(self) -> Path:
        """Return where the report page lies; it needs no network."""
        return self.folder / PAGE

    def __repr__(self) -> str:
        return printable(f"<Outcome {self.template!r}: {self.result.verdict} {self.folder}>")

    def __str__(self) -> str:
        return "\n".join(map(printable, summary(self.result, self.folder).splitlines()))

    def _repr_html_(self) -> str:
        return notebook_part(read_run(self.folder))


def optimize(
    data: str | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    start_from: str | Path | None = None,
    quiet: bool = False,
    trust: bool = False,
    **settings: Unpack[RunKeywords],
) -> Outcome:
    """Search a better template, choose the winner with held-back pictures, test it once on sealed ones.

    What `ipo optimize` does, with its defaults: a local language model is fetched when it is asked and not here.

    Args:
        data: the pictures: `folder:PATH`, `csv:PATH`, `hf:NAME`, a name of `ipo data list`; `embedded` if left out.
        out: the run directory; `runs/DATE-NAME` if left out.
        resume: the directory of a run to resume; what is given besides has to be its own, but for the limits.
        start_from: the directory of a run whose templates a new one starts from; settings that are not given are that
            run's.
        quiet: show no progress, which else goes to stderr.
        trust: use the CLIP, data, models and addresses that a run from elsewhere names; see `SECURITY.md`.
        **settings: by the names of the configuration: `clip`, `lm`, `steps`, `budget_usd`, …; those of a strategy or a
            reward as `strategy={"name": "history", "size": 8}`. `docs/command-line.md` lists them.

    Raises:
        InputError: bad input, or a run directory that does not fit.
        NothingUsable: the strategy gave nothing to score.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    for name, place in (("out", out), ("resume", resume), ("start_from", start_from)):
        if not isinstance(place, (str, os.PathLike, type(None))):
            raise InputError(f"{name}= is a folder, a text or a path, not {place!r}.")
    if resume is not None and out is not None:
        raise InputError("resume= works in its own directory; leave out= away.")
    given: dict[str, Any] = {**settings} if data is None else {"data": data, **settings}
    for name, instead in INSTEAD.items():
        if not isinstance(given.get(name, ""), (str, dict, type(None)) if name in CHOSEN else (str, type(None))):
            raise InputError(f"{name}= of ipo.optimize takes no {type(given[name]).__name__} but {instead}.")
    given = given if start_from is None else {**given, "start_from": str(start_from)}
    allow(given)
    with speaking_to("ipo.optimize"), trusting(trust):
        if resume is None:
            config = build(given, CALL)
            folder = default_folder(config) if out is None else Path(out)
        else:
            folder = Path(resume)
            config = stored_config(folder)
            again = "".join(f", {key}={value!r}" for key, value in given.items() if key != "start_from")
            instead = f"ipo.optimize(start_from={str(folder)!r}{again})"
            typed = [setting(key, value) for key, value in given.items() if isinstance(value, (str, int, float))]
            config = resumed(folder, config, build(given, CALL), CALL, instead, typed)
        ui = view(config, quiet=quiet)
        with reserved(folder) if resume is None and out is None else nullcontext(folder) as folder:
            result = run_job(config, folder, ui, resume=resume is not None)
        if result.stopped:
            ui.warn(stopped_early(config, folder, result))
    return Outcome(folder.absolute(), result)


def answer(result: RunResult) -> str:
    """Return the template in a line of its own, then what it is worth: all that a quiet run prints."""
    if result.untested:
        return "\n".join([*_told(result), result.verdict, result.untested.words])
    more = (result.together, result.baselines.warning if result.baselines else None)
    return "\n".join([*_told(result), result.verdict, *_general(result), *filter(None, more)])


def _told(result: RunResult) -> list[str]:
    """Return the template; of an ensemble all, with their weights."""
    if len(result.templates) == 1:
        return [result.template]
    return [f"{member.weight:g} x {member.template}" for member in result.templates]


def summary(result: RunResult, folder: Path, width: int | None = None) -> str:
    """Format a result for a person: the template, what it gains where, how sure that is, what to do next.

    Args:
        result: of a finished run.
        folder: its directory.
        width: of the terminal; longer sentences are wrapped at words, and nothing is where there is none.
    """
    if result.untested:
        return _untested(result, folder, width)
    quoted, file = shlex.quote(str(folder)), folder / CONFIG_FILE
    config = config_of(folder) if holds_run(folder) else None  # a result may stand alone
    found_on = "search and selection" if "selection" in result.scores else "search"
    unit, measure = result.reward.unit, result.reward.measure
    known = result.baselines
    told = [*(f"  {template}" for template in _told(result)), ""]
    warning = [_prose(known.warning, width), ""] if known and known.warning else []
    near_guessing = known and known.weak == "near guessing"
    lines = ["", *(warning + told if near_guessing else told + warning), *_table(result)]
    if h := result.harmonic_mean:
        lines.append(f"  harmonic mean of test and new: {100 * h.initial:.2f} → {100 * h.optimised:.2f}")
    lines += [
        _prose(f"{measure} in percent with 95 % intervals; the template was found on {found_on} {unit} only", width),
        "",
    ]
    sentences = [
        result.verdict,
        *_general(result),
        *(found.words for found in result.over_classes.values()),
        *([result.data.untested_in_words] if result.data.untested else []),
        *([known.words] if known else []),
        *([result.left_out] if result.left_out else []),
        *([result.ensemble.words] if result.ensemble else []),
        *([result.offsets.words] if result.offsets else []),
        *([result.names.words] if result.names else []),
        *(_renamed(result.names) if result.names else []),
        *([result.head.words] if result.head else []),
        *([result.started.words] if result.started else []),
        *([f"Before the search: {result.headroom.verdict}"] if result.headroom else []),
        _tried(result, config),
        f"run directory: {folder}   (journal.jsonl holds every request and reply)",
        f"read: {folder / 'report.html'}",
    ]
    lines += [_prose(sentence, width) for sentence in sentences]
    instead = _instead(result, file, config, width)
    with_initial = f"--template {shlex.quote(result.initial_template)} " if instead else ""
    lines += [
        *instead,
        _command("  next: ", f"ipo predict {quoted}", f"{with_initial}PICTURES", width),
        _command("    or: ", f"ipo export {quoted}", f"--to {_target(folder)}", width),
    ]
    return "\n".join(lines)


def _tried(result: RunResult, config: RunConfig | None) -> str:
    scored = result.templates_scored
    tried = f"{scored} template{'s' * (scored != 1)} in {result.seconds['total']:.0f} s"
    if result.looked_at:
        tried += f", {result.looked_at:,} more looked at"
    used = result.lm.optimizer
    asked = "no language model"
    if used:
        calls = "recorded calls" if config and config.lm.startswith(REPLAY) else "calls"
        asked = f"{used.name}: {used.calls} {calls}, {used.tokens_in + used.tokens_out:,} tokens, {money(used.usd)}"
    return f"{tried}; {asked}"


def _untested(result: RunResult, folder: Path, width: int | None) -> str:
    """Format the result of a run without labels; see `summary`."""
    assert result.untested is not None
    config = config_of(folder)
    commands = commands_to_test(result, folder, config.data)
    quoted = shlex.quote(str(folder))
    sentences = [
        result.verdict,
        result.untested.words,
        *([result.untested.about_names] if result.untested.about_names else []),
        *([result.started.words] if result.started else []),
        _tried(result, config),
        f"run directory: {folder}   (labels.csv has what the template names every picture)",
        f"read: {folder / PAGE}",
    ]
    return "\n".join(
        [
            "",
            *(f"  {template}" for template in _told(result)),
            "",
            *(_prose(sentence, width) for sentence in sentences),
            *(_command("  test: ", command, "", width).rstrip() for command in commands),
            _command("  next: ", f"ipo predict {quoted}", "PICTURES", width),
        ]
    )


def _instead(result: RunResult, file: Path, config: RunConfig | None, width: int | None) -> list[str]:
    """Say what is better than to use a template that is not shown to be one; nothing where that is another CLIP."""
    weak = result.baselines and result.baselines.weak
    gained = any(result.scores[part].difference.outcome == "gain" for part in ("test", "new") if part in result.scores)
    if gained or weak or not config:
        return []
    typed = [shlex.quote(f"{key}={value}") for key, value in to_type(config.model_dump()).items()]
    twice = config.with_twice_the_shots()
    more = " ".join([*typed, f"shots={twice.shots}"])
    if config.selection == "held-back":
        more += f" selection_shots={twice.selection_shots}"
    stay = f"advice: stay with the initial template, {result.initial_template}"
    if not result.data.more:
        return [_prose(stay, width), _prose("        or label more pictures: the run had all that there are", width)]
    search = f"or search and choose with {result.data.more:,} more of the labelled {result.reward.unit}:"
    again = _command("          ", f"ipo optimize {shlex.quote(str(file))}", more, width)
    return [_prose(stay, width), _prose(f"        {search}", width), again]


def _prose(text: str, width: int | None) -> str:
    """Indent a sentence, and wrap it between words where it is longer than a line."""
    if width is None:
        return f"  {text}"
    indented = textwrap.TextWrapper(
        width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return indented.fill(text)


def _command(label: str, start: str, rest: str, width: int | None) -> str:
    """Return a command to copy in one line, or in two that a shell takes as one."""
    line = f"{label}{start} {rest}"
    return line if width is None or len(line) <= width else f"{label}{start} \\\n{' ' * len(label)}  {rest}"


def _table(result: RunResult) -> list[str]:
    """Return the scores as lines of no more than 80 characters."""
    named: dict[str, Comparison] = {f"{part}": score for part, score in result.scores.items()}
    named |= {f"test, {name}": score for name, score in result.other_measures.items()}
    rows = [(result.reward.unit, "n", "initial", "optimised", "difference")]
    rows += [(name, *_cells(score)) for name, score in named.items()]
    name, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        f"  {row[0]:{name}} " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        for row in rows
    ]


def _target(folder: Path) -> str:
    """Return the arguments of an export that can hold the program; open_clip has no place for synonyms and offsets."""
    try:
        program = read_model(Program, folder / "program.json")
    except InputError:  # the folder was moved since
        return "open_clip --out DIR"
    return "npz --out FILE.npz" if any(program.synonyms) or program.offsets else "open_clip --out DIR"


def _renamed(names: NamesFound) -> list[str]:
    """Say what the first renamed classes are called now."""
    told = [f"{one.given} → {one.found} ({one.hits:+d} pictures, {one.shown})" for one in names.renamed]
    lost = f"Names, each with what putting the old one back would lose: {several(told)}; see {NAMES_FILE}"
    return [lost] if told else []


def _general(result: RunResult) -> list[str]:
    general = result.scores["test"].like_these
    base = " (the base ones)" if "new" in result.scores else ""
    return [f"For {general.covers}{base}: {general.numbers}."] if general else []


def _cells(score: Comparison) -> tuple[str, str, str, str]:
    gain = score.difference
    difference = f"{100 * gain.mean:+.2f} [{100 * gain.ci95[0]:+.2f}, {100 * gain.ci95[1]:+.2f}]"
    return f"{score.initial.n:,}", _percent(score.initial), _percent(score.optimised), difference


def _percent(score: Measured) -> str:
    """Format a score and the ends of its interval in whole percent; the report has these to a tenth."""
    low, high = score.ci95
    return f"{100 * score.value:.2f} [{100 * low:.0f}, {100 * high:.0f}]"
