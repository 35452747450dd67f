"""Finds environment variables that a newer litellm reads and that nobody has checked; run now and then, not by CI.

Prints the variables that the installed litellm does not read and whose names `SECRET_NAME` does not match
(programs/record/redaction.py). Check each: if it holds a secret, add it to `SECRET_NAME`. The exit code is 1 if there
are any.

    python -m tools.litellm_names              # the newest litellm, fetched by pip into a temporary folder
    python -m tools.litellm_names litellm.whl  # another one
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from ipo_prompts.programs.record.redaction import SECRET_NAME

_READ = re.compile(
    r"(?:getenv|get_secret(?:_str|_bool)?|environ(?:\.(?:get|pop|setdefault))?)\s*[(\[]\s*[\"']([A-Za-z_][A-Za-z0-9_]+)"
)


def names_read(sources: Iterable[str]) -> set[str]:
    """Return the variables that Python sources read.

    >>> sorted(names_read(['os.getenv("A_URL") or get_secret_str("B_KEY")', "os.environ['C']; os.environ.get( 'D_E')"]))
    ['A_URL', 'B_KEY', 'D_E']
    """
    return {name for source in sources for name in _READ.findall(source)}


def in_wheel(wheel: Path) -> set[str]:
    """Return the variables that a wheel reads."""
    with zipfile.ZipFile(wheel) as opened:
        files = [name for name in opened.namelist() if name.endswith(".py")]
        return names_read(opened.read(name).decode(errors="replace") for name in files)


def installed() -> set[str]:
    """Return the variables that the installed litellm reads; litellm is not imported."""
    found = find_spec("litellm")
    folder = Path(found.origin).parent if found and found.origin else Path()
    return names_read(file.read_text(encoding="utf-8", errors="replace") for file in folder.rglob("*.py"))


def main() -> int:
    """Print the names."""
    parser = argparse.ArgumentParser(prog="python -m tools.litellm_names", description=__doc__)
    parser.add_argument("wheel", type=Path, nargs="?", help="a wheel of litellm; by default, the newest is fetched")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        wheel = given.wheel
        if wheel is None:
            fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "litellm"]
            subprocess.run([*fetch, "--dest", folder], check=True)
            wheel = next(Path(folder).glob("*.whl"))
        new = sorted(name for name in in_wheel(wheel) - installed() if not SECRET_NAME.search(name))
        print("\n".join([f"{len(new)} names in {wheel.name} to check", *new]))
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
