"""The keys of the environment are in nothing that a run writes, W&B's own files included, however they are encoded."""

from __future__ import annotations

import base64
import json
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer, Reply, error, good, listed, templates
from support.runs import Ended
from support.wandb_files import recorded, segments

KEYS = {
    "OPENAI_API_KEY": "sk-canary/Zm9v+bar=baz?x&y%41~Q",
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "canary00",
    "HF_TOKEN": "hf_canaryCANARYcanary",
}
NAMES = (
    *("AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SNOWFLAKE_JWT"),
    *("GIGACHAT_CREDENTIALS", "VERTEX_CREDENTIALS", "OPENAI_API_KEY_2", "DB_PASSWD", "PGPASSWORD"),
    *("MYSQL_PWD", "SMTP_PASS", "ANTHROPIC_AUTH_TOKEN", "AUTHORIZATION", "GITHUB_AUTH"),
    *("SESSION_COOKIE", "SENTRY_DSN", "SLACK_WEBHOOK_URL", "OTEL_EXPORTER_OTLP_HEADERS"),
    *("LITELLM_LICENSE", "AZURE_STORAGE_CONNECTION_STRING", "SSH_PRIVATE", "api_secret_value"),
    *("KEYS_OF_TEAM", "MISTRAL_API_KEYS", "DATABRICKS_TOKEN", "WATSONX_APIKEY", "BASIC_AUTH"),
    "CLIENT_SECRET",
)
"""Variables with a secret of no known form."""
HELD = {
    "HTTPS_PROXY": "http://someone:{}@127.0.0.1:9",
    "DATABASE_URL": "postgres://me:{}@db/x",
    "MY_SETTINGS_HEADERS": "authorization=Bearer {},x=1",
    "SERVICE_CREDENTIALS": '{{"type": "account", "private_key": "{}"}}',
}
"""Variables with a secret within their value."""
FORMS = {
    "SOMETHING": "sk-ant-canary0123456789canary",
    "ANOTHER": "ghp_canary0123456789canaryCANARY",
    "A_THIRD": "AKIACANARY0123456789",
    "A_FOURTH": "eyJcanary012345.eyJcanary6789.canarysignature",
    "A_FIFTH": "xoxb-canary0123456789",
}
"""Variables of any name with a key as its provider writes it."""
SECRETS = KEYS | {name: f"canary{n:02d}+/{n * 7919:06d}=" for n, name in enumerate(NAMES)}
SECRETS |= {name: f"within{n:02d}canary{n * 7919:05d}" for n, name in enumerate(HELD)} | FORMS
"""Forty kinds of credentials."""


def encodings(key: str) -> dict[str, tuple[str, str]]:
    """Return how a key can be hidden: what a server sends, and the part of it that must be nowhere.

    Made without the code that looks for them.
    """
    data = key.encode()
    whole = {
        "as it is": key,
        "in a URL": urllib.parse.quote(key, safe=""),
        "in a URL, in lower case": urllib.parse.quote(key, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
        "in a URL's path": urllib.parse.quote(key),
        "in a form": urllib.parse.quote_plus(key),
        "in JSON": json.dumps(key)[1:-1],
        "in JSON of PHP": json.dumps(key)[1:-1].replace("/", "\\/"),
        "hexadecimal": data.hex(),
        "HEXADECIMAL": data.hex().upper(),
    }
    found = {how: (text, text) for how, text in whole.items()}
    for before in range(3):
        text = base64.b64encode(b"xyz"[:before] + data + b":yz").decode()
        inner = text[4 if before else 0 : -8]  # without what depends on the neighbours
        found[f"base64 after {before}"] = (text, inner)
        found[f"base64 of URLs after {before}"] = tuple(
            one.replace("+", "-").replace("/", "_") for one in (text, inner)
        )
    return found


HIDDEN = [sent for key in SECRETS.values() for sent, _ in encodings(key).values()]


def told(asked: Asked) -> Reply:
    """Give every key back in every encoding."""
    if asked.pictures:
        return Reply(f"[[ ## description ## ]]\nA picture signed {' '.join(HIDDEN)}.\n\n[[ ## completed ## ]]")
    start = asked.number * 8 % len(HIDDEN)
    hidden = [f"a photo {text} of a <CLASS>." for text in HIDDEN[start : start + 8]]
    return Reply(listed(asked, [*templates(asked), *hidden]), headers={"X-Key": KEYS["HF_TOKEN"]})


@pytest.fixture()
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "NAME", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name, key in SECRETS.items():
        monkeypatch.setenv(name, HELD[name].format(key) if name in HELD else key)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    if sys.modules.get("wandb"):
        sys.modules["wandb"].teardown()


def test_no_key_is_written_in_any_encoding(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    keys: None,
    server: OpenAIServer,
    out: Path,
    cache: Path,
    quick: list[float],
    record_property: Callable[[str, object], None],
) -> None:
    server.script.extend([error(500, " ".join(HIDDEN)), error(429, HIDDEN[0])])
    server.behave = told
    vision = ("--describer=openai/vision-model", f"describer_api_base={server.base}", "described_pictures=2")
    ended = run("track=wandb", "steps=3", *vision)
    assert ended.code == 0, ended.err
    server.behave = good
    again = resume()
    assert again.code == 0
    assert recorded(segments(out)[-1]).exit_code == 0
    if sys.modules.get("wandb"):
        sys.modules["wandb"].teardown()
    files = [
        file for place in (out, cache) for file in place.rglob("*") if file.is_file() and "models" not in file.parts
    ]
    written = {str(file): file.read_bytes() for file in files}
    written |= {"the screen": (ended.out + ended.err + again.out + again.err).encode()}
    written |= {"a later question": "".join(asked.text for asked in server.asked).encode()}
    assert any(name.endswith(".wandb") for name in written)
    record_property("tried", len(written))
    found = [
        (name, variable, how)
        for name, content in written.items()
        for variable, key in SECRETS.items()
        for how, (_, part) in encodings(key).items()
        if part.encode() in content
    ]
    assert not found
    assert len(SECRETS) == 40
