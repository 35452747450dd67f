"""What a language model takes, how a text is counted, and what a search's questions leave."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Models
from ipo_prompts.programs.strategies.window import FEWEST, room_in, window_of
from ipo_prompts.programs.templates.settings import SearchSettings


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("nothing is asked or fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("model", "tokens", "words"),
    [("openai/gpt-3.5-turbo", 16_385, 6), ("gpt-4o-mini", 128_000, 6), ("openai/gpt-4", 8_192, 6)],
)
def test_a_model_that_litellm_knows_is_counted_by_its_tokenizer(model: str, tokens: int, words: int) -> None:
    window = window_of(model)
    assert window is not None and window.tokens == tokens
    assert window.count("a photo of a street.") == words


def test_a_model_that_nobody_knows_has_no_window_but_a_given_one_and_counts_bytes() -> None:
    for model in ("openai/my-model", "ollama_chat/minicpm-v", "hosted_vllm/llama-3", "hosted_vllm/gpt-4"):
        assert window_of(model) is None
    window = window_of("hosted_vllm/llama-3", 8_192)
    assert window is not None and window.tokens == 8_192
    assert window.count("a street") == 4 and window.count("é") == 2


def test_a_paid_description_has_to_fit() -> None:
    window = window_of("openai/gpt-3.5-turbo", 4_096)
    strategy, fits = STRATEGIES.build({"name": "history", "size": 4}, Models()), None
    for reply in range(3_000, 0, -20):
        expected = Expected(SearchSettings(), "pets", reply_tokens=reply)
        try:
            room = room_in(window, strategy, expected, described=True)
        except InputError:
            continue
        fits = room
        break
    assert fits is not None and FEWEST + 1 <= fits.tokens < FEWEST + 1 + 20
    with pytest.raises(InputError, match="with one description") as raised:
        room_in(window, strategy, Expected(SearchSettings(), "pets", reply_tokens=reply + 20), described=True)
    told = int(re.findall(r"max_tokens=(\d+)", str(raised.value))[0])
    again = room_in(window, strategy, Expected(SearchSettings(), "pets", reply_tokens=told), described=True)
    assert again is not None and again.tokens == FEWEST + 1


def test_what_is_given_counts_more_than_what_is_known_and_local_models_are_not_bounded() -> None:
    window = window_of("openai/gpt-3.5-turbo", 4_096)
    assert window is not None and window.tokens == 4_096
    assert window_of("local", 100) is window_of("local/qwen@0123", 100) is None


def _room(strategy: dict[str, Any], tokens: int = 16_385, **expected: Any) -> int:
    window = window_of("openai/gpt-3.5-turbo", tokens)
    room = room_in(window, STRATEGIES.build(strategy, Models()), Expected(SearchSettings(), "pets", **expected))
    assert room is not None
    return room.tokens


def test_a_question_that_never_fits_is_refused_in_words_that_help() -> None:
    with pytest.raises(InputError, match=r"takes 4,096 tokens.*\(--lm\), or write max_tokens=\d+") as raised:
        _room({"name": "history", "size": 12}, 4_096, reply_tokens=2_048)
    fits = int(re.findall(r"max_tokens=(\d+)", str(raised.value))[0])
    assert _room({"name": "history", "size": 12}, 4_096, reply_tokens=fits) == 0
    with pytest.raises(InputError, match=r"takes 512 tokens.*\(--lm\), or, if it takes more, write lm_context=NUMBER"):
        _room({"name": "history"}, 512)
