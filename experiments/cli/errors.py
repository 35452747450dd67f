"""Expected errors, each as one sentence on stderr and an exit code; any other is a bug."""

from __future__ import annotations

import errno
import re
import sys
from typing import Any

from ipo_prompts.metrics.errors import InputError, printable

INTERRUPTED = 130


class Interrupted(Exception):
    """Ctrl-C; `str(error)` says how to go on, with the words to type."""


def explain(error: Exception, command: str = "ipo") -> int | None:
    """Print what went wrong with a command; return the exit code, or None for a bug, of which nothing is printed."""
    if isinstance(error, InputError):
        return fail(str(error), 2)
    if (full := _full(error)) is not None:
        where = f"cannot write {full.filename}" if full.filename else "cannot write"
        return fail(f"{where}: {full.strerror}; make room, then repeat the command or --resume the run.", 2)
    if isinstance(error, PermissionError):
        return fail(f"cannot get at {error.filename}: {error.strerror}; change its permissions or name another.", 2)
    if isinstance(error, Interrupted):
        return fail(str(error), INTERRUPTED)
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's own: a wrong flag or a missing argument
        return _usage_error(error, command)
    if type(error).__name__ == "Abort":
        return fail("interrupted.", INTERRUPTED)
    message = _failure(error)
    return None if message is None else fail(message, 1)


def _full(error: BaseException | None) -> OSError | None:
    """Return the error of a full or read-only disk that is behind another, such as a library's own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error that was raised from itself is its own cause
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return error
        error = error.__cause__ or error.__context__
    return None


def fail(message: str, code: int) -> int:
    """Print one sentence; return the code. It may quote a server or a file name, which must not move the cursor."""
    print(f"ipo: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def _usage_error(error: Any, command: str) -> int:
    """Format a wrong flag or a missing argument in our form; a command without arguments answers with its help."""
    kind = type(error).__name__
    if kind == "NoArgsIsHelpError":
        error.show()
    else:
        path = error.ctx.command_path if getattr(error, "ctx", None) else command
        reason = _number(error) or " ".join(error.format_message().split()).rstrip(". ")
        if path == "ipo" and kind == "NoSuchOption":
            reason = reason.partition(" (")[0] + "; options stand after the command, as in `ipo optimize --quiet`"
        if kind == "MissingParameter" and (example := re.search(r"\bipo .*", error.ctx.command.epilog or "")):
            reason += f"; for example `{example[0]}`"
        see = " See" if reason.endswith("?") else "; see"
        fail(f"{reason[:1].lower()}{reason[1:]}{see} `{path} --help`.", error.exit_code)
    return int(error.exit_code)


def _number(error: Any) -> str | None:
    """Say of a flag that takes a number what it takes; None for any other error."""
    wanted = re.search(r"valid (integer|float|number)", str(getattr(error, "message", "")))
    if wanted is None or type(error).__name__ != "BadParameter" or error.param is None:
        return None
    from ipo_prompts.experiments.run.config import example_of

    flag, kind = error.param.opts[0], "a whole number" if "integer" in wanted[0] else "a number"
    return f"{flag} is {kind}, such as {flag} {example_of(error.param.name)}"


def _failure(error: Exception) -> str | None:
    """Format the failures that are expected but not the user's to fix: the language model's."""
    if "dspy" not in sys.modules:
        return None
    from dspy.utils.exceptions import AdapterParseError, LMError

    from ipo_prompts.programs.record.redaction import redact
    from ipo_prompts.programs.search import NothingUsable

    if isinstance(error, NothingUsable):
        return str(error)
    if isinstance(error, LMError):
        reason = redact(" ".join(str(error).split()))[:400]
        again = getattr(error, "resume_with", "use --resume")
        return f"the language model failed ({type(error).__name__}: {reason}); what was done is kept: {again}"
    if isinstance(error, AdapterParseError):
        answer = redact(" ".join(str(error.lm_response or "").split()))[:200]
        return f"the language model's answer cannot be read ({answer!r}); try another model with --lm or --describer."
    return None
