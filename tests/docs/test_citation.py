"""`CITATION.cff` is one (format: github.com/citation-file-format, schema 1.2.0); the version stands in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo_prompts.experiments.run.answer import BIBTEX

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "cite.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return content


def test_what_a_report_cites_is_what_it_names(citation: dict[str, Any]) -> None:
    paper = citation["preferred-citation"]
    named = [f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]]
    plain = re.sub("[{}](?=IPO|:)", "", BIBTEX)
    for said in (paper["title"], " and ".join(named), paper["collection-title"], paper["volume"], str(paper["year"])):
        assert f"{{{said}}}" in plain


def test_it_agrees_with_the_package(citation: dict[str, Any]) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for key in ("version", "license"):
        assert re.search(rf'^{key} = "(.*?)"', project, re.M)[1] == citation[key]  # type: ignore[index]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", changes, re.M)[0] == citation["version"]


def test_the_bibtex_of_the_page_is_that_of_the_file(citation: dict[str, Any]) -> None:
    ours, paper = (
        {key: re.sub("[{}]", "", value) for key, value in re.findall(r"^ +(\w+) += \{(.*)\},?$", entry, re.M)}
        for entry in re.findall(r"^@.*?^\}", PAGE, re.M | re.S)
    )
    author = citation["authors"][0]["name"]
    assert ours == {"author": author, **{key: citation[key] for key in ("title", "version", "license")}}
    cited = citation["preferred-citation"]
    names = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in cited["authors"])
    told = {"title": cited["title"], "author": names, "booktitle": cited["collection-title"]}
    assert paper == told | {key: str(cited[key]) for key in ("volume", "year", "url")}
