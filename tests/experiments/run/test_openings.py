"""The how many-th opening of its sealed pictures a run is, wherever the others were made."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.run.openings import Openings, count, names_digest, opening_of
from ipo_prompts.metrics.template import named
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.record.trust import seal
from support.late import end_before_the_search
from support.runs import SMALL, copy_pictures, ipo


def begin(journal: Journal) -> None:
    """Write what seals a run as begun here."""
    start = {"type": "start", "config": {"seed": 0}}
    journal.append("start", config=start["config"], seal=seal(start))


def opening(
    folder: Path,
    template: str,
    pictures: Collection[str] = "ab",
    elsewhere: int = 0,
    names: str = "A",
    found: str = "",
) -> Openings:
    """Open pictures as a run does, or as it does when it is resumed; `found` are the names of a search for some."""
    with closing(Journal(folder)) as journal:
        if not journal.find("start"):
            begin(journal)
        hits = {"initial": "01", template: "11"}
        if not journal.find("test", template=template, hits=hits):
            journal.append("test", template=template, hits=hits)
        this, called = opening_of(template, hits), (names, found or names)
        return count(this, {*pictures}, called, elsewhere, journal)


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


def test_a_run_from_elsewhere_is_one_opening_whatever_it_says(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "theirs")) as journal:
        known = [f"{number}" for number in range(1000)]
        journal.append("opened", this="x", known=known, elsewhere=10**6, pictures=["a"], given="A", allowed=["A"])
    assert opening(tmp_path / "run", "one").number == 2


def test_only_openings_of_some_of_the_pictures_count(tmp_path: Path) -> None:
    opening(tmp_path / "run", "one", "ab")
    assert opening(tmp_path / "others", "two", "cd").number == 1
    assert opening(tmp_path / "some", "three", "bx").number == 2


def test_what_was_said_of_elsewhere_is_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert opening(run, "one", elsewhere=4).number == 5
    found = opening(tmp_path / "beside", "two")
    assert (found.number, found.elsewhere) == (6, 4)
    assert opening(run, "one").number == 5
    assert opening(run, "one", elsewhere=7).number == 9, "another that was told when it was resumed"


def test_other_names_than_at_the_first_opening_give_no_p(tmp_path: Path) -> None:
    assert opening(tmp_path / "first", "one").tests
    assert opening(tmp_path / "second", "two").tests, "the same names"
    edited = opening(tmp_path / "edited", "three", names="B")
    assert edited.number == 3 and not edited.tests
    assert not opening(tmp_path / "edited-on", "four", names="B").tests, "the sealed pictures chose these, too"
    assert opening(tmp_path / "back", "five").tests, "these were there before any picture was opened"
    assert opening(tmp_path / "others", "six", "cd", names="B").tests, "of pictures that nobody has opened"
    assert not opening(tmp_path / "both", "seven", "abcd", names="B").tests, "B may come from what a and b showed"


def test_the_runs_that_opened_with_other_names_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        opening(tmp_path / name, name)
    opening(tmp_path / "c", "of other pictures", "cd")
    assert opening(tmp_path / "same", "three").renamed_in == ()
    assert opening(tmp_path / "d", "four", names="B").renamed_in == ("a", "b", "same")
    assert opening(tmp_path / "d", "five", names="B", elsewhere=1).renamed_in == ("a", "b", "same"), "not itself"


def test_names_that_a_search_found_may_be_gone_on_with(tmp_path: Path) -> None:
    opening(tmp_path / "first", "one")
    assert opening(tmp_path / "searched", "two", found="B").tests
    assert opening(tmp_path / "given", "three", names="B").tests, "sealed pictures had no part in them"
    assert opening(tmp_path / "again", "four", names="B", found="C").tests
    assert opening(tmp_path / "resumed", "five", found="D").tests
    assert opening(tmp_path / "resumed", "six", found="E").tests
    assert all(opening(tmp_path / name, name, names=name).tests for name in "CDE")
    assert not opening(tmp_path / "edited", "seven", names="X", found="Y").tests
    assert not opening(tmp_path / "on", "eight", names="Y").tests, "found, but from names that somebody edited"


def test_names_that_a_search_found_on_what_is_sealed_here_give_no_p(tmp_path: Path) -> None:
    opening(tmp_path / "first", "one", "ab", found="B")  # it may have searched on c and d
    assert not opening(tmp_path / "second", "two", "abcd", names="B").tests
    assert opening(tmp_path / "third", "three", "a", names="B").tests


def test_a_run_that_recorded_no_names_lets_none_be_tested(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "old")) as journal:
        journal.append("opened", this="x", known=["x"], elsewhere=0, pictures=["a"])
    found = opening(tmp_path / "run", "one")
    assert found.number == 2 and not found.tests


def test_names_are_those_of_prompts() -> None:
    assert names_digest(["hot_dog", "cat"]) == names_digest(["hot dog", "cat"])
    other = (
        ["cat", "hot dog"],
        ["Hot dog", "cat"],
        ["hot  dog", "cat"],
        ["hot dog", "\u017fat"],
        ["hot dog", "cat", "bus"],
        ["hot dog"],
        ["hot dog", named(["cat", "kitten"])],
    )
    assert len({names_digest(names) for names in (["hot dog", "cat"], *other)}) == 8


def test_a_record_that_is_odd_counts_for_nothing(tmp_path: Path) -> None:
    whole = {"this": "x", "known": ["x"], "elsewhere": 0, "pictures": ["a"]}
    for number, change in enumerate(({"pictures": 3}, {"known": [None]}, {"elsewhere": -1}, {"elsewhere": 10**30})):
        with closing(Journal(tmp_path / str(number))) as journal:
            journal.append("opened", **whole | change)
    assert opening(tmp_path / "run", "one").number == 1
    with closing(Journal(tmp_path / "run")) as journal:
        journal.append("test")
    assert opening(tmp_path / "run", "two").number == 3


@pytest.fixture()
def run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, clip: Any) -> Any:
    """Run the command in a folder of its own; return what `result.json` says of the test."""
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    monkeypatch.chdir(tmp_path)
    copy_pictures(Path("pictures"))

    def run(folder: str, *words: str) -> Any:
        ended = ipo(capfd, "optimize", *words)
        assert ended.code in (0, 3), ended.err
        found = json.loads((Path(folder) / "result.json").read_text())
        assert found["verdict"].partition("; ")[0].partition(" The test is")[0].rstrip(".") in ended.out
        return found

    return run


def test_limits_chains_and_numbers_from_elsewhere_are_counted_and_told(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        end_before_the_search(patch)
        stopped = run("a/run", "folder:pictures", *SMALL, "--max-minutes=10", "--out=a/run")
    assert (stopped["sealed"]["opened"], stopped["sealed"]["elsewhere"]) == (1, 0)
    resumed = run("a/run", "--resume=a/run", "--max-minutes=60")
    assert resumed["template"] != stopped["template"]
    found = resumed["scores"]["test"]["difference"]
    assert resumed["sealed"]["opened"] == found["opening"] == 2
    assert found["p_corrected"] == pytest.approx(min(1, found["p"] / 0.075), abs=2e-5)
    assert "it is opening 2 of these sealed pictures" in resumed["verdict"]
