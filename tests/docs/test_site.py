"""The site and its generated pages, without the generator."""

import re
from pathlib import Path

import pytest

from support.pages import DOCS
from tools import api, site


def test_the_navigation_lists_each_page_once() -> None:
    listed = [page for pages in site.nav().values() for page in pages]
    assert sorted(listed) == sorted([*site.pages().values(), site.REPORT])


def test_the_reference_of_the_api_is_not_stale() -> None:
    page = (DOCS / "reference/api.md").read_text("utf-8")
    assert api.reference().rstrip() == page.rstrip(), "run: python -m tools.api > docs/reference/api.md"


def test_links_of_gathered_pages_lead_to_pages_or_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "PAGES", tmp_path)
    site.gather()
    made = {tmp_path / site.NOTEBOOK, tmp_path / site.REPORT}  # when the site is built
    for page in tmp_path.rglob("*.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)#\s]+)", text):
            target = (page.parent / link).resolve()
            assert "://" in link or target.is_file() or target in made, f"{page.relative_to(tmp_path)}: {link}"
    assert any(tmp_path.glob("files/**/*.py")), "a file that is no page is published"
