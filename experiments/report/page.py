"""Make the report page: one file that loads no other file, runs no script, and shows foreign text as text.

All text that is printed into the page is escaped. The security policy of the page allows embedded pictures and one
style sheet, which it names by its hash. It allows nothing else. A notebook shows a part of the page. The plot of the
search is a picture with colours of its own. The same search always gives the same plot.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ipo_prompts.experiments.report.explain import WordChange
from ipo_prompts.experiments.report.gather import Candidate, Run, SearchRecord, read_run
from ipo_prompts.experiments.run.answer import comparison, cost, further, headline, next_commands, table, unusable
from ipo_prompts.experiments.run.files import write_text

PAGE, TEMPLATES, PLOT = "report.html", "templates.csv", "search.svg"
_HERE = Path(__file__).parent
_COLOURS = (_HERE / "colours.css").read_text("utf-8")
"""The style sheet of plots, for light and for dark pages. The page uses its colours, too."""


def write_report(folder: Path) -> Path:
    """Write the page of a finished run into its directory, a table of its templates and a plot; return the page's path.

    Raises:
        InputError: the run cannot be read, as in `read_run`; or the folder cannot be written.
    """
    run, file = read_run(folder), folder / PAGE
    write_text(folder / TEMPLATES, run.search.table())
    write_text(folder / PLOT, search_picture(run))
    write_text(file, run_page(run))
    return file


def run_page(run: Run) -> str:
    """Return the page of one run. A section that has nothing to say is left out."""
    words = run.analysis.words if run.analysis else None
    css = _COLOURS + (_HERE / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    page = page_environment().get_template("run.html.j2")
    made = page.render(
        css=css,
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        run=run,
        plot=search_picture(run),
        layers=layers(words.template, words.changes, words.n) if words else [],
    )
    return str(made)


def search_picture(run: Run) -> str:
    """Return the plot of a search as the text of an SVG file for light and dark pages, with the chosen template."""
    template = next(row for row in run.result.rows_on("search") if row.what == "template")
    picture = page_environment().get_template("picture.html.j2")
    return str(picture.render(run=run, curve=curve(run.search, template.before.ci95), css=_COLOURS))


def notebook_part(run: Run) -> str:
    """Return the HTML that a notebook shows of a run: the answer, a plot of the search, pictures whose label changed.

    The HTML has no style sheet and no script, because notebooks remove them.
    """
    return str(page_environment().get_template("notebook.html.j2").render(run=run, plot=search_picture(run)))


def search_alt(run: Run) -> str:
    """Describe the drawing of the search in words."""
    search, reward = run.search, run.result.reward
    return (
        f"{capital(reward.measure)} of {sum(len(step.candidates) for step in search.steps)} templates on "
        f"{search.n} search {reward.unit} over {len(search.steps)} steps. "
        f"The initial template has {100 * search.initial.value:.1f} percent, the best one "
        f"{100 * search.best.value:.1f} percent. The file {TEMPLATES} has every value."
    )


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
    filters = (capital, capital_first, percent, in_points, unbroken, typed)
    made.filters.update({one.__name__: one for one in filters})
    made.filters["own_style"] = Markup  # unescaped: only for IPO's style sheet, whose hash is in the policy
    made.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    made.globals.update(
        frame=FRAME,
        comparison=comparison,
        cost=cost,
        further=further,
        headline=headline,
        next_commands=next_commands,
        search_alt=search_alt,
        table=table,
        unusable=unusable,
    )
    return made


FRAME = {"width": 760, "height": 270, "left": 62, "right": 14, "top": 12, "bottom": 70}
"""The size and margins of the curve, in units of its SVG. The margins have room for the larger numbers on a phone."""
MOST_TICKS = 10


@dataclass(frozen=True)
class Curve:
    """The drawing of a search: one dot for each template, by step and value. Positions are in units of the SVG.

    Attributes:
        dots: for each template: its x position, its y position, its step (0 is before the first step), the template.
        best: the SVG path that shows the value of the best template so far.
        initial: the y position of the initial template.
        band: the y positions of the ends of its 95 % interval, the upper end first.
        steps: the x position of each number on the axis of steps, with the number.
        values: the y position of each number on the axis of values, with the number in percent.
    """

    dots: tuple[tuple[float, float, int, Candidate], ...]
    best: str
    initial: float
    band: tuple[float, float]
    steps: tuple[tuple[float, int], ...]
    values: tuple[tuple[float, int], ...]


def curve(search: SearchRecord, ends: tuple[float, float]) -> Curve:
    """Return the curve of a search. If two dots are in one place, the dot of the better template is drawn on top.

    Args:
        search: the search.
        ends: the ends of the interval of the initial template, which are always in view: so differences that may be
            luck look small.
    """
    found = [(step.number, one) for step in search.steps for one in step.candidates]
    percents = [100 * value for value in (*ends, search.initial.value, *(one.value for _, one in found))]
    size = _size(max(percents) - min(percents))
    low = size * math.floor(min(percents) / size)
    high = size * math.ceil(max(percents) / size)  # equal to `low` if all values are equal
    if low == high:
        low, high = (max(0, low - size), min(100, high + size)) if 0 <= low <= 100 else (low - size, high + size)
    last, left, floor = max(1, len(search.steps)), FRAME["left"], FRAME["height"] - FRAME["bottom"]

    def across(step: int) -> float:
        return round(left + 8 + (FRAME["width"] - left - FRAME["right"] - 16) * step / last, 1)

    def up(value: float) -> float:
        return round(floor - (floor - FRAME["top"]) * (100 * value - low) / (high - low), 1)

    dots = [(across(step), up(one.value), step, one) for step, one in found]
    path = f"M{across(0)} {up(search.initial.value)}"
    for step in search.steps:
        path += f"H{across(step.number)}V{up(step.best.value)}"
    every = max(1, math.ceil(last / MOST_TICKS))
    return Curve(
        dots=tuple(sorted(dots, key=lambda dot: (dot[3].template == search.chosen, dot[3].value))),
        best=path,
        initial=up(search.initial.value),
        band=(up(ends[1]), up(ends[0])),
        steps=tuple((across(step), step) for step in range(0, last + 1, every)),
        values=tuple((up(number / 100), number) for number in range(low, high + 1, size)),
    )


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
    spans = [
        (change.span[0], change.span[1], change)
        for change in changes
        if 0 <= change.span[0] < change.span[1] <= len(template)
    ]
    lines: list[list[tuple[int, int, WordChange]]] = []
    for span in sorted(spans, key=lambda span: (span[1] - span[0], span[0])):
        free = (line for line in lines if all(span[1] <= other[0] or other[1] <= span[0] for other in line))
        if (line := next(free, None)) is None:
            lines.append(line := [])
        line.append(span)
    return [_pieces(template, sorted(line, key=lambda span: span[0]), n) for line in lines]


def _pieces(template: str, spans: Sequence[tuple[int, int, WordChange]], n: int) -> list[Piece]:
    pieces, at = [], 0
    for start, end, change in (*spans, (len(template), len(template), None)):
        pieces += [Piece(template[at:start]), Piece(template[start:end], change, n)]
        at = end
    return [piece for piece in pieces if piece.text]


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


def percent(fraction: float, decimals: int = 1) -> str:
    """Format a fraction as a percentage. A number that is not finite becomes `unknown`."""
    text = f"{100 * fraction:.{decimals}f}" if math.isfinite(fraction) else "unknown"
    return f"{text}\N{NO-BREAK SPACE}%"


def in_points(fraction: float) -> str:
    """Format a difference of values, given as a fraction, in percentage points with its sign and without the unit."""
    points = round(100 * fraction, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


def capital(text: str) -> str:
    """Return the text with a capital first letter. A text that has a capital already, such as mIoU, stays unchanged."""
    return capital_first(text) if text.islower() else text


def capital_first(text: str) -> str:
    """Return a sentence with a capital first letter."""
    return text[:1].upper() + text[1:]


def unbroken(text: str) -> str:
    """Keep each p-value, percentage, interval and number of points on one line, by no-break spaces."""
    spaced = r"(?<=\bp) (?=[=<])|(?<=[=<]) (?=\d)|(?<=\d) (?=%|points\b)|(?<=\d,) (?=[+-]?[\d.]+\])"
    return re.sub(spaced, "\N{NO-BREAK SPACE}", text)


def typed(command: str) -> Markup:
    """Return a command as HTML that a line breaks only at its spaces: the style keeps each word of it together."""
    words = (
        Markup('<span class="word">{}</span>').format(visible(word)) if word else "" for word in command.split(" ")
    )
    return Markup(" ").join(words)
