"""A search, `predict` and an export on a device that is no CPU in name: the CPU's result, by the fast text path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.runs import SMALL, copy_images, ipo, result


def commands(device: str, images: Path, folder: Path) -> list[list[str]]:
    return [
        ["optimize", f"data=folder:{images}", *SMALL, f"device={device}", "--quiet", f"--out={folder}"],
        ["predict", str(folder), str(images), f"--device={device}", "--format=jsonl"],
        ["export", str(folder), "--to=head", f"--out={folder}-head.npz"],
    ]


def rows(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith('{"image"')]


def test_a_run_on_another_device_has_the_result_of_the_cpu(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = copy_images(tmp_path / "images")
    ended = subprocess.run(
        [sys.executable, "-m", "support.strange"],
        input=json.dumps(commands("auto", images, tmp_path / "strange")),
        env={**os.environ, "IPO_CACHE_DIR": str(tmp_path / "empty"), "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stderr.splitlines()[-1])
    assert told["codes"] == [0, 0, 0], ended.stderr
    assert told["passes"] > 0 and told["used"]["aten.convolution.default"] > 0, "both towers run on the device"
    printed = "".join(ipo(capfd, *words).out for words in commands("cpu", images, tmp_path / "cpu"))
    there, here = result(tmp_path / "strange"), result(tmp_path / "cpu")
    assert there["template"] == here["template"]
    assert there["rows"] == here["rows"]
    both = list(zip(rows(ended.stdout), rows(printed), strict=True))
    assert both and all(one["label"] == other["label"] for one, other in both)
