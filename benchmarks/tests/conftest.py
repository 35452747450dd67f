"""What tests of the lab share beside what all tests do."""

from __future__ import annotations

from support.lessons import lesson  # noqa: F401 - a fixture
