"""Measures how large the source is, room by room, and how its files depend on each other, to compare revisions.

    python -m tools.size [FOLDER] [--at REVISION] [--walk]

The report is Markdown. A room is a folder of the second level with all below it, or the files that lie directly in a
folder of the first level. Below the total of the product stand the lab (`benchmarks/`), examples, tools and tests.
Files at the top of the checkout are left out. For each room:

- statements: Python statements, without docstrings, below a class or function or below a constant.
- code: lines that hold a token. Docstrings, comments and blank lines hold none; of a string, all lines count.
- YAML, templates: lines of `.yaml`, `.j2` and `.css` that are not blank.
- longest file, lines a file: of Python files, with every line.

A second table has the core and the leaves of the product, the lab and the examples, the latter two without their tests.
The present `tools/leaves.yaml` says what is a leaf, for every revision. Then follow, for the product alone:

- public classes and functions at the top of a file whose name another file defines, too;
- circles of imports, among files and among rooms: in a circle, each can be reached from each other. All `import`
  statements count, also in functions and under `if TYPE_CHECKING`; names in the text of registries do not count;
- files that exactly one other file imports;
- with `--walk`, how often one call returns to a file: see `tools/walk.py`.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import yaml
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from tools.walk import package_of, walk

APART = ("tools", "benchmarks", "examples", "tests")
LISTED: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("leaves.yaml").read_text(encoding="utf-8"))
LEAVES = tuple(place for places in LISTED.values() for place in places)
"""Files and folders; folders end with a slash."""
TEXTS = (".yaml", ".j2", ".css")
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


@dataclass(frozen=True)
class File:
    """The counts of a file; a file that is not Python has `texts` alone."""

    lines: int = 0
    statements: int = 0
    code: int = 0
    texts: int = 0
    defines: tuple[str, ...] = ()
    imports: frozenset[str] = frozenset()
    """Dotted names; a name in a `from … import` has its module in front."""


def read(path: Path) -> File:
    """Count a file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return File(texts=sum(bool(line.strip()) for line in source.splitlines()))
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    bare = (node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    docstrings = {(value.lineno, value.col_offset) for value in bare if isinstance(value.value, str)}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in NO_CODE]
    held = (range(token.start[0], token.end[0] + 1) for token in tokens if token.start not in docstrings)
    tops = [node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))]
    froms = (node for node in nodes if isinstance(node, ast.ImportFrom))
    imports = [f"{node.module}.{alias.name}" for node in froms for alias in node.names]
    imports += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return File(
        lines=len(source.splitlines()),
        statements=sum(isinstance(node, ast.stmt) for node in nodes) - len(docstrings),
        code=len({line for lines in held for line in lines}),
        defines=tuple(name for name in tops if not name.startswith("_")),
        imports=frozenset(imports),
    )


def room(name: str) -> str:
    """Return the room of a file; a room of the first level ends with a slash."""
    first, *rest = name.split("/")
    return f"{first}/{rest[0] if len(rest) > 1 else ''}"


def table(product: Mapping[str, File], apart: Mapping[str, File]) -> Iterator[str]:
    """Yield the rows: each room, each folder of several rooms, the total of the product; then the folders apart."""
    yield "| room | files | statements | code | YAML, templates | longest file | lines a file |"
    yield "| --- | ---: | ---: | ---: | ---: | --- | ---: |"
    for top, titles in groupby(sorted({room(name) for name in product}), lambda title: title.split("/")[0]):
        for title in (rooms := list(titles)):
            yield _row(f"`{title}`", {name: file for name, file in product.items() if room(name) == title})
        if len(rooms) > 1:
            yield _row(f"**all of `{top}`**", {name: f for name, f in product.items() if name.startswith(f"{top}/")})
    yield _row("**all**", product)
    for top in APART:
        if found := {name: file for name, file in apart.items() if name.startswith(f"{top}/")}:
            yield _row(f"`{top}`, apart", found)


def _row(title: str, files: Mapping[str, File]) -> str:
    python = {name: file.lines for name, file in files.items() if name.endswith(".py")}
    longest = max(python, key=lambda name: python[name], default=None)
    told = f"`{longest}` {python[longest]:,} | {sum(python.values()) / len(python):.0f}" if longest else "|"
    sums = (sum(getattr(file, what) for file in files.values()) for what in ("statements", "code", "texts"))
    return f"| {title} | {len(python)} | {' | '.join(f'{n:,}' for n in sums)} | {told} |"


