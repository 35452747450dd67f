"""Keeping libraries from logging what is raised or reported anyway, without what a server echoes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent(*libraries: str) -> Iterator[None]:
    """Let these loggers say nothing below CRITICAL for the length of a block; then they have their own levels again."""
    loggers = [logging.getLogger(name) for name in libraries]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
