"""Keep the secrets of the environment out of everything that is written."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from ipo_prompts.metrics.errors import InputError

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)S?$", re.IGNORECASE)


def redact(text: str) -> str:
    """Blank out every secret that the environment holds, in case a server has echoed one, also where it is encoded."""
    secrets = tuple(value for name, value in os.environ.items() if len(value) >= 8 and _SECRET_NAME.search(name))
    return _pattern(secrets).sub("[redacted]", text) if secrets else text


def redacted(value: Any) -> Any:
    """Return a JSON value with every text in it redacted; keys and numbers stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: redacted(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value


def check_address(address: str) -> None:
    """Refuse the address of a server that may hold a secret: it is written to the configuration and the journal.

    Raises:
        InputError: it has a user name, a query or a fragment, holds a secret of the environment, or is no address.
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


@lru_cache(maxsize=8)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str]:
    forms = {form for secret in secrets for form in _forms(secret)}
    # Hexadecimal digits, those of URLs (%2f) too, come in either case.
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)), re.IGNORECASE)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is and as URLs, JSON, hexadecimal and base64 hold it."""
    data = secret.encode("utf-8", "surrogateescape")
    yield from (secret, quote(data, safe=""), quote(data), quote_plus(data))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield json.dumps(secret)[1:-1].replace("/", "\\/")  # as PHP writes it
    yield data.hex()
    for before in range(3):  # within a longer text, such as `user:key`, it may begin at any of three places
        whole = base64.b64encode(bytes(before) + data).decode()
        # The characters at both ends also depend on what stands before and after.
        first, last = (0, 2, 3)[before], 8 * (before + len(data)) // 6
        yield from (whole[first:last], whole[first:last].replace("+", "-").replace("/", "_"))
