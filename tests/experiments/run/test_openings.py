"""The how many-th opening of its sealed pictures a run is, wherever the others were made."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from ipo_prompts.experiments.run.openings import Openings, count, opening_of
from ipo_prompts.programs.record.journal import Journal


def opening(
    folder: Path,
    template: str,
    pictures: Collection[str] = "ab",
    elsewhere: int = 0,
    names: str = "A",
) -> Openings:
    """Open pictures as a run does, or as it does when it is resumed."""
    with closing(Journal(folder)) as journal:
        hits = {"initial": "01", template: "11"}
        if not journal.find("test", template=template, hits=hits):
            journal.append("test", template=template, hits=hits)
        return count(opening_of(template, hits), {*pictures}, (names, names), elsewhere, journal)


def test_a_resumed_run_that_opens_with_another_template_opens_again(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    assert opening(run, "one").number == 1
    assert opening(other, "two").number == 2
    assert opening(run, "one").number == 1, "it opened nothing new"
    assert opening(run, "three").number == 3, "what was opened beside it in the meantime counts"
    assert opening(run, "one").number == 1


def test_a_test_that_was_killed_before_it_was_counted_counts(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "run")) as journal:
        journal.append("test", template="one", hits={"initial": "01", "one": "00"})
    assert opening(tmp_path / "run", "two").number == 2


def test_the_same_test_again_is_no_other_opening(tmp_path: Path) -> None:
    assert opening(tmp_path / "run", "one").number == opening(tmp_path / "replayed", "one").number == 1
    assert opening_of("one", {"one": "11"}) != opening_of("one", {"one": "10"}), "on another CLIP it is"


def test_a_run_that_repeats_another_keeps_the_number_of_its_opening(tmp_path: Path) -> None:
    for number, template in enumerate(("one", "two", "three"), 1):
        assert opening(tmp_path / template, template).number == number
    assert opening(tmp_path / "again", "two").number == 2, "it tests nothing new"
    assert opening(tmp_path / "told of more", "two", elsewhere=5).number == 8


def test_only_openings_of_some_of_the_pictures_count(tmp_path: Path) -> None:
    opening(tmp_path / "run", "one", "ab")
    assert opening(tmp_path / "others", "two", "cd").number == 1
    assert opening(tmp_path / "some", "three", "bx").number == 2


def test_other_names_than_at_the_first_opening_give_no_p(tmp_path: Path) -> None:
    assert opening(tmp_path / "first", "one").tests
    assert opening(tmp_path / "second", "two").tests, "the same names"
    edited = opening(tmp_path / "edited", "three", names="B")
    assert edited.number == 3 and not edited.tests
    assert not opening(tmp_path / "edited-on", "four", names="B").tests, "the sealed pictures chose these, too"
    assert opening(tmp_path / "back", "five").tests, "these were there before any picture was opened"
    assert opening(tmp_path / "others", "six", "cd", names="B").tests, "of pictures that nobody has opened"
    assert not opening(tmp_path / "both", "seven", "abcd", names="B").tests, "B may come from what a and b showed"