def parts(product: Mapping[str, File], apart: Mapping[str, File]) -> Iterator[str]:
    """Yield a row each for core, leaves, lab and examples, and a row for their sum."""
    sides = {
        "core": {name: file for name, file in product.items() if not name.startswith(LEAVES)},
        "leaves": {name: file for name, file in product.items() if name.startswith(LEAVES)},
        "lab": _outside("benchmarks", apart),
        "examples": _outside("examples", apart),
    }
    sides["product, lab and examples"] = {name: file for side in sides.values() for name, file in side.items()}
    yield "| part | files | statements |"
    yield "| --- | ---: | ---: |"
    for title, files in sides.items():
        python = [file for name, file in files.items() if name.endswith(".py")]
        yield f"| {title} | {len(python)} | {sum(file.statements for file in python):,} |"


def _outside(top: str, apart: Mapping[str, File]) -> dict[str, File]:
    """Return the files of a folder that stands apart, without its tests."""
    own = {name: file for name, file in apart.items() if name.startswith(f"{top}/")}
    return {name: file for name, file in own.items() if "tests" not in name.split("/")}


def several(files: Mapping[str, File]) -> dict[str, list[str]]:
    """Return name → files, for names that several files define; names with most files come first."""
    homes = defaultdict[str, list[str]](list)
    for name, file in files.items():
        for defined in file.defines:
            homes[defined].append(name)
    return {name: homes[name] for name in sorted(homes, key=lambda name: (-len(homes[name]), name)) if homes[name][1:]}


def imports(files: Mapping[str, File], package: str) -> dict[str, set[str]]:
    """Return Python file → the other files that it imports; `package` is the package that holds all files."""
    modules = {}
    for name in files:
        if name.endswith(".py"):
            below = name.removeprefix("package/").removesuffix(".py").removesuffix("__init__").rstrip("/")
            modules[f"{package}.{below.replace('/', '.')}".rstrip(".")] = name
    found = {name: set[str]() for name in modules.values()}
    for name in found:
        for dotted in files[name].imports:
            found[name] |= {modules.get(dotted) or modules.get(dotted.rpartition(".")[0]) or name} - {name}
    return found


def circles(edges: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node, largest first."""
    nodes = sorted(edges)
    matrix = csr_array([[target in edges[node] for target in nodes] for node in nodes], dtype=int)
    found = defaultdict[int, list[str]](list)
    for node, label in zip(nodes, connected_components(matrix, connection="strong")[1], strict=True):
        found[label].append(node)
    return sorted((circle for circle in found.values() if len(circle) > 1), key=lambda circle: (-len(circle), circle))


def report(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the report on the files with these names."""
    wanted = (name for name in names if "/" in name and name.endswith((".py", *TEXTS)))
    files = {name: read(folder / name) for name in sorted(wanted) if (folder / name).is_file()}
    apart = {name: file for name, file in files.items() if name.split("/")[0] in APART}
    files = {name: file for name, file in files.items() if name not in apart}
    yield from table(files, apart)
    yield ""
    yield from parts(files, apart)
    told = [f"`{name}` ({', '.join(homes)})" for name, homes in several(files).items()]
    yield f"\n**Names that several files define: {len(told)}.** {'; '.join(told)}"
    edges = imports(files, package_of(folder))
    rooms = defaultdict[str, set[str]](set)
    for name, found in edges.items():
        rooms[room(name)] |= {room(other) for other in found}
    for what, among in (("files", edges), ("rooms", rooms)):
        told = [", ".join(circle) for circle in circles(among)]
        yield f"\n**Circles of imports among {what}: {len(told)}.** {'; '.join(told)}"
    count = Counter(other for found in edges.values() for other in found)
    told = sorted(f"{other} (by {name})" for name, found in edges.items() for other in found if count[other] == 1)
    yield f"\n**Files that exactly one other imports: {len(told)}.** {'; '.join(told)}"


@contextmanager
def revision(folder: Path, name: str | None) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder with a revision and its files' names; without a revision, the given folder as it is."""
    git = ["git", "-C", str(folder), *(("archive", name) if name else ("ls-files", "-zco", "--exclude-standard"))]
    said = subprocess.run(git, stdout=subprocess.PIPE, check=True).stdout
    if not name:
        yield folder, said.decode().split("\0")
        return
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(fileobj=io.BytesIO(said)) as archive:
        archive.extractall(temporary, filter="data")
        yield Path(temporary), archive.getnames()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="Measure the size of the source, and how its files depend on each other."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--at", metavar="REVISION", help="measure this revision; nothing is checked out")
    parser.add_argument("--walk", action="store_true", help="run the package and follow one call")
    given = parser.parse_args()
    try:
        with revision(given.folder, given.at) as (folder, names):
            print(*report(folder, names), *([walk(folder)] if given.walk else ()), sep="\n")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # git has said why


if __name__ == "__main__":
    main()
