"""The flags that all benchmarks share."""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def arguments(description: str | None, **extra: dict[str, Any]) -> argparse.Namespace:
    """Parse the flags that every benchmark has, and `extra` ones (name → arguments of `add_argument`)."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a size for correctness only; its times mean nothing")
    parser.add_argument("--repeats", type=int, default=5, help="times each thing is measured")
    for name, more in extra.items():
        parser.add_argument(f"--{name}", **more)
    return parser.parse_args()
