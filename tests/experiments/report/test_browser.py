"""The report in a real browser: nothing in it may act by itself, and everything in it can be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.report.page import read_run, run_page
from support.browser import opened
from support.report_files import ACTS_IF_NOT_SHOWN, HOSTILE

SECTIONS = ["answer", "images", "classes", "search", "words", "repeat"]
Open = Callable[..., Any]


@pytest.fixture()
def complaints() -> list[str]:
    """What the browser complained of: errors, blocked content, dialogs, requests to anywhere."""
    return []


@pytest.fixture()
def show(browser: Any, tmp_path: Path, complaints: list[str]) -> Iterator[Open]:
    """Open a page from disk."""
    contexts = []

    def start(html: str, *, width: int = 1100, height: int = 800, scheme: str = "light") -> Any:
        file = tmp_path / "shown.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        return opened(context, file, complaints)

    yield start
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_is_there_and_nothing_is_blocked(
    show: Open, analysed: Path, complaints: list[str], scheme: str
) -> None:
    page = show(run_page(read_run(analysed)), scheme=scheme)
    assert page.eval_on_selector_all("main > section", "all => all.map(one => one.id)") == SECTIONS
    links = page.eval_on_selector_all("nav a", "all => all.map(one => one.getAttribute('href'))")
    assert links == [f"#{name}" for name in SECTIONS]
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert complaints == []


def test_the_browser_would_have_complained(show: Open, analysed: Path, complaints: list[str]) -> None:
    html = run_page(read_run(analysed))
    show(html.replace("</main>", "<p style='color:red'>x</p><script>alert(1)</script></main>"))
    assert len([line for line in complaints if "Content Security Policy" in line]) == 2


def test_it_fits_a_phone(show: Open, hostile: Path, complaints: list[str]) -> None:
    page = show(run_page(read_run(hostile)), width=360)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert complaints == []


def test_the_last_question_opens_by_keyboard(show: Open, analysed: Path) -> None:
    page = show(run_page(read_run(analysed)))

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} cannot be reached with the Tab key")

    tab_to(".skip")
    tab_to(".messages > summary")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus cannot be seen"
    page.keyboard.press("Enter")
    assert page.is_visible("text=[[ ## templates ## ]] >> nth=0")


def test_hostile_text_is_text(show: Open, hostile: Path, complaints: list[str]) -> None:
    html = run_page(read_run(hostile))
    assert not any(char in html for char in ACTS_IF_NOT_SHOWN)
    page = show(html)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.mouse.click(200, 200)
    assert page.eval_on_selector_all("script, iframe, object, embed, link, base, form", "all => all.length") == 0
    assert page.eval_on_selector_all("style", "all => all.length") == 1
    assert page.evaluate("[...document.images].every(image => /^data:image\\/(svg\\+xml|png);/.test(image.src))")
    assert page.evaluate(
        "[...document.querySelectorAll('*')].every(one => [...one.attributes].every(a => !/^(on|style)/.test(a.name)))"
    )
    shown = HOSTILE
    for char in ACTS_IF_NOT_SHOWN:
        shown = shown.replace(char, f"[U+{ord(char):04X}]")
    assert page.inner_text(".prompt") == shown.strip()
    for section in SECTIONS:
        assert "alert(1)" in page.inner_text(f"#{section}"), f"#{section} does not show the text"
    assert page.title().endswith("IPO report")
    assert complaints == []


def test_no_rule_of_accessibility_is_broken(show: Open, analysed: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        page = show(run_page(read_run(analysed)), scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
