"""`CITATION.cff` is one (format: github.com/citation-file-format, schema 1.2.0); the version stands in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KEYS = {
    *("cff-version", "message", "title", "type", "abstract", "authors", "version", "license", "keywords"),
    *("preferred-citation",),
}
ENTITY, PERSON = {"name"}, {"family-names", "given-names"}


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return content


def test_the_file_has_the_required_keys_and_no_unknown_ones(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    assert set(citation) == KEYS
    for part in (citation, citation["preferred-citation"]):
        assert part["title"]
        assert part["authors"]
        assert all(set(author) in (ENTITY, PERSON) for author in part["authors"])
    assert citation["type"] == "software"
    assert isinstance(citation["version"], str)


def test_it_agrees_with_the_package(citation: dict[str, Any]) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for key in ("version", "license"):
        assert re.search(rf'^{key} = "(.*?)"', project, re.M)[1] == citation[key]  # type: ignore[index]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", changes, re.M)[0] == citation["version"]


def test_the_paper_is_the_one_of_the_notice(citation: dict[str, Any]) -> None:
    paper = citation["preferred-citation"]
    notice = " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())
    names = ", ".join(f"{author['given-names']} {author['family-names']}" for author in paper["authors"])
    assert names == "Yingjun Du, Wenfang Sun, Cees G. M. Snoek"
    assert f'{names}: "{paper["title"]}", NeurIPS {paper["year"]}, {paper["identifiers"][0]["value"]}' in notice
    assert not re.search(r"[&*]\w+\s*$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M), "no YAML aliases"
