"""What is kept out of everything that is written and printed: the keys of the environment."""

from __future__ import annotations

import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.redaction import check_address, redact, redacted

KEY = 'sk-test+0/9"é-abcdef012345'


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_keys_in_texts_and_inside_values_are_blanked() -> None:
    assert redacted({"a": [f"you sent {KEY}!", 1], "b": "plain"}) == {"a": ["you sent [redacted]!", 1], "b": "plain"}


@pytest.mark.parametrize(
    ("name", "value", "blanked"),
    [
        ("HF_TOKEN", "canary-token", True),
        ("client_secret", "canary-secret", True),
        ("OPENAI_API_KEY_2", f"{KEY}-and-more", True),  # the longer one is blanked whole
        ("API_KEY", "short", False),
        ("HOME_OF_PETS", "/home/me/pets", False),
    ],
)
def test_which_values_are_keys(monkeypatch: pytest.MonkeyPatch, name: str, value: str, blanked: bool) -> None:
    monkeypatch.setenv(name, value)
    assert redact(f"<{value}>") == ("<[redacted]>" if blanked else f"<{value}>")


@pytest.mark.parametrize(
    "address",
    [
        *("http://host/v1?key=abc", "http://host/v1#abc", "http://me:secret@host/v1", "http://me@host/v1"),
        *(f"http://host/{KEY}/v1", "http://[host/v1"),
    ],
)
def test_an_address_that_may_hold_a_key_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(InputError, match="server address") as caught:
        check_address(address)
    assert "abc" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://localhost:8000/v1", "https://x.example/a/b"])
def test_a_plain_address_is_fine(address: str) -> None:
    check_address(address)
