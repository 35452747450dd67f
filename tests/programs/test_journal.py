import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ipo_prompts.metrics import clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.journal import Journal, last, read, seconds_of_search
from support.runs import lines_of


def test_events_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("start", config={"seed": 0})
    journal.append("scores", step=3, scores=[{"accuracy": 0.1 + 0.2}])
    journal.close()
    events = read(tmp_path)
    assert [event["type"] for event in events] == ["start", "scores"]
    assert events[1]["scores"][0]["accuracy"] == 0.1 + 0.2  # bit for bit


def test_the_latest_event_that_fits_is_found(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        for step, value in ((0, 1), (1, 2), (1, 3), (2, 4)):
            journal.append("scores", step=step, value=value)
        journal.append("start", step=1)
        assert journal.find("scores") is None, "what this session wrote is no earlier one's"
    with closing(Journal(tmp_path)) as journal:
        found = [journal.find("scores", **match) for match in ({}, {"step": 1}, {"step": 1, "value": 2}, {"step": 9})]
    assert [event and event["value"] for event in found] == [4, 3, 2, None]
    last_of = last(tmp_path, "scores")
    assert last_of is not None and last_of["value"] == 4 and last(tmp_path, "end") is None


def test_a_damaged_last_line_is_dropped_and_writing_goes_on(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        journal.append("start")
        journal.append("scores", step=0)
    whole = journal.path.read_bytes()
    for cut in range(1, 20):
        journal.path.write_bytes(whole[:-cut])
        with closing(Journal(tmp_path)) as again:
            assert [event["type"] for event in again.events] == ["start"]
            again.append("scores", step=0)
        assert [event["type"] for event in read(tmp_path)] == ["start", "scores"]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "not json",
            '{"type": 3, "seconds": 1}',
            '{"type": "lm", "seconds": "1"}',
            '{"type": "lm"}',
            "[]",
            "[" * 100_000,
        ),
        *(f'{{"type": "lm", "seconds": {seconds}}}' for seconds in ("1e400", "NaN", "-1", f"1{'0' * 400}")),
    ],
)
def test_a_damaged_middle_line_is_an_error_that_names_it(tmp_path: Path, line: str) -> None:
    start, end = (lines_of({"type": kind, "seconds": 0}) for kind in ("start", "end"))
    (tmp_path / "journal.jsonl").write_text(f"{start}{line}\n{end}")
    for reading in (read, Journal):
        with pytest.raises(InputError, match=r"damaged in line 2; .* is then made again"):
            reading(tmp_path)
    assert last(tmp_path, "end") and not last(tmp_path, "lm")
    (tmp_path / "journal.jsonl").write_text(f"{line}\n{end}")
    with pytest.raises(InputError, match=r"damaged in line 1; .* or start a new run in another folder"):
        read(tmp_path)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text(lines_of({"type": "start", "seconds": 0}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.jsonl").symlink_to(tmp_path / "theirs")
    with pytest.raises(InputError, match="is a link"):
        Journal(tmp_path / "run")


def test_second_process_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ipo_prompts.programs.journal import Journal\n"
        "try: Journal(Path(sys.argv[1]))\n"
        "except ValueError as e: print(e)"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "another process is working" in answer.stdout
    journal.close()


def test_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the folder"):
        Journal(tmp_path / "file" / "run")


def test_wall_time_adds_up_over_sessions(tmp_path: Path) -> None:
    lines = [("start", 1.0), ("scores", 5.0), ("start", 2.0), ("scores", 3.5)]
    (tmp_path / "journal.jsonl").write_text(lines_of(*({"type": t, "seconds": s} for t, s in lines)))
    journal = Journal(tmp_path, started=clock.now() - 100)
    assert journal.seconds_before == pytest.approx(8.5)
    assert journal.seconds >= 8.5 + 100
    journal.close()


def test_the_time_of_searches_is_that_from_each_start_to_the_test(tmp_path: Path) -> None:
    lines = [("start", 1.0), ("scores", 5.0), ("start", 2.0), ("scores", 3.5), ("test", 4.0), ("end", 90.0)]
    (tmp_path / "journal.jsonl").write_text(lines_of(*({"type": t, "seconds": s} for t, s in lines)))
    assert seconds_of_search(read(tmp_path)) == pytest.approx(4 + 2)


def test_a_directory_that_was_moved_is_noticed_and_takes_along_what_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.append("start")
    (tmp_path / "run").rename(tmp_path / "moved")
    for again in range(2):
        with pytest.raises(InputError, match=r"moved or deleted .* move it back and resume"):
            journal.append("scores", step=again)
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "journal.jsonl").touch()  # another one has its name
    journal.close()
    assert [event["type"] for event in read(tmp_path / "moved")] == ["start", "scores", "scores"]
    assert not read(tmp_path / "run")
