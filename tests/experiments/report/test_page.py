"""What the page says, and that it says nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.report.page import (
    notebook_part,
    read_run,
    run_page,
    search_image,
)
from ipo_prompts.experiments.run.files import load_config
from support.report_files import ACTS_IF_NOT_SHOWN, change_json

SECTIONS = ("content", "answer", "images", "classes", "search", "words", "repeat")


def text(page: str) -> str:
    """Return what a reader sees, with single spaces."""
    body = re.sub(r"<style>.*?</style>|<[^>]*>", "", page.replace("</", " </"), flags=re.DOTALL)
    return re.sub(r"\s+([.,;:)\]”])", r"\1", " ".join(html.unescape(body).split()))


def test_the_answer_comes_first(analysed: Path) -> None:
    result = json.loads((analysed / "result.json").read_text())
    gain = [row for row in result["rows"] if row["part"] == "test"][-1]["difference"]["mean"]
    page = text(run_page(read_run(analysed)))
    used = result["lm"]["optimizer"]
    first = page[: page.index("The search")]
    assert first[: first.index("How it was chosen")].count(result["template"]) == 1, "in the row that judges it"
    assert f"in all {100 * gain:+.1f} [" in first
    assert f"{used['calls']} calls, {used['tokens_in'] + used['tokens_out']:,} tokens" in first


def test_only_the_style_sheet_is_allowed(analysed: Path) -> None:
    page = run_page(read_run(analysed))
    (css,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert html.unescape(policy) == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "unsafe" not in policy
    assert not re.search(r"<script|\sstyle=|\son\w+=", page)
    assert set(re.findall(r'(?:src|srcset|href)="([^"]{5})', page)) <= {
        "data:",
        *(f"#{name[:4]}" for name in SECTIONS),
    }


def test_a_notebook_shows_the_answer_first_then_the_search_and_images(analysed: Path) -> None:
    result = json.loads((analysed / "result.json").read_text())
    part = notebook_part(read_run(analysed))
    places = [part.index(html.escape(result["template"])), part.index("in all")]
    places += [part.index(words) for words in ("image/svg+xml", "Now right, wrong before: 1 of 3")]
    places.append(part.index("Now wrong, right before: 1 of 1"))
    assert places == sorted(places)
    assert text(part).endswith(f"The whole report: {analysed / 'report.html'}")


def test_hostile_text_is_text_in_a_notebook_too(hostile: Path) -> None:
    found: set[tuple[str, str | None]] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.update([(tag, name) for name, _ in attributes] or [(tag, None)])

    part = notebook_part(read_run(hostile))
    Tags().feed(part)
    assert found == {
        *(("div", None), ("div", "style"), ("p", None), ("p", "style"), ("strong", None), ("bdi", None), ("br", None)),
        *(("img", "src"), ("img", "alt"), ("img", "style"), ("code", None)),
        *(("table", None), ("tr", None), ("th", None), ("th", "style"), ("td", "style")),
        *(("figure", "style"), ("figcaption", "style")),
    }
    assert not [one for one in ACTS_IF_NOT_SHOWN if one in part]


def test_words_classes_and_flips_are_shown(analysed: Path) -> None:
    page = text(run_page(read_run(analysed)))
    for shown in (
        "-12.3",  # a removal
        "1 of 3 classes gain on the held-out test, 1 lose",
        "cat 4 25 % 100 % +75.0",
        "Now right, wrong before: 3",
        "cat car → cat",
    ):
        assert shown in page, shown


def test_where_nothing_changed_no_class_gains(analysed: Path) -> None:
    def keep(result: dict[str, Any]) -> dict[str, Any]:
        rows = [{**row, "kept": False} for row in result["rows"]]
        return {**result, "template": result["initial_template"], "rows": rows}

    change_json(analysed / "result.json", keep)
    page = run_page(read_run(analysed))
    assert "The initial template stays" in page and "template: the initial one stays" in page
    assert 'id="classes"' not in page


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["hot_dog <b>"], "One class was not tested: no test image shows it hot dog <b> "),
        (["cat", "dog"], "2 classes were not tested: no test image shows them cat, dog "),
    ],
)
def test_classes_that_were_not_tested_are_named(analysed: Path, names: list[str], said: str) -> None:
    assert "not tested: no test image" not in run_page(read_run(analysed))
    change_json(analysed / "analysis.json", lambda found: {**found, "untested": names})
    assert said in text(run_page(read_run(analysed)))


def test_sections_that_say_nothing_are_absent(run_folder: Path) -> None:
    page = run_page(read_run(run_folder))
    assert re.findall(r'<section id="(\w+)"', page) == ["answer", "search", "repeat"]
    assert re.findall(r'<li><a href="#(\w+)"', page) == ["answer", "search", "repeat"]


def test_new_classes_have_a_table_of_their_own(run_folder: Path) -> None:
    def widen(result: dict[str, Any]) -> dict[str, Any]:
        new = [{**row, "part": "new"} for row in result["rows"] if row["part"] == "test"]
        return {**result, "rows": [*result["rows"], *new]}

    change_json(run_folder / "result.json", widen)
    page = text(run_page(read_run(run_folder)))
    assert page.count("in all") == 2 and "On new classes, step by step" in page


def test_the_command_makes_the_same_configuration(run_folder: Path) -> None:
    run = read_run(run_folder)
    ipo, optimize, *words = shlex.split(run.command)
    assert (ipo, optimize) == ("ipo", "optimize")
    assert load_config(None, words) == run.config
    assert "shots=1" in words
    assert not any(word.startswith("preset=") for word in words), "a default is repeated"


def test_the_command_to_replay_finds_the_same(
    run_folder: Path, tmp_path: Path, clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.loaded", lambda *_: clip)
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    run = read_run(run_folder)
    assert main([*shlex.split(run.command_to_replay)[1:], "--quiet"]) == 0
    again = read_run(tmp_path / "run-again")
    assert (again.result.template, again.result.rows) == (run.result.template, run.result.rows)


def test_a_recorded_run_opens(recorded: Path) -> None:
    run = read_run(recorded)
    page = text(run_page(run))
    for shown in ("On the held-out test", "in all", "What each word does", "Now right, wrong before"):
        assert shown in page, shown


def test_another_reward_has_its_own_words(analysed: Path) -> None:
    def retrieval(result: dict[str, Any]) -> dict[str, Any]:
        names = {"name": "retrieval", "measure": "recall@1", "unit": "queries"}
        rows = [{**row, "measure": "recall@1"} for row in result["rows"]]
        other = {**rows[-1], "measure": "recall@5"}
        none = {"optimizer": None, "describer": None}
        return {**result, "reward": names, "rows": [*rows, other], "lm": none}

    change_json(analysed / "result.json", retrieval)
    change_json(
        analysed / "analysis.json",
        lambda found: {**found, "classes": [], "flips": None},
    )
    run = read_run(analysed)
    page = text(run_page(run))
    for shown in (
        "On the held-out test, step by step",
        "recall@1 gain, points",
        "search queries. Each recall@1 here",
        "no language model",
        "recall@5",
    ):
        assert shown in page, shown
    assert "Where it gains" not in page
    told = page[: page.index("The last question")] + page[page.index("What each word does") :]
    assert "accuracy" not in told.lower()  # what the language model was asked keeps its words
    assert "accuracy" not in search_image(run).lower()
