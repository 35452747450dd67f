from pathlib import Path

import pytest

from ipo.experiments.compare import seeds
from ipo.metrics.errors import InputError

WORDS = ["lm=local/small", "steps=1", "candidates_per_step=1", "shots=1", "selection_shots=1", "describer=none"]


@pytest.mark.usefixtures("small_weights")
def test_each_seed_is_a_run_and_finished_ones_are_read(tmp_path: Path) -> None:
    first = seeds.run_seeds(tmp_path, 2, WORDS)
    assert [result["seed"] for result in first] == [0, 1]
    assert first[0]["data"]["fingerprint"] != first[1]["data"]["fingerprint"]  # other shots
    written = {run.name: (run / "result.json").stat().st_mtime_ns for run in tmp_path.iterdir()}
    assert seeds.run_seeds(tmp_path, 2, WORDS) == first
    assert written == {run.name: (run / "result.json").stat().st_mtime_ns for run in tmp_path.iterdir()}
    with pytest.raises(InputError, match="another steps"):
        seeds.run_seeds(tmp_path, 2, [*WORDS, "steps=2"])


def made(seed: int, gain: float, kept: bool) -> dict[str, object]:
    part = {
        "initial": {"accuracy": 0.30},
        "optimised": {"accuracy": 0.30 + gain},
        "difference": {"mean": gain, "ci95": [gain - 0.05, gain + 0.05]},
    }
    template = "a photo of a <CLASS>." if kept else f"number {seed} <CLASS>"
    return {
        "seed": seed,
        "template": template,
        "initial_template": "a photo of a <CLASS>.",
        "scores": {"test": part, "search": part},
        "seconds": {"total": 60.0},
    }


def test_the_table_gives_mean_interval_and_how_often_nothing_was_found() -> None:
    text = seeds.table([made(0, 0.10, False), made(1, 0.0, True), made(2, 0.05, False)])
    assert "| 0    | `number 0 <CLASS>`      | 30.00   | 40.00     | +10.00 [+5.00, +15.00]  | 60      |" in text
    # 10, 0 and 5: mean 5, t interval with 2 degrees of freedom: 5 ± 4.3027 · 5 / √3
    assert "over 3 seeds: +5.00 points [-7.42, +17.42]" in text
    assert "kept by 1 of 3" in text
