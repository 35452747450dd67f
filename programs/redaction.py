"""Keep the keys in environment variables out of every text that is written or printed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ipo_prompts.metrics.errors import InputError

SHORTEST = 8
"""The least number of characters of a key. Shorter values are not blanked: they may be parts of ordinary words."""
_NAME = re.compile("KEY|TOKEN|SECRET", re.IGNORECASE)
"""A pattern for names of environment variables: if it is found in the name, the variable holds a key."""


def redact(text: str) -> str:
    """Return a text in which the value of each environment variable named `*KEY*`, `*TOKEN*` or `*SECRET*` is blanked.

    A server may have echoed it. It becomes `[redacted]`, but only as it is written in the variable.
    """
    keys = [value.strip() for name, value in os.environ.items() if _NAME.search(name)]
    for key in sorted(keys, key=len, reverse=True):
        if len(key) >= SHORTEST:
            text = text.replace(key, "[redacted]")
    return text


def redacted(value: Any) -> Any:
    """Return a JSON value in which `redact` was applied to every text. Keys and numbers stay unchanged."""
    return each_text(value, redact)


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value in which `change` was applied to every text. Keys and numbers stay unchanged."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: each_text(item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [each_text(item, change) for item in value]
    return value


def check_address(address: str) -> None:
    """Raise an error if a server address may hold a secret: addresses are written to configuration and journal.

    Raises:
        InputError: the address has a user name, a query or a fragment, holds a secret of the environment, or is not a
            URL.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise InputError("the server address (api_base) is not a URL, such as http://localhost:8000/v1.") from error
    if "@" in parts.netloc or parts.query or parts.fragment or redact(address) != address:
        raise InputError(
            "the server address (api_base) holds a user name, a key or a query (?…); keep such things "
            "in the environment only, such as in OPENAI_API_KEY, and give the address alone."
        )


def check_key(name: str) -> None:
    """Raise an error if a model named `openai/…` has no key. The client needs a key, even for a server that needs none.

    Raises:
        InputError: the key is missing; the message names the environment variable to set.
    """
    if name.startswith("openai/") and not os.environ.get("OPENAI_API_KEY"):
        raise InputError(f"the language model {name} needs OPENAI_API_KEY in the environment.")
