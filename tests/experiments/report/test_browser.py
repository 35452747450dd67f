"""The report in a real browser: nothing in it may act by itself, and everything in it can be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.report.explain import MOST_IN_MATRIX
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import run_page
from ipo_prompts.experiments.run.scores import Comparison
from support.browser import opened
from support.report_files import ACTS_IF_NOT_SHOWN, HOSTILE, change_json

SECTIONS = ["answer", "pictures", "search", "words", "classes", "optimism", "reproduce"]
Open = Callable[..., Any]
LINES = "one => one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight)"


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
    fill = page.evaluate("getComputedStyle(document.querySelector('svg.gains text')).fill")
    assert fill == ("rgb(230, 233, 238)" if scheme == "dark" else "rgb(29, 36, 48)")
    assert page.evaluate("getComputedStyle(document.querySelector('.facts .main')).borderTopStyle") == "solid"
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


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize(("width", "height", "most"), [(1280, 800, 3200), (390, 844, 3650)])
def test_it_is_short_and_pictures_come_first(
    show: Open, analysed: Path, width: int, height: int, most: int, new: bool
) -> None:
    def to_new_classes(result: dict[str, Any]) -> dict[str, Any]:
        test = Comparison.model_validate(result["scores"]["test"])
        gain = test.difference.model_copy(update={"outcome": "gain", "mean": 0.266, "comparisons": 2})
        base = test.model_copy(update={"difference": gain, "like_these": gain})
        scores = {**result["scores"], "test": base.model_dump(mode="json"), "new": base.model_dump(mode="json")}
        return {**result, "scores": scores, "template": "a chalk drawing of a <CLASS>, lit from the side."}

    def full(found: dict[str, Any]) -> dict[str, Any]:
        flips = {kind: 12 * found["flips"][kind] for kind in ("gained", "lost", "wrong")}
        names = [f"class {i}" for i in range(MOST_IN_MATRIX)]
        counts = [[i == j for j in range(MOST_IN_MATRIX + 1)] for i in range(MOST_IN_MATRIX)]
        matrix = {"names": names, "of_classes": 100, "initial": counts, "optimised": counts}
        return {**found, "flips": {**found["flips"], **flips}, "matrix": matrix, "sample": 6 * found["sample"]}

    change_json(analysed / "analysis.json", full)
    if new:
        change_json(analysed / "result.json", to_new_classes)
    page = show(run_page(read_run(analysed)), width=width, height=height)
    assert page.evaluate("document.documentElement.scrollHeight") <= most
    assert page.eval_on_selector_all("#pictures .kinds > div > .flips img", "all => all.length") == 9 + 3, "pairs"
    first = page.evaluate("document.querySelector('#pictures img').getBoundingClientRect().top")
    fold = 900 if new and width < 400 else 800  # a phone has little room for two verdicts, an advice and two commands
    assert first < fold, "the first picture is below the fold"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("new", [False, True])
def test_nothing_of_the_answer_is_cut(show: Open, analysed: Path, width: int, new: bool) -> None:
    def found(result: dict[str, Any]) -> dict[str, Any]:
        test = result["scores"]["test"]
        test["difference"] |= {"outcome": "gain", "mean": -0.266}
        scores = {**result["scores"], "new": test} if new else result["scores"]
        template = "a dark photo of a <CLASS> that lies on its side, seen from above."
        return {**result, "scores": scores, "template": template}

    change_json(analysed / "result.json", found)
    change_json(analysed / "program.json", lambda old: {**old, "class_names": old["class_names"][:7]})
    change_json(analysed / "analysis.json", lambda old: {**old, "sample": (4 * old["sample"])[:7]})
    page = show(run_page(read_run(analysed)), width=width)
    beyond = """all => all.filter(one => {
        const inside = document.createRange()
        inside.selectNodeContents(one)
        return inside.getBoundingClientRect().right > Math.min(innerWidth, one.getBoundingClientRect().right + 1)
    }).map(one => one.textContent)"""
    assert page.eval_on_selector_all(".facts dd, .ladder, nav, nav a", beyond) == []
    boxes = page.eval_on_selector_all(".sheet img", "all => all.map(one => one.getBoundingClientRect().width)")
    assert len(boxes) == 7 and all(boxes), "all seven classes are pictured"
    tops = page.eval_on_selector_all(".facts > div", "all => all.map(one => one.getBoundingClientRect().top)")
    if width == 1280:
        assert len(set(tops)) == (2 if new else 1)
        assert tops.count(tops[-1]) > 1, "the last card stands alone"
        assert page.eval_on_selector("h1", LINES) < 2.1


def test_a_headline_of_words_has_two_lines(show: Open, analysed: Path) -> None:
    def unclear(result: dict[str, Any]) -> dict[str, Any]:
        test = result["scores"]["test"]
        test["difference"] |= {"outcome": "not shown", "p_corrected": 0.58, "comparisons": 2}
        return {**result, "scores": {**result["scores"], "new": test}}

    change_json(analysed / "result.json", unclear)
    page = show(run_page(read_run(analysed)), width=1280)
    assert page.inner_text("h1").endswith("that the search never saw.")
    assert "corrected for 2" in page.inner_text(".facts .main")
    assert page.eval_on_selector("h1", LINES) < 2.1
    assert "pictures of new classes: neither a gain nor a loss is shown" in page.inner_text("h1 ~ p:not(.kicker)")


def test_a_dot_of_the_search_tells_its_template(show: Open, analysed: Path) -> None:
    run = read_run(analysed)
    page = show(run_page(run))
    told = page.eval_on_selector_all(".curve .dot > title", "all => all.map(one => one.textContent)")
    scored = [candidate for step in run.search.steps for candidate in step.candidates]
    assert len(told) == len(scored)
    assert all(any(one.startswith(candidate.template) for one in told) for candidate in scored)


def test_a_step_and_its_messages_open_by_keyboard(show: Open, analysed: Path) -> None:
    page = show(run_page(read_run(analysed)))

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} cannot be reached with the Tab key")

    tab_to(".skip")
    tab_to(".all > summary")
    page.keyboard.press("Enter")
    tab_to(".steps > summary")
    page.keyboard.press("Enter")
    tab_to(".step > summary")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus cannot be seen"
    page.keyboard.press("Enter")
    tab_to(".step[open] .messages > summary")
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
    assert page.inner_text("h1") == shown.strip()
    for section in SECTIONS:
        assert shown.split("<CLASS>")[0] in page.inner_text(f"#{section}"), f"#{section} does not show the text"
    assert page.title().startswith("<script>alert(1)</script>")
    assert complaints == []


def test_no_rule_of_accessibility_is_broken(show: Open, analysed: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        page = show(run_page(read_run(analysed)), scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_paper_shows_what_is_open_on_screen(show: Open, analysed: Path) -> None:
    page = show(run_page(read_run(analysed)))
    page.emulate_media(media="print")
    shown = "one => one.checkVisibility({contentVisibilityAuto: true})"
    assert page.eval_on_selector_all("details > :not(summary)", f"all => all.filter({shown}).length") == 0
    page.evaluate("document.querySelectorAll('.all, .steps, .step').forEach(one => { one.open = true })")
    assert page.eval_on_selector(".step ul", shown)
    assert not page.eval_on_selector(".talk", shown)


@pytest.mark.parametrize(("width", "scrolls"), [(390, True), (1280, False)])
def test_both_matrices_can_be_reached(show: Open, analysed: Path, width: int, scrolls: bool) -> None:
    page = show(run_page(read_run(analysed)), width=width)
    assert page.is_visible("text=Scroll to the right") is scrolls
    box = page.locator(".scroll:has(.heats)")
    assert box.evaluate("one => one.scrollWidth > one.clientWidth") is scrolls
    box.evaluate("one => one.scrollLeft = one.scrollWidth")
    right = page.locator(".heats figure >> nth=1").evaluate("one => one.getBoundingClientRect().right")
    assert right <= width and page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_names_and_commands_stand_on_one_line(show: Open, analysed: Path, width: int) -> None:
    def long(found: dict[str, Any]) -> dict[str, Any]:
        named = {"class_name": "Hamburger", "before": "Mushroom", "after": "helicopter", "picture": "IMG_0028.JPG"}
        flips = {kind: [one | named for one in found["flips"][kind]] * 3 for kind in ("gained", "lost", "wrong")}
        sample = [one | {"class_name": "Hamburger"} for one in found["sample"]] * 6
        return {**found, "flips": {**found["flips"], **flips}, "sample": sample}

    change_json(analysed / "analysis.json", long)
    page = show(run_page(read_run(analysed)), width=width)
    names = "#pictures figcaption bdi"
    cut = """all => all.filter(one => {
        const inside = document.createRange()
        inside.selectNodeContents(one)
        const tops = [...inside.getClientRects()].map(one => one.top)
        return one.textContent.length < 30 && Math.max(...tops) > Math.min(...tops) + 9
    }).map(one => one.textContent)"""
    assert page.locator(names).count() > 9
    assert page.eval_on_selector_all(names, cut) == []
    assert page.locator(".command .word").count() > 5
    assert page.eval_on_selector_all(".command .word", cut) == []
    assert page.evaluate("getSelection().selectAllChildren(document.querySelector('pre .command'))") is None
    assert page.evaluate("getSelection().toString()") == read_run(analysed).command
