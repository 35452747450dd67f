"""How large the source is, room by room, and how it hangs together: numbers to compare revisions by, in Markdown.

    python -m tools.size [FOLDER] [--at REVISION] [--walk]

A room is a folder of the second level with all below it, or the files that lie directly in a folder of the first level.
Examples, tools, benchmarks and tests stand apart, below the total; files at the top of the checkout are left out. Of
each room:

- statements: those of Python's grammar. Docstrings are none, below a class or function or below a constant.
- code: lines that hold a token. Docstrings, comments and blank lines do not; a string of several lines does, whole.
- YAML, templates: lines of `.yaml`, `.j2` and `.css` that are not blank.
- longest file, lines a file: of Python, with everything in it.

Below the table, without what stands apart:

- public classes and functions at the top of a file whose name another file defines too;
- circles of imports, among files and among rooms: each can be reached from each other one. All `import` statements
  count, those in functions and under `if TYPE_CHECKING` too; what registries name as text does not;
- files that exactly one other file imports;
- with `--walk`, how often the way of one call returns to a file: see `tools/walk.py`.
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

from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from tools.walk import package_of, walk

APART = ("examples", "tools", "benchmarks", "tests")
TEXTS = (".yaml", ".j2", ".css")
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


@dataclass(frozen=True)
class File:
    """What is counted of a file; of one that is not Python, `texts` alone."""

    lines: int = 0
    statements: int = 0
    code: int = 0
    texts: int = 0
    defines: tuple[str, ...] = ()
    imports: frozenset[str] = frozenset()
    """Dotted; each name of a `from … import` with its module."""


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
    """Return the room of a file; one of the first level ends with a slash."""
    first, *rest = name.split("/")
    return f"{first}/{rest[0] if len(rest) > 1 else ''}"


def table(product: Mapping[str, File], apart: Mapping[str, File]) -> Iterator[str]:
    """Yield a row for each room, each folder of several and the total of the product; then for what stands apart."""
    yield "| room | files | statements | code | YAML, templates | longest file | lines a file |"
    yield "| --- | ---: | ---: | ---: | ---: | --- | ---: |"
    for top, titles in groupby(sorted({room(name) for name in product}), lambda title: title.split("/")[0]):
        for title in (rooms := list(titles)):
            yield _row(f"`{title}`", {name: file for name, file in product.items() if room(name) == title})
        if len(rooms) > 1:
            yield _row(f"**all of `{top}`**", {name: f for name, f in product.items() if name.startswith(f"{top}/")})
    yield _row("**all**", product)
    for top in APART:
        yield _row(f"`{top}`, apart", {name: file for name, file in apart.items() if name.startswith(f"{top}/")})


def _row(title: str, files: Mapping[str, File]) -> str:
    python = {name: file.lines for name, file in files.items() if name.endswith(".py")}
    longest = max(python, key=lambda name: python[name], default=None)
    told = f"`{longest}` {python[longest]:,} | {sum(python.values()) / len(python):.0f}" if longest else "|"
    sums = (sum(getattr(file, what) for file in files.values()) for what in ("statements", "code", "texts"))
    return f"| {title} | {len(python)} | {' | '.join(f'{n:,}' for n in sums)} | {told} |"


def several(files: Mapping[str, File]) -> dict[str, list[str]]:
    """Return the names that several files define, those of most files first."""
    homes = defaultdict[str, list[str]](list)
    for name, file in files.items():
        for defined in file.defines:
            homes[defined].append(name)
    return {name: homes[name] for name in sorted(homes, key=lambda name: (-len(homes[name]), name)) if homes[name][1:]}


def imports(files: Mapping[str, File], package: str) -> dict[str, set[str]]:
    """Return what each Python file imports of the others, `package` being the package that holds them all."""
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
    """Yield the lines of the table and what stands below it, of the files of these names."""
    wanted = (name for name in names if "/" in name and name.endswith((".py", *TEXTS)))
    files = {name: read(folder / name) for name in sorted(wanted) if (folder / name).is_file()}
    apart = {name: file for name, file in files.items() if name.split("/")[0] in APART}
    files = {name: file for name, file in files.items() if name not in apart}
    yield from table(files, apart)
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
    """Yield a folder that holds a revision, or the folder as it is when there is no name, and the files it holds."""
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
    parser = argparse.ArgumentParser(description="How large the source is, and how it hangs together.")
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
