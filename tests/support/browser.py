"""A page in a real browser that writes down whatever a page on disk must not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def opened(context: Any, file: Path, complaints: list[str], schemes: tuple[str, ...] = ("file:", "data:")) -> Any:
    """Open a file in a new page; what it logs, throws, asks, or fetches by other schemes is added to `complaints`."""
    page = context.new_page()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: request.url.startswith(schemes) or complaints.append(f"request: {request.url}"),
    )
    page.goto(file.as_uri())
    return page
