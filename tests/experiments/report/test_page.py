"""What the page says, and that it says nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import (
    notebook_part,
    run_page,
    search_picture,
)
from ipo_prompts.experiments.run.reading import load_config
from support.report_files import ACTS_IF_NOT_SHOWN, change_json

BASELINES = ("content", "answer", "pictures", "search", "words", "classes", "optimism", "reproduce")


def text(page: str) -> str:
    """Return what a reader sees, with single spaces."""
    body = re.sub(r"<style>.*?</style>|<[^>]*>", "", page.replace("</", " </"), flags=re.DOTALL)
    return re.sub(r"\s+([.,;:)\]”])", r"\1", " ".join(html.unescape(body).split()))


def test_the_answer_comes_first(analysed: Path) -> None:
    result = json.loads((analysed / "result.json").read_text())
    gain = result["scores"]["test"]["difference"]["mean"]
    page = text(run_page(read_run(analysed)))
    used = result["lm"]["optimizer"]
    first = page[: page.index("The search")]
    assert result["template"] in first
    assert f"{100 * gain:+.2f} points".replace("-", "−") in first
    assert f"{used['tokens_in'] + used['tokens_out']:,} tokens, {used['calls']} calls" in first


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
        *(f"#{name[:4]}" for name in BASELINES),
    }


def test_a_notebook_shows_the_answer_first_then_the_search_and_pictures(analysed: Path) -> None:
    result = json.loads((analysed / "result.json").read_text())
    part = notebook_part(read_run(analysed))
    places = [part.index(html.escape(words)) for words in (result["template"], result["verdict"])]
    places += [part.index(words) for words in ("image/svg+xml", "Wrong before, right now: 1 of 3")]
    places.append(part.index("Right before, wrong now: 1 of 1"))
    assert places == sorted(places)
    assert text(part).endswith(f"The whole report: {analysed / 'report.html'}")


def test_hostile_text_is_text_in_a_notebook_too(hostile: Path) -> None:
    found: set[tuple[str, str | None]] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.update([(tag, name) for name, _ in attributes] or [(tag, None)])

    run = read_run(hostile)
    changed = run.result.model_copy(update={"initial_template": "a <CLASS>"})  # so that pictures are shown
    part = notebook_part(replace(run, result=changed))
    Tags().feed(part)
    assert found == {
        *(("div", None), ("div", "style"), ("p", None), ("p", "style"), ("strong", None), ("bdi", None), ("br", None)),
        *(("img", "src"), ("img", "alt"), ("img", "style"), ("code", None)),
        *(("figure", "style"), ("figcaption", "style")),
    }
    assert not [one for one in ACTS_IF_NOT_SHOWN if one in part]


def test_words_classes_confusions_and_flips_are_shown(analysed: Path) -> None:
    page = text(run_page(read_run(analysed)))
    for shown in (
        "−12.30 [−13.30, −11.30]",  # a removal
        "not bounded",  # an interval that is none
        "it has no <CLASS> slot",
        "1 of 3 classes gain, 1 lose",
        "cat car 3 0",  # a confusion that is gone
        "car bus 0 2",
        "Wrong before, right now: 3",
        "1 of 3 pictures are shown",
        "cat 12 % → 57 % car → cat",
    ):
        assert shown in page, shown


def test_a_kept_template_has_no_confusions(analysed: Path) -> None:
    def keep(result: dict[str, Any]) -> dict[str, Any]:
        initial = result["initial_template"]
        result["scores"]["test"]["difference"]["outcome"] = "same templates"
        return {**result, "template": initial}

    change_json(analysed / "result.json", keep)
    page = text(run_page(read_run(analysed)))
    assert "Nothing convincing was found: the initial template stays." in page
    assert "The template did not change, so no class gains or loses." in page
    assert "Wrong before" not in page
    answer = page[: page.index("The search")]
    assert "→" not in answer, "one template has one accuracy"
    assert "so there is no gain to compare" in page
    assert 'alt="Gain in' not in run_page(read_run(analysed)), "an axis from -0.04 to 0.04 says nothing"


@pytest.mark.parametrize(("outcome", "shown"), [("gain", True), ("not shown", False), ("loss", False)])
def test_only_a_gain_that_is_shown_is_green(run_folder: Path, outcome: str, shown: bool) -> None:
    def bound(result: dict[str, Any]) -> dict[str, Any]:
        result["scores"]["test"]["difference"]["outcome"] = outcome
        return result

    change_json(run_folder / "result.json", bound)
    assert ('class="main shown"' in run_page(read_run(run_folder))) == shown


def test_new_classes_and_their_harmonic_mean_are_shown(run_folder: Path) -> None:
    def widen(result: dict[str, Any]) -> dict[str, Any]:
        scores = {**result["scores"], "new": result["scores"]["test"]}
        return {**result, "scores": scores, "harmonic_mean": {"initial": 0.4321, "optimised": 0.5678}}

    change_json(run_folder / "result.json", widen)
    page = text(run_page(read_run(run_folder)))
    assert "Gain on new classes" in page
    assert "43.2 % → 56.8 %" in page


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
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    run = read_run(run_folder)
    assert main([*shlex.split(run.command_to_replay)[1:], "--quiet"]) == 0
    again = read_run(tmp_path / "run-again")
    assert (again.result.template, again.result.scores) == (run.result.template, run.result.scores)


def test_a_recorded_run_opens(recorded: Path) -> None:
    run = read_run(recorded)
    page = text(run_page(run))
    gain = "Gain on base classes" if "new" in run.result.scores else "Gain on the sealed test"
    for shown in (gain, "Accuracy there", "What each word does", "Wrong before, right now"):
        assert shown in page, shown


def test_another_reward_has_its_own_words(analysed: Path) -> None:
    def retrieval(result: dict[str, Any]) -> dict[str, Any]:
        names = {"name": "retrieval", "measure": "recall@1", "unit": "queries"}
        other = {"recall@5": result["scores"]["test"]}
        return {
            **result,
            "reward": names,
            "other_measures": other,
            "lm": {"optimizer": None, "describer": None},
            "baselines": None,
        }

    change_json(analysed / "result.json", retrieval)
    change_json(
        analysed / "analysis.json",
        lambda found: {**found, "classes": [], "flips": None, "classes_missing": "No classes to compare."},
    )
    run = read_run(analysed)
    page = text(run_page(run))
    for shown in (
        "Recall@1 there",
        "search queries. Each recall@1 here",
        "no language model",
        "recall@5",
    ):
        assert shown in page, shown
    assert "Where it gains and where it fails No classes to compare." in page
    # What the language model was asked keeps its words.
    told = page[: page.index("Step by step")] + page[page.index("What each word does") :]
    assert "accuracy" not in told.lower()
    assert "accuracy" not in search_picture(run).lower()
