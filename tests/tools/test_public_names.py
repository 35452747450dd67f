"""The product uses public names of other packages, and changes none of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORBIDDEN = re.compile(
    r"unittest|mock\.patch|dspy\.(_|clients)|from dspy import _|backend_selection"
    r"|^\s*(dspy|litellm|httpx|wandb|torch|open_clip)(\.\w+)*\.[A-Za-z_]+ = (?!True|False)",
    re.MULTILINE,
)


def test_no_private_name_and_no_patch() -> None:
    for folder in ("metrics", "programs", "signatures", "experiments", "ipo_prompts"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not FORBIDDEN.search(file.read_text("utf-8")), file
