"""Descriptions that do not fit: which are kept, where they are cut, and what is left as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.strategies.window import (
    Room,
    Window,
    fitted_texts,
    shorten,
    window_of,
)

WORDS = st.sampled_from(["red", "bus.", "extraordinarily", "of", "\n", "明亮", "x" * 60, "ends!", "...", "naïve,"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=120).map(" ".join), max_size=40)


def _exactly(text: str) -> int:
    window = window_of("openai/gpt-3.5-turbo")
    assert window is not None
    return window.count(text)


def _by_bytes(text: str) -> int:
    window = window_of("openai/unheard-of", 100)
    assert window is not None
    return window.count(text)


COUNTS = st.sampled_from([_exactly, _by_bytes])


@settings(max_examples=150, deadline=None)
@given(texts=TEXTS, room=st.integers(0, 3000), count=COUNTS)
def test_whatever_is_shown_fits_in_its_order_and_is_the_start_of_a_description(
    texts: list[str], room: int, count: Callable[[str], int]
) -> None:
    shown, level = shorten(texts, room, count)
    assert count("\n".join(shown)) <= room
    places = [place * len(texts) // len(shown) for place in range(len(shown))] if shown else []
    assert len(set(places)) == len(shown), "evenly over the pictures, none twice"
    for place, text in zip(places, shown, strict=True):
        assert texts[place].startswith(text)
        assert text == texts[place] or count(text) <= level
    assert shorten(texts, room, count) == (shown, level)
    if count("\n".join(texts)) <= room:
        assert (shown, level) == (texts, 0)


def test_short_ones_stay_whole_and_longer_ones_share_what_they_leave() -> None:
    short, long = "A red bus.", "It stands in a street of a town " * 40
    shown, level = shorten([long, short, long], 300, _exactly)
    assert shown[1] == short
    assert shown[0] == shown[2] and level > 300 / 3, "more than a third each: the short one leaves some"
    assert 290 < _exactly("\n".join(shown)) <= 300


def test_a_cut_comes_at_the_end_of_a_sentence_where_that_keeps_half_else_at_a_word() -> None:
    sentences = "The light is soft. " * 60
    assert shorten([sentences] * 2, 100, _exactly)[0][0].endswith("The light is soft.")
    early = "Red. " + "and a street of stones " * 60
    assert shorten([early] * 2, 100, _exactly)[0][0].endswith(("and", "a", "street", "of", "stones"))
    assert len(shorten([early] * 2, 100, _exactly)[0][0]) > 100


def test_it_is_said_and_recorded_once_and_a_resumed_search_keeps_its_room(clip: object, tmp_path: object) -> None:
    from pathlib import Path

    from ipo_prompts.programs.record.journal import Journal, read

    assert isinstance(tmp_path, Path)
    texts, said = ["a street of a town " * 60] * 5, []
    for room in (400, 300):  # what litellm knows may change between two sessions
        journal = Journal(tmp_path)
        record = ScoreKeeper(journal, ClipReward(clip, ["cat", "dog"]))  # type: ignore[arg-type]
        shown = fitted_texts(texts, Room(Window("openai/some", 1000, _exactly), room), record, said.append)
        assert shown == shorten(texts, 400, _exactly)[0]
        journal.close()
    assert len([event for event in read(tmp_path) if event["type"] == "shortened"]) == 1
    assert said == ["of 5 descriptions all are shown, cut to 79 tokens each: openai/some takes 1,000 tokens"] * 2


@pytest.mark.parametrize("first", [None, 400])
def test_a_search_that_is_resumed_shows_what_it_began_with(clip: object, tmp_path: object, first: int | None) -> None:
    from pathlib import Path

    from ipo_prompts.programs.record.journal import Journal

    assert isinstance(tmp_path, Path)
    window, texts = window_of("openai/gpt-3.5-turbo"), ["a street of a town " * 60] * 5
    assert window is not None
    shown = []
    for room in (first, 400 if first is None else None):  # a window that is given, or known, in one session only
        journal = Journal(tmp_path)
        record = ScoreKeeper(journal, ClipReward(clip, ["cat", "dog"]))  # type: ignore[arg-type]
        shown.append(fitted_texts(texts, room and Room(window, room), record, lambda line: None))  # type: ignore[arg-type]
        record.note("scores", step=0)
        journal.close()
    assert shown[0] == shown[1] == (texts if first is None else shorten(texts, 400, _exactly)[0])
