"""How often test images were tested before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ipo_prompts.experiments.run.tested_before import FILE_NAME, count, name_of, state_dir, times_before, told


def test_only_the_first_test_of_images_is_fresh() -> None:
    assert times_before(lambda: "abcd") == 0
    assert [count(name, "abcd") for name in ("one", "two", "three")] == [0, 1, 2]
    assert times_before(lambda: "abcd") == 3


def test_the_same_answers_again_are_the_same_test() -> None:
    for times, name in enumerate(("one", "two", "three")):
        assert count(name, "abcd") == times
    assert count("two", "abcd") == 1
    assert times_before(lambda: "abcd") == 3
    assert name_of(["a", {"first": "01"}]) != name_of(["a", {"first": "10"}])


@pytest.mark.parametrize(("images", "before"), [("abwxyz", 0), ("abcwxy", 1), ("ab", 1), ("wx", 0)])
def test_tests_that_share_half_of_the_images_count(images: str, before: int) -> None:
    count("one", "abcd")
    assert times_before(lambda: images) == count("two", images) == before


def test_a_line_that_was_not_written_whole_is_passed_over() -> None:
    count("one", "abcd")
    file = state_dir() / FILE_NAME
    with file.open("a") as lines:
        lines.write('{"name": "half')
    assert count("two", "abcd") == 1
    assert count("three", "abcd") == 2


def test_tests_at_the_same_time_are_all_counted() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: count(str(name), "abcd"), range(12)))
    assert sorted(found) == list(range(12))


def test_how_often_in_words() -> None:
    assert told(1) == "these test images were tested once before; for a p-value, search on new images"
    assert told(2) == "these test images were tested 2 times before; for a p-value, search on new images"
