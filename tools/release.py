"""Builds the files of a release into `dist/`, and checks them.

python -m tools.release

The tree must be clean. The source archive is made from what is committed, and the wheel from the source archive. Then:
the archive holds every committed file; the wheel is that of the checkout, file by file; `twine check --strict` finds
nothing; an empty environment installs the wheel, prints its version and its pages, and runs a search without a
language model. The first check that fails ends the command with exit code 1.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEARCH = ("optimize", "--clip", "embedded", "--lm", "none", "steps=1", "--out", "run")


def run(*words: str | Path, cwd: Path) -> str:
    """Run a command and return what it prints on stdout.

    Raises:
        SystemExit: the command fails; what it printed on stderr is the message.
    """
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=outside, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def check(holds: bool, what: str) -> None:
    """Print a check that holds; end the command with one that does not."""
    if not holds:
        raise SystemExit(f"not so: {what}")
    print(f"  {what}", flush=True)


def contents(wheel: Path) -> dict[str, str]:
    """Return the digest of each file of a wheel but its list of files."""
    with zipfile.ZipFile(wheel) as files:
        names = [name for name in files.namelist() if not name.endswith("/RECORD")]
        return {name: hashlib.sha256(files.read(name)).hexdigest() for name in names}


def build(tree: Path, to: Path) -> tuple[Path, Path]:
    """Build a source archive and, from it, a wheel; check both against the tree, and return them."""
    run(sys.executable, "-m", "build", "--outdir", to, ".", cwd=tree)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tree / "straight", ".", cwd=tree)
    (archive,), (wheel,), (straight,) = to.glob("*.tar.gz"), to.glob("*.whl"), (tree / "straight").glob("*.whl")
    with tarfile.open(archive) as files:
        held = {name.partition("/")[2] for name in files.getnames()}
    links = {path.name for path in (ROOT / "ipo_prompts").iterdir() if path.is_symlink()}
    committed = [name for name in run("git", "ls-files", cwd=ROOT).splitlines() if not (ROOT / name).is_dir()]
    homes = {f"ipo_prompts/{name}" if name.split("/")[0] in links else name for name in committed}
    lacking = homes - held
    check(not lacking, f"the source archive holds every committed file {sorted(lacking)[:5] or ''}")
    twice = links & {name.split("/")[0] for name in held}
    check(not twice, f"the source archive holds no folder twice {sorted(twice) or ''}")
    check(contents(wheel) == contents(straight), "the source archive builds the wheel of the checkout")
    return archive, wheel


def try_out(wheel: Path, version: str, place: Path) -> None:
    """Install a wheel into an empty environment, and run it there."""
    venv.create(place / "venv", with_pip=True)
    programs = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "-q", wheel, cwd=place)
    ipo = programs / "ipo"
    check(run(ipo, "--version", cwd=place) == f"ipo {version}\n", f"an empty environment runs ipo {version}")
    check("glossary" in run(ipo, "docs", cwd=place), "it has the pages")
    run(ipo, *SEARCH, cwd=place)
    check((place / "run" / "report.html").is_file(), f"it runs ipo {' '.join(SEARCH[:-2])}")


def main() -> None:
    """Build and check a release."""
    if changed := run("git", "status", "--porcelain", cwd=ROOT):
        raise SystemExit(f"commit these changes, or remove them:\n{changed}")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    with tempfile.TemporaryDirectory() as folder:
        place, tree, made = (Path(folder, name) for name in ("try", "tree", "dist"))
        place.mkdir()
        committed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(committed)) as files:
            files.extractall(tree, filter="data")
        archive, wheel = build(tree, made)
        run(sys.executable, "-m", "twine", "check", "--strict", archive, wheel, cwd=place)
        check(True, "twine check --strict finds nothing")
        try_out(wheel, version, place)
        (ROOT / "dist").mkdir(exist_ok=True)
        for file in (archive, wheel):
            shutil.copy2(file, ROOT / "dist")
            print(f"dist/{file.name}: {(ROOT / 'dist' / file.name).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
