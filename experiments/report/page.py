"""Read a run directory, and make the report page: one file that loads no other file and runs no script.

Foreign text is shown as text: all that is printed into the page is escaped. The security policy of the page allows
embedded images and one style sheet, which it names by its hash. It allows nothing else. A notebook shows a part of
the page. The plot of the search is an image with colours of its own. The same search always gives the same plot.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ipo_prompts.experiments.report.analysis import ANALYSIS, Analysis, WordChange
from ipo_prompts.experiments.run.answer import comparison, cost, further, headline, next_commands, table, unusable
from ipo_prompts.experiments.run.config import RunConfig, dotted
from ipo_prompts.experiments.run.files import build, config_of, read_model
from ipo_prompts.experiments.run.result import RESULT, RunResult, load_result
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.verdict import points
from ipo_prompts.programs.journal import FILE_NAME as JOURNAL
from ipo_prompts.programs.lm import REPLAY
from ipo_prompts.programs.lm.ledger import Question, read_questions
from ipo_prompts.programs.trust import CONFIG_FILE, resume_command, to_type

PLOT = "search.svg"
_HERE = Path(__file__).parent
_COLOURS = (_HERE / "colours.css").read_text("utf-8")
"""The style sheet of plots, for light and for dark pages. The page uses its colours, too."""


@dataclass(frozen=True)
class Run:
    """A finished run, read from its run directory.

    Attributes:
        folder: the path of the run directory, as the caller gave it.
        config: the settings of the run, as the journal records them.
        result: the content of `result.json`.
        analysis: the content of `analysis.json`.
    """

    folder: Path
    config: RunConfig
    result: RunResult
    analysis: Analysis

    @property
    def question(self) -> Question | None:
        """The last question to the language model that was answered; None if none was."""
        asked = [one for one in read_questions(self.folder) if one.role != "describer" and one.state == "answered"]
        return asked[-1] if asked else None

    @property
    def unchanged(self) -> bool:
        """Whether no step changed anything."""
        return not self.result.rows_on(self.result.judged_on)[-1].kept

    @property
    def command(self) -> str:
        """The command that starts a run with these settings. It names only settings that differ from the defaults."""
        defaults = build({"preset": self.config.preset}, where="the defaults").model_dump()
        defaults["preset"] = "default"
        changed = {key: value for key, value in self.config.model_dump().items() if value != defaults[key]}
        words = ["ipo", "optimize"]
        for key, value in dotted(changed).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            words.append(f"{key.removesuffix('.name')}={text}")
        return shlex.join(words)

    @property
    def command_to_replay(self) -> str:
        """The command that repeats the run in a new directory, with the recorded replies of the language model."""
        typed = to_type({**self.config.model_dump(), "lm": f"{REPLAY}{self.folder}"})
        words = [str(self.folder / CONFIG_FILE), *(f"{key}={value}" for key, value in typed.items())]
        return shlex.join(["ipo", "optimize", *words, "--out", f"{self.folder}-again"])


def read_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        InputError: the folder is not a run directory, the run has no result, or a file cannot be read.
    """
    if not (folder / JOURNAL).exists() and (runs := sorted(file.parent for file in folder.glob(f"*/{JOURNAL}"))):
        one = shlex.join(["ipo", "report", str(runs[0])])
        raise InputError(f"{folder} is not a run directory but holds some; name one, as in `{one}`.")
    config = config_of(folder)
    for name in (RESULT, ANALYSIS):
        if not (folder / name).is_file():
            raise InputError(f"the run in {folder} has no {name}; resume it with `{resume_command(folder)}`.")
    result = load_result(folder)
    if not (result.rows_on("train") and (result.rows_on("test") or not config.test)):
        raise InputError(f"{folder / RESULT} has no rows of the test {result.reward.unit}; start a new run.")
    again = f"remove it, then `{resume_command(folder)}` makes it again"
    return Run(folder, config, result, read_model(Analysis, folder / ANALYSIS, again))


def run_page(run: Run) -> str:
    """Return the page of one run. A section that has nothing to say is left out."""
    words = run.analysis.words
    lines = layers(words.template, words.changes, words.n) if words else []
    return page("run.html.j2", run=run, plot=search_image(run), layers=lines)


