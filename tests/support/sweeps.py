"""Sweep files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def sweep_file(folder: Path, **content: Any) -> Path:
    """Write a sweep file; return its path."""
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file
