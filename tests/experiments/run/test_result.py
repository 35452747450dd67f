"""`result.json` is read as it was written, and nothing else is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.run.files import write_json
from ipo_prompts.experiments.run.result import RewardNames, load_result
from ipo_prompts.metrics.errors import InputError
from support.report_files import change_json

RECORDED = Path(__file__).parents[2] / "recorded" / "api-paper-base-to-new"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    result = load_result(RECORDED).model_copy(
        update={
            "reward": RewardNames(name="retrieval", measure="recall@1", unit="queries"),
            "names": {"FRUITS": "fruit"},
            "lm": load_result(RECORDED).lm.model_copy(update={"optimizer": None}),
            "scored_only": 7,
        }
    )
    write_json(tmp_path / "result.json", result)
    assert load_result(tmp_path) == load_result(tmp_path / "result.json") == result


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda it: {**it, "surprise": 1}, r"surprise: extra inputs are not permitted"),
        (lambda it: {**it, "rows": [{**it["rows"][0], "part": "odd"}]}, r"rows\.0\.part"),
        (lambda it: {**it, "seed": "x"}, "seed: "),
        (lambda it: {key: it[key] for key in it if key != "clip"}, "clip: field required"),
        (lambda it: {**it, "reward": {"measure": "$x$ <b>"}}, r"reward\.measure: string should match pattern"),
    ],
)
def test_a_foreign_result_is_one_sentence(tmp_path: Path, change: Any, wrong: str) -> None:
    (tmp_path / "result.json").write_text((RECORDED / "result.json").read_text())
    change_json(tmp_path / "result.json", change)
    with pytest.raises(InputError, match=rf"result\.json does not have the form .*\({wrong}.*; restore it"):
        load_result(tmp_path)
