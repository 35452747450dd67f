"""Make `label.html`: a page that shows pictures, each with two names, and hides which program gave which name.

Like the report, the page is one file that loads no other file. Its security policy allows embedded pictures, one style
sheet and one script, which it names by their hashes. Foreign text is data of the script, which shows it as text.
"""

from __future__ import annotations

import base64
import io
import re
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ipo_prompts.experiments.clicks.drawing import Drawing
from ipo_prompts.experiments.data.dataset import in_threads
from ipo_prompts.experiments.report.drawing import STYLE
from ipo_prompts.experiments.report.page import page_environment, policy, visible
from ipo_prompts.metrics.clicks import FIRST, decided_after
from ipo_prompts.metrics.pictures import Picture

PAGE = "label.html"
BYTES = 14_000_000
"""The most bytes that all pictures of a page may have together, encoded as text."""
LARGEST, SMALLEST = 40_000, 1_000
"""The largest and the smallest limit on the bytes of one picture, before it is encoded as text."""
SIZES = ((640, 80), (512, 75), (400, 70), (320, 65), (256, 55), (192, 45), (128, 30), (96, 20))
"""Pairs of the longest side in pixels and the WebP quality. They are tried in turn until a picture is small enough."""
TOLD = (30, 60, 120)
"""Numbers of answers. For each, the page says beforehand how wide half the interval will be."""
_HERE = Path(__file__).parent


def label_page(drawing: Drawing, pictures: Sequence[Picture], half_width: float, folder: Path) -> str:
    """Return the HTML of the page.

    Args:
        drawing: the questions of the page.
        pictures: one picture for each draw that is asked about.
        half_width: the wanted half width of the interval of the gain, a fraction. The page plans enough answers for it.
        folder: the folder of the page, as a person typed it. An absolute path is not shown, because pages may be given
            to others.

    Raises:
        InputError: a picture can no longer be read.
    """
    design = drawing.design
    css = STYLE + (_HERE / "style.css").read_text("utf-8") + (_HERE / "label.css").read_text("utf-8")
    script = (_HERE / "label.js").read_text("utf-8")
    page = (
        page_environment()
        .get_template("label.html.j2")
        .render(
            css=Markup(css),
            script=Markup(script),
            policy=policy(css, script),
            content=_content(drawing, pictures, half_width) | {"file": answers_file(folder, drawing)},
            drawing=drawing,
            half_widths={k: 100 * design.half_width(k) for k in TOLD if k < design.count}
            | ({design.count: 100 * design.half_width(design.count)} if design.count <= TOLD[-1] else {}),
            needed=design.needed(half_width),
            answers=answers_file(folder, drawing),
            command=None if folder.is_absolute() else verify_command(folder, drawing),
            wanted=100 * half_width,
            reached=design.half_width(design.needed(half_width)) <= half_width,
        )
    )
    return str(page)


def answers_file(folder: Path, drawing: Drawing) -> str:
    """Return the name of the file that the page in `folder` saves its answers as: `answers-NAME.json`.

    NAME is the name of the folder, in ASCII and of at most 40 characters; the id of the drawing if nothing is left.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.absolute().name)[:40].strip("-.")
    return f"answers-{name or drawing.id}.json"


def verify_command(folder: Path, drawing: Drawing) -> str:
    """Return the command that makes a verdict from the answers to the page in `folder`.

    A browser saves the answers among its downloads.
    """
    return f"{shlex.join(['ipo', 'verify', str(folder)])} ~/Downloads/{answers_file(folder, drawing)}"


def _content(drawing: Drawing, pictures: Sequence[Picture], half_width: float) -> dict[str, Any]:
    """Return the data that the script of the page reads.

    In class names, invisible characters are replaced by their numbers, and underscores by spaces. Item k of `needed` is
    the number of answers to plan if k of the first ten answers decided between the two names.
    """
    design = drawing.design
    each = min(LARGEST, max(SMALLEST, int(BYTES * 3 / 4) // max(1, len(pictures)) - 32))
    several: Sequence[Sequence[str]] = [[one] if isinstance(one, str) else one for one in drawing.class_names]
    return {
        "drawing": drawing.id,
        "classes": [[str(visible(name.replace("_", " "))) for name in names] for names in several],
        "showings": [[one.id, one.draw, *one.names] for one in drawing.showings],
        "pictures": in_threads(partial(_shown, most=each), pictures),
        "first": FIRST,
        "needed": [design.needed(half_width, decided_after(decided, FIRST)) for decided in range(FIRST + 1)],
        "beforehand": design.needed(half_width),
    }


def _shown(picture: Picture, most: int) -> str:
    """Return a picture as a data URL, shrunk until it has at most `most` bytes, or to the smallest of `SIZES`.

    The metadata of the original are left out.
    """
    image = picture.image()
    image.info.clear()
    for side, quality in SIZES:
        smaller = image.copy()
        smaller.thumbnail((side, side))
        buffer = io.BytesIO()
        smaller.save(buffer, "WEBP", quality=quality)
        if buffer.tell() <= most:
            break
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
