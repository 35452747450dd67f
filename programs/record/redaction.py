"""Keep the secrets in environment variables out of every text that is written."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ipo_prompts.metrics.errors import InputError

SHORTEST = 8
"""The least number of characters of a secret. Shorter ones are not blanked: they may be parts of ordinary words."""
SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|JWT|BEARER|AUTH(?!OR(?!I))|COOKIE|DSN|WEBHOOK|HEADERS|LICENSE"
    r"|CONNECTION_?STRING|PRIVATE",
    re.IGNORECASE,
)
"""A pattern for names of environment variables: if it is found in the name, the variable holds a secret."""
_NO_SECRET = ("PWD", "OLDPWD")
"""The variables that hold the shell's present and previous folder. They fit `SECRET_NAME` but hold no secrets."""
_KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk-|xai-|pplx-|csk-|nvapi-|glpat-|pypi-|gh[opusr]_|github_pat_|hf_|gsk_|r8_|fw_|npm_|tgp_v1_|dop_v1_|lsv2_pt_"
    r"|[sr]k_live_|SG\.|ya29\.|dapi)(?=[A-Za-z_.-]*[0-9])[A-Za-z0-9_.-]{16,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r")"
)
"""A pattern for the keys of known providers. Such keys are blanked even if they are not in the environment."""
_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{12}")


def redact(text: str) -> str:
    """Return a text in which each secret of the environment, plain or encoded, is replaced by `[redacted]`.

    A server may have echoed such a secret. Keys that look like those of a known provider are replaced, too.
    """
    secrets = _secrets(tuple(os.environ.items()))
    if _DIGEST.fullmatch(text) and text not in secrets:  # a digest of ours: a short secret in it is chance
        return text
    return _KNOWN.sub("[redacted]", _pattern(secrets).sub("[redacted]", text) if secrets else text)


def too_short() -> list[str]:
    """Return the names of the environment variables that hold a secret which is too short to be blanked."""
    ends = re.compile(rf"(?:{SECRET_NAME.pattern})(WORD|WD|S)*(_\d+)?$", re.IGNORECASE)
    found = [(name, value) for name, value in os.environ.items() if ends.search(name) and name not in _NO_SECRET]
    return [name for name, value in found if 0 < len(value) < SHORTEST and value.lower() not in ("true", "false")]


@lru_cache(maxsize=8)
def _secrets(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the secrets in an environment, which is given as pairs of name and value."""
    found: dict[str, None] = {}
    for name, value in environment:
        if name in _NO_SECRET:
            continue
        found |= dict.fromkeys(_passwords(value))
        if not SECRET_NAME.search(name) or os.path.exists(value):  # a file that holds one, or a socket  # noqa: PTH110
            found |= dict.fromkeys([value] if _KNOWN.fullmatch(value) else [])
            continue
        found |= dict.fromkeys([value, value.strip(), *_parts(value)])
    return tuple(secret for secret in found if len(secret) >= SHORTEST)


def _passwords(value: str) -> Iterator[str]:
    """Yield the passwords in a value that is an address, such as that of a proxy: as written, and URL-decoded."""
    for password in re.findall(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@]*?:([^\s/?#]*)@", value):
        yield from (password, unquote(password))
    if re.fullmatch(r"[^\s/:@]+:[^\s/]+@[^\s@]+", value):  # the address of a proxy without the scheme
        yield value.partition(":")[2].rpartition("@")[0]


def _parts(value: str) -> Iterator[str]:
    """Yield the secrets that are parts of a value.

    In a JSON object, these are the values of keys that fit `SECRET_NAME`. In a text of HTTP headers, these are the
    words after `bearer`, `token` and the like.
    """
    try:
        table = json.loads(value)
    except (ValueError, RecursionError):
        table = None
    if isinstance(table, dict):
        yield from (str(item) for name, item in table.items() if isinstance(item, str) and SECRET_NAME.search(name))
    yield from re.findall(r"(?=(?:authorization|bearer|basic|key|token)\W{1,3}([^\s,;\"']+))", value, re.IGNORECASE)


def redacted(value: Any) -> Any:
    """Return a JSON value in which `redact` was applied to every text. Keys and numbers stay unchanged."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: redacted(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
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


@lru_cache(maxsize=8)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str]:
    forms = {form for secret in secrets for form in _forms(secret)}
    # Case is ignored, since hexadecimal digits, also those in URLs (%2f), may be upper or lower case.
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)), re.IGNORECASE)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and in each form that it may have in URLs, JSON, hexadecimal and base64."""
    data = secret.encode("utf-8", "surrogateescape")
    yield from (secret, quote(data, safe=""), quote(data), quote_plus(data))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield json.dumps(secret)[1:-1].replace("/", "\\/")  # as PHP writes it
    yield data.hex()
    for before in range(3):  # in a longer text, such as `user:key`, base64 has three forms
        whole = base64.b64encode(bytes(before) + data).decode()
        # The characters at both ends are left out: they also depend on the text before and after the secret.
        first, last = (0, 2, 3)[before], 8 * (before + len(data)) // 6
        yield from (whole[first:last], whole[first:last].replace("+", "-").replace("/", "_"))
