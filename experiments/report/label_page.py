"""Make `label.html`: pictures with two names each, and nothing that says which program gave which name.

Like the report it is one file that loads nothing else. Its security policy allows one style sheet and one script, known
by their hashes, and embedded pictures. Text that others wrote is data of the script, which shows it as text.
"""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ipo_prompts.experiments.clicks.drawing import Drawing
from ipo_prompts.experiments.data.dataset import in_threads
from ipo_prompts.experiments.report.page import page_environment, policy, visible
from ipo_prompts.metrics.clicks import FIRST, decided_after
from ipo_prompts.metrics.pictures import Picture

PAGE = "label.html"
BYTES = 14_000_000
"""The most bytes of all pictures of a page, as text."""
LARGEST, SMALLEST = 40_000, 1_000
"""The limit on the bytes of one picture lies between these, before it is made text."""
SIZES = ((640, 80), (512, 75), (400, 70), (320, 65), (256, 55), (192, 45), (128, 30), (96, 20))
"""Longest side in pixels and WebP quality, tried in turn until a picture is small enough."""
TOLD = (30, 60, 120)
"""Numbers of answers for which the page tells the half width beforehand."""
_HERE = Path(__file__).parent


def label_page(drawing: Drawing, pictures: Sequence[Picture], half_width: float, folder: Path) -> str:
    """Return the page. It plans so many answers that half the width of the interval is at most `half_width`.

    Args:
        drawing: the questions of the page.
        pictures: one picture for each draw that is asked about.
        half_width: a fraction.
        folder: the folder of the page, as a person typed it. Pages may be given away, so they name no absolute path.

    Raises:
        InputError: a picture can no longer be read.
    """
    design = drawing.design
    css = (_HERE / "style.css").read_text("utf-8") + (_HERE / "label.css").read_text("utf-8")
    script = (_HERE / "label.js").read_text("utf-8")
    page = (
        page_environment()
        .get_template("label.html.j2")
        .render(
            css=Markup(css),
            script=Markup(script),
            policy=policy(css, script),
            content=_content(drawing, pictures, half_width),
            drawing=drawing,
            half_widths={k: 100 * design.half_width(k) for k in TOLD if k < design.count}
            | ({design.count: 100 * design.half_width(design.count)} if design.count <= TOLD[-1] else {}),
            needed=design.needed(half_width),
            command=None if folder.is_absolute() else verify_command(folder),
            wanted=100 * half_width,
            reached=design.half_width(design.needed(half_width)) <= half_width,
        )
    )
    return str(page)


def verify_command(folder: Path) -> str:
    """Return the command that makes a verdict of the answers to the page in a folder."""
    return shlex.join(["ipo", "verify", str(folder), "answers.json"])


def _content(drawing: Drawing, pictures: Sequence[Picture], half_width: float) -> dict[str, Any]:
    """Return the data of the script.

    Class names are as they are shown: invisible characters by number, underscores as spaces. `needed` is the number of
    answers to plan, by how many of the first ten answers decided between the two names.
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
    """Return a picture of at most `most` bytes as a data URL, without the metadata of the original."""
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
