"""What is kept out of everything that is written: keys, in every form in which a server may give them back."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.record.redaction import check_address, redact, redacted

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
