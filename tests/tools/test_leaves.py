"""No file of the core imports a leaf of `tools/leaves.yaml`; the core names leaves as text for `resolve_name`."""

from __future__ import annotations

import re
from pathlib import Path

from tools.size import LEAVES, TEXTS, imports, read

ROOT = Path(__file__).parents[2]
PRODUCT = ("experiments", "metrics", "package", "programs", "signatures")
PATHS = sorted(path for top in PRODUCT for path in (ROOT / top).rglob("*") if path.suffix in (".py", *TEXTS))
FILES = {path.relative_to(ROOT).as_posix(): read(path) for path in PATHS}


def test_no_core_file_imports_a_leaf() -> None:
    edges = imports(FILES, "ipo_prompts")
    found = {
        name: sorted(other for other in edges[name] if other.startswith(LEAVES))
        for name in sorted(edges)
        if not name.startswith(LEAVES)
    }
    assert {name: leaves for name, leaves in found.items() if leaves} == {}


def test_modules_are_imported_by_their_names_for_classes_of_users_alone() -> None:
    core = [name for name in FILES if name.endswith(".py") and not name.startswith(LEAVES)]
    found = [name for name in core if re.search(r"import_module|__import__", (ROOT / name).read_text())]
    assert found == ["metrics/registry.py"]


def test_each_leaf_is_there() -> None:
    assert [place for place in LEAVES if not any(name.startswith(place) for name in FILES)] == []
