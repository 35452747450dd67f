"""Links between the pages lead somewhere, and messages and help name pages that exist."""

import re
from pathlib import Path

import pytest

from ipo_prompts.experiments.cli import installation as docs
from support.runs import ipo

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    plain = (re.sub(r"\]\([^)]*\)", "]", head).lower() for head in heads)
    return {re.sub(r"[^\w\- ]", "", head).strip().replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or file.suffix != ".md" or anchor in anchors(file), f"{target}#{anchor}"


def test_ipo_docs_lists_all_pages_and_prints_one(capfd: pytest.CaptureFixture[str]) -> None:
    listed = set(re.findall(r"^  (\S+) ", ipo(capfd, "docs").out, re.M))
    pages = [page for kind in docs.KINDS for page in (ROOT / "docs" / kind).glob("*.md")]
    assert listed == {page.stem for page in pages} and len(listed) == len(pages), "two pages have one name"
    assert ipo(capfd, "docs", "glossary").out.startswith("# Glossary\n")
    page = "![a plot](../images/a.png)\n[how](../how-to/costs.md#bias), [costs.md](costs.md), [x](../../x.py), [u](https://u)\n"
    told = "a plot\nhow (`ipo docs costs`), `ipo docs costs`, x, [u](https://u)\n"
    assert docs.readable(page + "```\n[a](b.md)\n```\n", ["costs"]) == told + "```\n[a](b.md)\n```\n"
    assert (
        ipo(capfd, "docs", "glosary").err
        == "ipo: no page 'glosary' (did you mean glossary?); `ipo docs` lists all pages.\n"
    )


def test_messages_and_help_name_pages_that_exist() -> None:
    known = {page.stem for page in (ROOT / "docs").rglob("*.md")}
    for folder in ("package", "programs", "signatures", "metrics", "experiments", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"ipo docs ([a-z][a-z-]+)", file.read_text("utf-8")):
                assert name in known, f"{file}: {name}"


def test_pages_are_short() -> None:
    """In words as `wc -w` counts them; pages that a tool writes do not count."""
    made = {"command-line", "api"}
    words = {
        page: len(page.read_text("utf-8").split()) for page in (ROOT / "docs").rglob("*.md") if page.stem not in made
    }
    assert {page.stem for page, count in words.items() if count > 1000} <= {"benchmarks"}
    assert max(words.values()) <= 1500
    assert len(words) <= 25  # and the notebook
    assert sum(words.values()) <= 14_000
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 650
