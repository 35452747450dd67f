import json
import subprocess
import sys
from pathlib import Path

import pytest

from ipo.metrics.errors import InputError
from ipo.programs.record.journal import Journal, read


def test_events_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("start", config={"seed": 0})
    journal.append("scores", step=3, scores=[{"accuracy": 0.1 + 0.2}])
    journal.close()
    events = read(tmp_path)
    assert [event["type"] for event in events] == ["start", "scores"]
    assert events[1]["scores"][0]["accuracy"] == 0.1 + 0.2  # bit for bit


def test_torn_last_line_is_cut_off_and_writing_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("start")
    journal.append("scores", step=0)
    journal.close()
    whole = journal.path.read_bytes()
    for cut in range(1, 20):
        journal.path.write_bytes(whole[:-cut])
        again = Journal(tmp_path)
        assert [event["type"] for event in again.events] == ["start"]
        again.append("scores", step=0)
        again.close()
        assert len(read(tmp_path)) == 2


def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text(
        '{"type": "start", "seconds": 0}\nnot json\n{"type": "end", "seconds": 1}\n'
    )
    with pytest.raises(InputError, match="line 2"):
        Journal(tmp_path)


def test_second_process_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ipo.programs.record.journal import Journal\n"
        "try: Journal(Path(sys.argv[1]))\n"
        "except ValueError as e: print(e)"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "another process is working" in answer.stdout
    journal.close()


def test_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the run directory"):
        Journal(tmp_path / "file" / "run")


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal._file.close()
    journal._file = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115
    with pytest.raises(InputError, match="make room"):
        journal.append("scores", step=0)


def test_secrets_of_the_environment_are_blanked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret-123")
    journal = Journal(tmp_path)
    journal.append("lm_error", error="Incorrect API key provided: sk-very-secret-123.")
    journal.close()
    assert "very-secret" not in (tmp_path / "journal.jsonl").read_text()


def test_wall_time_adds_up_over_sessions(tmp_path: Path) -> None:
    lines = [("start", 1.0), ("scores", 5.0), ("start", 2.0), ("scores", 3.5)]
    text = "".join(json.dumps({"type": t, "seconds": s}) + "\n" for t, s in lines)
    (tmp_path / "journal.jsonl").write_text(text)
    journal = Journal(tmp_path)
    assert journal.seconds_before == pytest.approx(8.5)
    journal.close()
