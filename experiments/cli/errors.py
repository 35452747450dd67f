"""Errors that are expected, each as one sentence on stderr and an exit code; anything else is a bug and is raised."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ipo.metrics.errors import InputError

INTERRUPTED = 130


def told(command: Callable[[], Any]) -> int:
    """Call a command and word what goes wrong; return its exit code, see `main`."""
    try:
        outcome = command()
        if outcome == INTERRUPTED:  # typer catches Ctrl-C and says nothing
            return _fail(
                "interrupted; what was done is kept: go on with --resume and the run directory; a benchmark or a sweep "
                "goes on with the same command.",
                INTERRUPTED,
            )
        return int(outcome or 0)
    except InputError as error:
        return _fail(str(error), 2)
    except PermissionError as error:
        return _fail(f"cannot get at {error.filename}: {error.strerror}; change its permissions or name another.", 2)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's own: a wrong flag or a missing argument
            return _usage_error(error)
        if type(error).__name__ == "Abort":
            return _fail("interrupted.", INTERRUPTED)
        message = _failure(error)
        if message is None:
            raise
        return _fail(message, 1)


def _usage_error(error: Any) -> int:
    """Word a wrong flag or a missing argument in our form; a command without arguments answers with its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        path = error.ctx.command_path if getattr(error, "ctx", None) else "ipo"
        reason = " ".join(error.format_message().split()).rstrip(". ")
        _fail(f"{reason[:1].lower()}{reason[1:]}; see `{path} --help`.", error.exit_code)
    return int(error.exit_code)


def _failure(error: Exception) -> str | None:
    """Word the failures that are not the user's to mend but are expected: the language model's."""
    if "dspy" not in sys.modules:
        return None
    from dspy.utils.exceptions import AdapterParseError, LMError

    from ipo.programs.optimizer import NothingUsable
    from ipo.programs.record.journal import redact

    if isinstance(error, NothingUsable):
        return str(error)
    if isinstance(error, LMError):
        reason = redact(" ".join(str(error).split()))[:400]
        return (
            f"the language model failed ({type(error).__name__}: {reason}); what was done is kept, go on with --resume."
        )
    if isinstance(error, AdapterParseError):
        answer = redact(" ".join(str(error.lm_response or "").split()))[:200]
        return f"the language model's answer cannot be read ({answer!r}); try another model with --lm or --describer."
    return None


def _fail(message: str, code: int) -> int:
    print(f"ipo: {' '.join(message.split())}", file=sys.stderr)
    return code
