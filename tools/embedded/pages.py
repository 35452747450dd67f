"""Fills the Markdown pages that ship beside the images and the weights: numbers in, text out."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # Markdown, from our own numbers
)


def fill(page: str, **values: Any) -> str:
    """Return the page that the template file ``page`` makes of the values; a missing value is an error."""
    return _PAGES.get_template(page).render(values)