def page(template: str, **content: Any) -> str:
    """Return the page that a template of this folder makes of some content, with the style sheet and the policy."""
    css = _COLOURS + (_HERE / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return str(page_environment().get_template(template).render(css=css, policy=policy, **content))


def search_image(run: Run) -> str:
    """Return the plot of a search as the text of an SVG file for light and dark pages, with the chosen template."""
    image = page_environment().get_template("image.html.j2")
    return str(image.render(run=run, axes=axes(run), css=_COLOURS))


def notebook_part(run: Run) -> str:
    """Return the HTML that a notebook shows of a run: the answer, a plot of the search, images whose label changed.

    The HTML has no style sheet and no script, because notebooks remove them.
    """
    return str(page_environment().get_template("notebook.html.j2").render(run=run, plot=search_image(run)))


@lru_cache(maxsize=1)
def page_environment() -> Any:
    """Return the Jinja environment of the pages. It passes all printed text through `visible`, then escapes it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (capital_first, points, unbroken)
    made.filters.update({one.__name__: one for one in filters})
    made.filters["own_style"] = Markup  # unescaped: only for IPO's style sheet, whose hash is in the policy
    made.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    functions = (comparison, cost, further, headline, next_commands, table, unusable)
    made.globals.update({one.__name__: one for one in functions}, frame=FRAME)
    return made


FRAME = {"width": 760, "height": 270, "left": 62, "right": 14, "top": 12, "bottom": 70}
"""The size and margins of the plot, in units of its SVG. The margins have room for the larger numbers on a phone."""
MOST_TICKS = 10


@dataclass(frozen=True)
class Axes:
    """The axes of the plot of a search: steps to the right, values upwards. Positions are in units of its SVG.

    Attributes:
        last: the number of the last step.
        every: how many steps lie between two numbers.
        low, high: the ends of the axis of values, in percent.
        size: how many percent lie between two numbers.
        band: the 95 % interval of the initial template, as fractions.
    """

    last: int
    every: int
    low: int
    high: int
    size: int
    band: tuple[float, float]

    def across(self, step: int) -> float:
        """Return the x position of a step; 0 is before the first step."""
        wide = FRAME["width"] - FRAME["left"] - FRAME["right"] - 16
        return round(FRAME["left"] + 8 + wide * step / self.last, 1)

    def up(self, value: float) -> float:
        """Return the y position of a value, a fraction."""
        floor = FRAME["height"] - FRAME["bottom"]
        return round(floor - (floor - FRAME["top"]) * (100 * value - self.low) / (self.high - self.low), 1)


def axes(run: Run) -> Axes:
    """Return the axes of the plot of a search.

    The interval of the initial template is always in view: so differences that may be luck look small.
    """
    search = run.analysis.search
    ends = next(row for row in run.result.rows_on("train") if row.what == "template").before.ci95
    percents = [100 * value for value in (*ends, search.initial.value, *(one.value for _, one in search.proposed))]
    size = _size(max(percents) - min(percents))
    low = math.floor(min(percents) / size)
    high = max(low + 1, math.ceil(max(percents) / size))  # all values may be equal
    last = max(1, len(search.steps) - 1)
    return Axes(last, math.ceil(last / MOST_TICKS), size * low, size * high, size, ends)


def _size(span: float) -> int:
    """Return the distance between two numbers on the axis of values, in percent: large enough for few numbers."""
    return next((size for size in (1, 2, 5, 10, 20, 50) if span <= 5 * size), math.ceil(span / 5))


STRONG, MIDDLE = 0.05, 0.02
"""The smallest changes of the value, as fractions, for which a word is coloured strongly, and less strongly."""


@dataclass(frozen=True)
class Piece:
    """A piece of a template.

    Attributes:
        text: the text of the piece.
        change: the effect of removing this piece alone; None if that was not measured.
        n: the number of units on which the effect was measured.
    """

    text: str
    change: WordChange | None = None
    n: int = 0

    @property
    def tone(self) -> str:
        """The CSS classes that colour the piece; empty if the effect of removing it was not measured.

        The class is `help-N` if the value falls without the piece, else `harm-N`; N is the strength, from 1 to 3. If
        the change is less than 1.5 units, the class is `same-1`. If the change is significant, `clear` is added.
        """
        if self.change is None:
            return ""
        change = self.change.change
        strength = 3 if abs(change) >= STRONG else 2 if abs(change) >= MIDDLE else 1
        side = "help" if change < 0 else "harm"
        tone = "same-1" if self.n * abs(change) < 1.5 else f"{side}-{strength}"
        return tone + (" clear" if self.change.significant else "")


def layers(template: str, changes: Sequence[WordChange], n: int) -> list[list[Piece]]:
    """Cut the template into pieces, so that each piece that was removed alone can be coloured.

    Args:
        template: the chosen template.
        changes: the removals that were measured. Those with a valid span are used.
        n: the number of units on which they were measured.

    Returns:
        Lines of pieces. The pieces of each line spell the whole template. Spans that overlap are on different lines,
        short spans first. So the first line shows words, and the other lines show phrases.
    """
    valid = [change for change in changes if 0 <= change.span[0] < change.span[1] <= len(template)]
    lines: list[list[WordChange]] = []
    for change in sorted(valid, key=lambda one: (one.span[1] - one.span[0], one.span)):
        start, end = change.span
        free = (line for line in lines if all(end <= one.span[0] or one.span[1] <= start for one in line))
        if (line := next(free, None)) is None:
            lines.append(line := [])
        line.append(change)
    return [_pieces(template, sorted(line, key=lambda one: one.span), n) for line in lines]


def _pieces(template: str, changes: Sequence[WordChange], n: int) -> list[Piece]:
    pieces, at = [], 0
    for change in changes:
        start, end = change.span
        pieces += [Piece(template[at:start]), Piece(template[start:end], change, n)]
        at = end
    return [piece for piece in (*pieces, Piece(template[at:])) if piece.text]


_SHOWN_AS_THEY_ARE = "\n\t"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of invisible characters: controls, bidirectional marks, lone surrogates, line separators, …."""


def visible(value: Any) -> Any:
    """Replace each invisible character by its number, such as `[U+202E]`.

    Jinja calls this on every value that the page prints, before escaping. So no text can reverse the line around it or
    hide in it, and every text can be written to the file. Other values and markup are returned unchanged.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(
        f"[U+{ord(char):04X}]" if unicodedata.category(char) in _HIDDEN and char not in _SHOWN_AS_THEY_ARE else char
        for char in value
    )


def capital_first(text: str) -> str:
    """Return a sentence with a capital first letter."""
    return text[:1].upper() + text[1:]


def unbroken(text: str) -> str:
    """Keep each p-value, percentage, interval and number of points on one line, by no-break spaces."""
    spaced = r"(?<=\bp) (?=[=<])|(?<=[=<]) (?=\d)|(?<=\d) (?=%|points\b)|(?<=\d,) (?=[+-]?[\d.]+\])"
    return re.sub(spaced, "\N{NO-BREAK SPACE}", text)
