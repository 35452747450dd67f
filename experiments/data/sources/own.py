"""`python:MODULE:FUNCTION[:REST]`: data that a function of the user gathers; the function gets the text REST.

Calling a function of a module runs the module's code. So a module is imported only if a person typed its name (see
`allow`), and never because a spec was read, for example from a file. `gather_own` refuses all other modules, however
the data are loaded.
"""

from __future__ import annotations

from ipo_prompts.experiments.data.assemble import Gathered
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import blaming, is_own, load
from ipo_prompts.programs.trust import OWN_DATA

_allowed: set[str] = set()


def allow(specs: object) -> None:
    """Allow calls of the functions that are named in a spec or a list of specs, which a person must have typed.

    Values that name no function are ignored, whatever their type.
    """
    _allowed.update(filter(None, map(_named, specs if isinstance(specs, (list, tuple)) else [specs])))


def check_allowed(specs: object) -> None:
    """Refuse specs whose functions are not allowed.

    Raises:
        InputError: a spec names a function that no person typed; see `allow`.
    """
    for spec in specs if isinstance(specs, (list, tuple)) else [specs]:
        if (name := _named(spec)) and name not in _allowed:
            raise InputError(
                f"the data {spec} are gathered by code, and code is only run where a person types its name; if you "
                f"trust {name}, type {str(spec).strip()} again."
            )


def gather_own(rest: str) -> Gathered:
    """Call the function that `rest` names, with the text behind its name, and return the result.

    Raises:
        InputError: no person typed the function's name; or the function does not exist, fails, or returns no
            `Gathered`.
    """
    what, name = f"data={OWN_DATA}{rest}", _named(OWN_DATA + rest)
    if not name:
        raise InputError(f"{what} names no function; write {OWN_DATA}MODULE:FUNCTION, such as {OWN_DATA}mine:gather.")
    check_allowed(OWN_DATA + rest)
    function = load(name, what)
    with blaming(what):
        found = function(rest.removeprefix(name).removeprefix(":"))
    if not isinstance(found, Gathered):
        raise InputError(f"{what} returned a {type(found).__name__} and no Gathered; see ipo docs data.")
    return found


def _named(spec: object) -> str | None:
    """Return `module:function` if a spec names a function of the user, else None.

    >>> _named("python:mine:gather:some/folder"), _named("folder:pets")
    ('mine:gather', None)
    """
    kind, _, rest = str(spec).strip().partition(":")
    name = ":".join(rest.split(":", 2)[:2])
    return name if f"{kind}:" == OWN_DATA and is_own(name) else None
