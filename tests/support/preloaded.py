"""What every run imports, reads and compiles, done once in the fork server by a whole run: a fork makes it free.

The run is a replay, for a language model that is asked leaves threads behind, which a fork loses.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest

from ipo_prompts.experiments.cli.app import main
from support.once import remember

RECORDED = Path(__file__).parents[1] / "recorded" / "api-cross-validated"
remember(pytest.MonkeyPatch())  # for as long as the process lives
with (
    TemporaryDirectory() as folder,
    patch.dict(os.environ, {"IPO_CACHE_DIR": f"{folder}/cache"}),
    redirect_stdout(io.StringIO()),
    redirect_stderr(io.StringIO()) as said,
):
    words = ["optimize", f"{RECORDED}/config.yaml", f"--lm=replay/{RECORDED}", f"--out={folder}/run"]
    assert main(words) == 0, said.getvalue()
