"""What is kept out of everything that is written: keys, in every form in which a server may give them back."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.record.redaction import check_address, redact, redacted, too_short

KEY = 'sk-test+0/9"é-abcdef012345'


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        quote(KEY, safe=""),
        quote(KEY, safe="").replace("%2B", "%2b").replace("%2F", "%2f"),
        json.dumps({"key": KEY}),
        json.dumps({"key": KEY}).replace("/", "\\/"),
        json.dumps({"key": KEY}, ensure_ascii=False),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        *(base64.b64encode((user + KEY + "x").encode()).decode() for user in ("", "u:", "me:", "you:")),
        *(base64.urlsafe_b64encode((user + KEY).encode()).decode().rstrip("=") for user in ("", "u:", "me:", "you:")),
    ],
)
def test_every_form_of_a_key_is_blanked(text: str) -> None:
    shown = redact(f"you sent {text}!")
    assert "[redacted]" in shown
    assert len(shown) <= len("you sent [redacted]!") + 16, "only the ends, which say nothing, may be left"


def test_texts_inside_values_are_blanked_and_others_stay() -> None:
    assert redacted({"a": [KEY, 1], "b": "plain"}) == {"a": ["[redacted]", 1], "b": "plain"}


@pytest.mark.parametrize(
    "address",
    [
        "http://host/v1?key=abc",
        "http://host/v1#abc",
        "http://me:secret@host/v1",
        "http://me@host/v1",
        f"http://host/{quote(KEY, safe='')}/v1",
        "http://[host/v1",
    ],
)
def test_an_address_that_may_hold_a_key_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(InputError, match="server address") as caught:
        check_address(address)
    assert "abc" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://localhost:8000/v1", "https://x.example/a/b"])
def test_a_plain_address_is_fine(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("AWS_BEARER_TOKEN_BEDROCK", "ABSKcanary", "ABSKcanary"),
        ("SNOWFLAKE_JWT", "canary-jwt", "canary-jwt"),
        ("GIGACHAT_CREDENTIALS", "canary==", "canary=="),
        ("OPENAI_API_KEY_2", "canary-two", "canary-two"),
        ("DB_PASSWD", "canary-password", "canary-password"),
        ("https_proxy", "http://me:pass%2Fcanary@proxy:3128", "pass/canary"),
        ("https_proxy", "me:canarypass@proxy:3128", "canarypass"),
        ("ANYTHING", "sk-ant-api03-canary", "sk-ant-api03-canary"),
    ],
)
def test_what_holds_a_secret(monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: str) -> None:
    monkeypatch.setenv(name, value)
    assert redact(f"<{secret}>") == "<[redacted]>"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PWD", "/home/me/pets"),
        ("OLDPWD", "/home/me/pets"),
        ("GIT_AUTHOR_NAME", "a photograph"),
        ("SSL_KEY_FILE", __file__),
        ("API_KEY", "short"),
        ("SEVEN_SECRET", "1234567"),
    ],
)
def test_what_holds_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert redact(f"{value}/cat") == f"{value}/cat"


def test_those_too_short_to_be_blanked_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MY_SECRET": "1234567", "NO_KEY": "", "OTHER_TOKEN": "12345678", "USE_AUTH": "true"}.items():
        monkeypatch.setenv(name, value)
    assert "MY_SECRET" in too_short()
    assert not {"NO_KEY", "OTHER_TOKEN", "USE_AUTH"} & {*too_short()}


def test_our_digests_stay_and_a_key_that_looks_like_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "0123456789abcdef" * 4
    monkeypatch.setenv("ONE_KEY", digest[8:20])
    assert redact(digest) == digest
    assert redact(f"{digest}.") != f"{digest}."
    monkeypatch.setenv("OTHER_KEY", digest)
    assert redact(digest) == "[redacted]"


def test_keys_of_known_providers_need_no_environment() -> None:
    for key in ("sk-proj-0123456789abcdef", "ghp_0123456789abcdefABCD", "AKIA0123456789ABCDEF"):
        assert redact(f"Incorrect key: {key}!") == "Incorrect key: [redacted]!"
    for words in ("sk-learn-and-more-of-its-packages", "a photo of a <CLASS>.", "hf-hub:laion/CLIP-ViT-B-32-laion2B"):
        assert redact(words) == words
