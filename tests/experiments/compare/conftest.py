"""What tests of methods share."""

from __future__ import annotations

from support.lessons import lesson  # noqa: F401 - a fixture
