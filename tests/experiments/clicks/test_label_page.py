"""The page of `ipo label` in a real browser: by keys, by thumb, resumed, with hostile names, and without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.clicks.drawing import Drawing, read_drawing
from ipo_prompts.experiments.clicks.verifying import load_verified
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.report.label_page import PAGE, label_page
from support.browser import opened
from support.clicks import truth
from support.report_files import ACTS_IF_NOT_SHOWN, HOSTILE

Open = Callable[..., Any]
SIZES = {"desk": (1280, 800), "phone": (390, 844)}


@pytest.fixture()
def complaints() -> list[str]:
    """What the browser complained of: errors, blocked content, dialogs, requests to anywhere."""
    return []


@pytest.fixture()
def show(browser: Any, complaints: list[str]) -> Iterator[Open]:
    """Open a page from disk; with `within` in the same browser profile, as after a restart."""
    contexts = []

    def start(file: Path, size: str = "desk", within: Any = None) -> Any:
        width, height = SIZES[size]
        context = within or browser.new_context(viewport={"width": width, "height": height}, has_touch=size == "phone")
        contexts.append(context)
        return opened(context, file, complaints, ("file:", "data:", "blob:"))

    yield start
    for context in contexts:
        context.close()


def test_a_hundred_keys_and_a_verdict(labelled: Path, show: Open, tmp_path: Path, complaints: list[str]) -> None:
    drawing = read_drawing(labelled)
    rate = truth(drawing, "embedded:d")
    page = show(labelled / PAGE)
    page.click("#begin")
    names = [name.replace("_", " ") if isinstance(name, str) else name[0] for name in drawing.class_names]
    for showing in drawing.showings[:100]:
        assert page.inner_text(".name >> nth=0") == f"1 {names[showing.names[0]]}"
        said = rate(showing)
        page.keyboard.press({"first": "1", "second": "2", "neither": "4"}[said["answer"]])
        if said["answer"] == "neither":
            page.keyboard.type(names[said["label"]].upper())
            page.keyboard.press("Enter")
        if page.is_visible("#done"):
            page.click("#more")
    assert page.inner_text("#progress").startswith("100 of about ")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == f"answers-{labelled.name}.json"
    download.value.save_as(tmp_path / "answers.json")
    assert json.loads((tmp_path / "answers.json").read_text())["answers"] == [
        {"picture": showing.id, **rate(showing)} for showing in drawing.showings[:100]
    ]
    assert main(["verify", str(labelled), str(tmp_path / "answers.json")]) == 0
    found = load_verified(labelled)
    assert found is not None and found.verdict.outcome == "gain" and found.rests_on.otherwise == 0
    assert complaints == []


def test_by_thumb_back_and_resumed(labelled: Path, show: Open, complaints: list[str]) -> None:
    page = show(labelled / PAGE, "phone")
    page.tap("#begin")
    for place in (0, 1, 2):
        page.tap(f"#choices button >> nth={place}")
    page.tap("[data-answer=neither]")
    page.tap("#naming .chief")
    page.tap("#back")
    assert page.inner_text("#progress").startswith("3 of about ")
    again = show(labelled / PAGE, "phone", page.context)
    for _ in range(20):  # a browser may tell its other pages of stored answers a little late
        if again.inner_text("#begin") == "Go on after 3 answers":
            break
        again.wait_for_timeout(100)
        again.reload()
    assert again.inner_text("#begin") == "Go on after 3 answers"
    again.tap("#begin")
    picture = again.get_attribute("#picture", "src")
    page.reload()
    page.tap("#begin")
    assert page.get_attribute("#picture", "src") == picture
    kept = again.evaluate("JSON.parse(Object.values(localStorage)[0]).map(one => one.answer)")
    assert kept == ["first", "second", "both"]
    assert complaints == []


def test_nothing_is_skipped_and_no_class_is_invented(labelled: Path, show: Open, complaints: list[str]) -> None:
    page = show(labelled / PAGE)
    drawing = read_drawing(labelled)
    page.click("#begin")
    for key in ("5", "Enter", " ", "n", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("4")
    assert page.is_hidden("#choices") and page.is_visible("#naming")
    page.keyboard.type("no such thing")
    page.keyboard.press("Enter")
    assert "No class has this name" in page.inner_text("#unknown")
    page.keyboard.press("Escape")
    assert page.inner_text("#progress").startswith("0 of about ") and page.is_visible("#choices")
    # Who names one of the two after all has chosen it.
    page.keyboard.press("4")
    page.keyboard.type(page.inner_text(".name bdi >> nth=1") or _name(drawing, 1))
    page.keyboard.press("Enter")
    assert page.evaluate("JSON.parse(Object.values(localStorage)[0])") == [
        {"picture": drawing.showings[0].id, "answer": "second"}
    ]
    assert complaints == []


def _name(drawing: Drawing, place: int) -> str:
    return str(drawing.class_names[drawing.showings[0].names[place]]).replace("_", " ")


@pytest.mark.parametrize("key", ["4", "1"])
def test_the_plan_follows_how_many_decide(labelled: Path, show: Open, key: str) -> None:
    drawing = read_drawing(labelled)
    page = show(labelled / PAGE)
    before = drawing.design.needed(0.05)
    page.click("#begin")
    for _ in range(14):
        page.keyboard.press(key)
        if key == "4":
            page.keyboard.press("Enter")
    after = int(page.inner_text("#progress").split()[3])
    assert (after < 0.8 * before) if key == "4" else (abs(after - 4 / 3 * before) <= 10)


@pytest.mark.parametrize(("touch", "width"), [(True, 390), (True, 820), (False, 1280)])
def test_keys_are_explained_only_where_there_are_keys(
    labelled: Path, browser: Any, show: Open, touch: bool, width: int
) -> None:
    viewport = {"width": width, "height": 844}
    page = show(labelled / PAGE, within=browser.new_context(viewport=viewport, is_mobile=touch, has_touch=touch))
    assert page.is_visible("text=Backspace") is page.is_visible(".keys") is not touch
    assert page.is_visible("text=Tap the name that is right") is touch
    page.click("#begin")
    assert page.is_visible("#choices kbd >> nth=0") is not touch


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_breaks_no_rule_of_accessibility(labelled: Path, show: Open, size: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = show(labelled / PAGE, size)
    page.emulate_media(color_scheme=scheme)
    width, height = SIZES[size]
    for step in ("#begin", "[data-answer=first]", "[data-answer=neither]", "#naming .chief"):
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("document.documentElement.scrollHeight") <= height, step
        page.click(step)
    high = page.evaluate("document.querySelector('#picture').getBoundingClientRect().height")
    assert high > height / 2
    assert (
        page.evaluate("Math.min(...[...document.querySelectorAll('#choices button')].map(b => b.offsetHeight))") >= 44
    )
    for _ in range(200):
        if page.is_visible("#done"):
            break
        page.keyboard.press("1")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_hostile_names_are_text(labelled: Path, show: Open, tmp_path: Path, complaints: list[str]) -> None:
    drawing = read_drawing(labelled)
    names = tuple(f"{i} {HOSTILE}" for i in range(len(drawing.class_names)))
    drawing = drawing.model_copy(update={"class_names": names, "data": HOSTILE})
    picture = load_data("embedded", seed=0).test[0].picture
    html = label_page(drawing, (picture,) * len(drawing.disagreements), 0.05, Path(HOSTILE))
    assert not any(char in html for char in ACTS_IF_NOT_SHOWN)
    (tmp_path / "hostile.html").write_text(html, encoding="utf-8")
    page = show(tmp_path / "hostile.html")
    page.click("#begin")
    page.keyboard.press("4")
    assert page.eval_on_selector_all("script:not([type])", "all => all.length") == 1
    assert page.eval_on_selector_all("img", "all => all.length") == 1
    assert page.inner_text("h1 >> nth=0", timeout=1000) is not None
    assert page.eval_on_selector_all("datalist option", "all => all[0].value").startswith("0 <script>alert(1)</script>")
    assert complaints == []


def test_the_browser_would_have_complained(labelled: Path, show: Open, tmp_path: Path, complaints: list[str]) -> None:
    html = (labelled / PAGE).read_text().replace("</main>", "<script>alert(1)</script></main>")
    (tmp_path / "changed.html").write_text(html)
    show(tmp_path / "changed.html")
    assert len([line for line in complaints if "Content Security Policy" in line]) == 1
