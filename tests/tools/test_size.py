"""What `python -m tools.size` counts, on a small checkout."""

from __future__ import annotations

from pathlib import Path

from tools.size import Size, of_file, report

SOURCE = '''"""A file,
told in two lines."""

import os  # a comment beside code

# a comment alone
LIMIT = 3
"""What a constant means."""
TEXT = f"""one {LIMIT + 1}

three"""


class Thing: """On the line of its class."""


def _hidden() -> int:
    """Return."""
    return os.getpid(
    )
'''


def test_docstrings_comments_and_layout_are_no_code() -> None:
    head, thing, hidden = 2 + 3 + 3, 3, 7
    assert of_file(SOURCE) == Size(1, 6, head + thing + hidden + 6)


def test_links_are_not_followed_and_what_is_above_a_ceiling_is_named(tmp_path: Path) -> None:
    for folder in ("programs", "ipo_prompts", "tests"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "ipo_prompts" / "programs").symlink_to(tmp_path / "programs")
    table, above = report(tmp_path, {"product": 6, "tests": 2})
    assert "| product | 2 | 2 | 6 | 6 |" in table
    assert above == ["tests holds 3 tokens, 1 above its ceiling."]
