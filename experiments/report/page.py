"""Make the report page: one file that loads no other file, runs no script, and shows foreign text as text.

All text that is printed into the page is escaped. The security policy of the page allows embedded pictures and one
style sheet, which it names by its hash. It allows nothing else. A notebook shows a part of the page.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from ipo_prompts.experiments.report.analysis import WordChange
from ipo_prompts.experiments.report.drawing import (
    FRAME,
    STYLE,
    Curve,
    capital,
    curve,
    search_alt,
)
from ipo_prompts.experiments.report.gather import Run, read_run
from ipo_prompts.experiments.run.answer import further, table
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.metrics.errors import duration, money
from ipo_prompts.metrics.template import SLOT

PAGE, TEMPLATES, PLOT = "report.html", "templates.csv", "search.svg"
_HERE = Path(__file__).parent


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
    """Return the page of one run."""
    words = run.analysis.words if run.analysis else None
    css = STYLE + (_HERE / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    template = page_environment().get_template("run.html.j2")
    page = template.render(
        css=css,
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        run=run,
        reward=run.result.reward,
        title=f"{run.result.template} · IPO report",
        curve=_curve(run),
        search_alt=search_alt(run),
        layers=layers(words.template, words.changes, words.n) if words else [],
    )
    return str(page)


def _curve(run: Run) -> Curve:
    template = next(row for row in run.result.rows_on("search") if row.what == "template")
    return curve(run.search, template.before.ci95)


def search_picture(run: Run) -> str:
    """Return the plot of a search as the text of an SVG file for light and dark pages, with the chosen template."""
    chosen, environment = run.result.template, page_environment()
    text = environment.get_template("picture.html.j2").render(
        marks=environment.get_template("macros.html.j2").module.curve_marks(_curve(run), run.result.reward.measure),
        height=FRAME["height"],
        title=f"chosen: {chosen if len(chosen) <= 90 else chosen[:89] + '…'}",
        alt=search_alt(run),
        below="a dot is a template, the large one chosen; the line is the best so far, dashes are the initial template",
        css=STYLE,
    )
    return str(text)


def notebook_part(run: Run) -> str:
    """Return the HTML that a notebook shows of a run: the answer, a plot of the search, pictures whose label changed.

    The HTML has no style sheet and no script, because notebooks remove them.
    """
    template = page_environment().get_template("notebook.html.j2")
    return str(template.render(run=run, plot=search_picture(run), search_alt=search_alt(run)))


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
    filters = (
        capital,
        capital_first,
        percent,
        in_points,
        interval,
        nats,
        p_value,
        unbroken,
        typed,
        in_pieces,
        duration,
        money,
    )
    made.filters.update({one.__name__: one for one in filters})
    made.filters["own_style"] = Markup  # unescaped: only for IPO's style sheet, whose hash is in the policy
    made.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    made.globals.update(edits=edits, frame=FRAME, further=further, table=table)
    return made


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
        change = self.change.value.change
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


Edit = Literal["same", "removed", "added"]


def edits(before: str, after: str) -> list[tuple[Edit, str]]:
    """Return the differences between two templates, word by word.

    Each item is a stretch of text. It is `same` in both templates, `removed` (only in `before`) or `added` (only in
    `after`).
    """
    old, new = (re.findall(rf"{re.escape(SLOT)}|\w+|\s+|[^\w\s]", text) for text in (before, after))
    found: list[tuple[Edit, str]] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        same: list[tuple[Edit, list[str]]] = [("same", old[i:j])]
        changed: list[tuple[Edit, list[str]]] = [("removed", old[i:j]), ("added", new[k:m])]
        found += [(what, "".join(words)) for what, words in (same if kind == "equal" else changed) if words]
    return found


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


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """Format a number with a typographic minus sign. A number that is not finite becomes `unknown`."""
    if not math.isfinite(value):
        return "unknown"
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    if float(text.replace(",", "")) == 0:  # zero has no sign
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(fraction: float, decimals: int = 1) -> str:
    """Format a fraction as a percentage."""
    return f"{number(100 * fraction, decimals)}\N{NO-BREAK SPACE}%"


def in_points(fraction: float) -> str:
    """Format a difference of values, given as a fraction, in percentage points with its sign and without the unit."""
    return number(100 * fraction, 2, sign=True)  # as `verdict.points` does


def nats(value: float, sign: bool = False) -> str:
    """Format a loss in nats. For a difference of losses, `sign` also shows a plus sign."""
    return number(value, 3, sign=sign)


def interval(ends: tuple[float, float] | None, losses: bool = False) -> str:
    """Format the interval of a difference of values, in percentage points; or of a difference of losses, in nats."""
    if ends is None:
        return "not bounded"
    low, high = (number(end, 3, sign=True) if losses else in_points(end) for end in ends)
    return f"[{low},\N{NO-BREAK SPACE}{high}]"


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


LONGEST = 8
"""The most characters of a piece of a word below a picture."""


def in_pieces(name: str) -> Markup:
    """Return a name as HTML that a narrow line breaks after a slash, and a word longer than a line in even pieces."""
    return Markup("").join(_in_pieces(part) for part in re.findall(r"\s+|[^\s/]*/|[^\s/]+", visible(name)))


def _in_pieces(part: str) -> Markup:
    count = math.ceil(len(part) / LONGEST)
    ends = [round(i * len(part) / count) for i in range(count + 1)]
    pieces = Markup("<wbr>").join(part[start:end] for start, end in pairwise(ends))
    word = pieces if count == 1 else Markup('<span class="word">{}</span>').format(pieces)
    return word + (Markup("<wbr>") if part.endswith("/") else "")


def p_value(p: float) -> str:
    """Format a p-value with its relation: `= 0.0123` or `< 0.0001`."""
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}" if math.isfinite(p) else "unknown"
