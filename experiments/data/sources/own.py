"""`python:MODULE:FUNCTION[:REST]`: data that a function of the user's own gathers, given the text REST.

To call a function of a module is to run the module's code. So reading such a spec imports nothing, and only modules
that a person typed are imported (`allow`). Every way of loading data ends here, so all others are refused here.
"""

from __future__ import annotations

from ipo_prompts.experiments.data.assemble import Gathered
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import blaming, is_own, load
from ipo_prompts.programs.record.trust import OWN_DATA

_allowed: set[str] = set()


def allow(specs: object) -> None:
    """Allow calls of the functions that a spec or a list of specs names; only for what a person typed.

    Anything else is ignored, whatever its type.
    """
    _allowed.update(filter(None, map(_named, specs if isinstance(specs, (list, tuple)) else [specs])))


def check_allowed(specs: object) -> None:
    """Refuse functions of the user's own that nobody typed.

    Raises:
        InputError: see `allow`.
    """
    for spec in specs if isinstance(specs, (list, tuple)) else [specs]:
        if (name := _named(spec)) and name not in _allowed:
            raise InputError(
                f"the data {spec} are gathered by code, and code is only run where a person types its name; if you "
                f"trust {name}, type {str(spec).strip()} again."
            )


def gather_own(rest: str) -> Gathered:
    """Call the function with the text behind its name.

    Raises:
        InputError: nobody typed the function, it does not exist, it failed, or it returns no `Gathered`.
    """
    what, name = f"data={OWN_DATA}{rest}", _named(OWN_DATA + rest)
    if not name:
        raise InputError(f"{what} names no function; write {OWN_DATA}MODULE:FUNCTION, such as {OWN_DATA}mine:gather.")
    check_allowed(OWN_DATA + rest)
    function = load(name, what, "function")
    with blaming(what):
        found = function(rest.removeprefix(name).removeprefix(":"))
    if not isinstance(found, Gathered):
        raise InputError(f"{what} returned a {type(found).__name__} and no Gathered; see docs/own-pictures.md.")
    return found


def _named(spec: object) -> str | None:
    """Return `module:function` if a spec names a function of the user's own, else None.

    >>> _named("python:mine:gather:some/folder"), _named("folder:pets")
    ('mine:gather', None)
    """
    kind, _, rest = str(spec).strip().partition(":")
    name = ":".join(rest.split(":", 2)[:2])
    return name if f"{kind}:" == OWN_DATA and is_own(name) else None
