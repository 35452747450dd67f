"""Keep the secrets of the environment out of everything that is written."""

from __future__ import annotations

import os
import re
from typing import Any

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)S?$", re.IGNORECASE)


def redact(text: str) -> str:
    """Blank out every secret that the environment holds, in case a server has echoed one."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 8:
            text = text.replace(value, "[redacted]")
    return text


def redacted(value: Any) -> Any:
    """Return a JSON value with every text in it redacted; keys and numbers stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: redacted(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value
