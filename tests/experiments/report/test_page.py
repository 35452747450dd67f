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

from ipo_prompts.experiments import report
from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.report.drawing import curve
from ipo_prompts.experiments.report.gather import Run, read_run
from ipo_prompts.experiments.report.page import (
    notebook_part,
    run_page,
    search_picture,
    write_report,
)
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.result import StrategyUsed
from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.scale import FRACTION
from ipo_prompts.programs.selection import SEARCHED
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.compose import Compose
from support.report_files import ACTS_IF_NOT_SHOWN, change_json
from support.runs import change_settings, lines_of

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


def test_the_same_run_gives_the_same_page(analysed: Path) -> None:
    assert run_page(read_run(analysed)) == run_page(read_run(analysed))


def test_what_is_missing_is_said_and_how_to_get_it(run_folder: Path) -> None:
    page = text(run_page(read_run(run_folder)))
    words = page[page.index("What each word does") : page.index("Where it gains")]
    assert f"--lm replay/{run_folder} --out {run_folder}-again" in words
    assert "Missing" in page[page.index("Where it gains") : page.index("From search to test")]


def test_words_that_were_not_measured_have_their_reason(analysed: Path) -> None:
    change_json(
        analysed / "analysis.json", lambda found: {**found, "words": None, "words_missing": "No such pictures."}
    )
    page = text(run_page(read_run(analysed)))
    assert "What each word does No such pictures. Where it gains" in page


def test_what_cannot_be_told_from_chance_is_not_called_nothing(analysed: Path) -> None:
    def unclear(found: dict[str, Any]) -> dict[str, Any]:
        changes = [{**change, "significant": False} for change in found["words"]["changes"]]
        return {**found, "words": {**found["words"], "changes": changes}}

    assert "1 of 2 changes of accuracy can be told from chance" in text(run_page(read_run(analysed)))
    change_json(analysed / "analysis.json", unclear)
    page = text(run_page(read_run(analysed)))
    assert "With 6 pictures and corrected for 2 changes, no change of accuracy can be told from chance." in page
    assert "That does not show that the words do nothing." in page


def test_what_was_looked_at_on_the_pictures_that_chose_is_a_description(analysed: Path) -> None:
    tested = run_page(read_run(analysed))
    assert "on 6 fresh pictures, from training pictures that neither searched" in text(tested)
    change_json(analysed / "analysis.json", lambda found: {**found, "words": {**found["words"], "part": "selection"}})
    described = run_page(read_run(analysed))
    section = text(described)[text(described).index("What each word does") : text(described).index("Where it gains")]
    assert "Measured on 6 selection pictures; each counts 16.67 points." in section[: section.index("phrase by phrase")]
    assert "on 6 selection pictures, which chose the template" in section
    assert "A description, not a test" in section
    for claim in ("told from chance", "95 % intervals", "−12.30 [", "not bounded", "p = "):
        assert claim in text(tested) and claim not in section, claim
    assert ' clear">' in tested and ' clear">' not in described


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


def test_selection_pictures_are_not_spoken_of_where_there_were_none(run_folder: Path) -> None:
    flattered = "selection pictures chose among them, so both flatter"
    assert flattered in text(run_page(read_run(run_folder)))

    def without(result: dict[str, Any]) -> dict[str, Any]:
        del result["scores"]["selection"]
        result["selection"] |= {"how": SEARCHED, "gain": None, "standard_error": None}
        return result

    change_json(run_folder / "result.json", without)
    journal = run_folder / "journal.jsonl"
    lines = [line for line in journal.read_text().splitlines(True) if json.loads(line).get("kind") != "selection"]
    journal.write_text("".join(lines))
    run = read_run(run_folder)
    page = text(run_page(run))
    assert "chose the candidates and the winner, so they flatter the winner." in page
    assert "selection pictures" not in page
    assert "selection" not in search_picture(run)


def test_no_accuracy_above_all_pictures_is_drawn(run_folder: Path) -> None:
    run = read_run(run_folder)
    perfect = replace(run.search.initial, value=1.0)
    drawn = curve(replace(run.search, initial=perfect, steps=[]), (1.0, 1.0))
    assert max(number for _, number in drawn.values) == 100


def test_a_replayed_time_is_said_to_be_the_recorded_one(run_folder: Path) -> None:
    assert "as recorded" not in text(run_page(read_run(run_folder)))
    change_settings(run_folder, lm="replay/runs/other")
    page = text(run_page(read_run(run_folder)))
    assert "language model, as recorded" in page and " recorded calls" in page


def test_new_classes_and_their_harmonic_mean_are_shown(run_folder: Path) -> None:
    def widen(result: dict[str, Any]) -> dict[str, Any]:
        scores = {**result["scores"], "new": result["scores"]["test"]}
        return {**result, "scores": scores, "harmonic_mean": {"initial": 0.4321, "optimised": 0.5678}}

    change_json(run_folder / "result.json", widen)
    page = text(run_page(read_run(run_folder)))
    assert "Gain on new classes" in page
    assert "43.2 % → 56.8 %" in page


def test_the_limit_of_what_is_not_shown_is_no_headline(run_folder: Path) -> None:
    def unclear(result: dict[str, Any]) -> dict[str, Any]:
        result["scores"]["test"]["difference"]["outcome"] = "not shown"
        return result

    change_json(run_folder / "result.json", unclear)
    page = run_page(read_run(run_folder))
    assert ">No evidence of a gain on pictures that the search never saw.</h1>" in page
    assert re.search("<p>A true difference of .*points would be shown four times in five, .*</p>", page)


def test_classes_are_called_as_in_a_prompt(analysed: Path) -> None:
    for name in ("analysis.json", "program.json"):
        file = analysed / name
        file.write_text(file.read_text().replace('"cat"', '"brick_wall"').replace('"house"', '"space_rocket"'))
    assert "brick_wall" in (analysed / "analysis.json").read_text()
    run = read_run(analysed)
    for page in (run_page(run), notebook_part(run)):
        assert "brick wall" in page
        assert not re.search("brick_wall|space_rocket", page)


def test_confusions_have_a_column_of_others_only_where_there_are_others(analysed: Path) -> None:
    page = run_page(read_run(analysed))
    assert ">others</text>" not in page and "taken for others" not in page
    assert re.search(r'fill-opacity="0"><title>cat, taken for car: 0 of 4<', page), "nothing is tinted"
    assert re.search(r'<rect class="right" [^>]*fill-opacity="0.76"><title>cat, taken for car: 3 → 0 of 4<', page)
    assert re.search(r'<rect class="wrong" [^>]*fill-opacity="0.53"><title>car, taken for car: 4 → 2 of 4<', page)
    matrix = {"of_classes": 4}
    change_json(analysed / "analysis.json", lambda found: {**found, "matrix": {**found["matrix"], **matrix}})
    page = run_page(read_run(analysed))
    assert ">others</text>" in page and "cat, taken for others: 0 of 4" in page


def test_pictures_that_are_folded_are_counted_with_those_that_are_not(analysed: Path) -> None:
    def many(found: dict[str, Any]) -> dict[str, Any]:
        more = {"gained": 12 * found["flips"]["gained"], "gained_total": 19, "lost": 5 * found["flips"]["lost"]}
        return {**found, "flips": {**found["flips"], **more, "lost_total": 5}}

    change_json(analysed / "analysis.json", many)
    page = text(run_page(read_run(analysed)))
    assert "Wrong before, right now: 19" in page and "9 of the other 16" in page
    assert "Right before, wrong now: 5" in page and "2 more" in page


def test_the_interval_of_the_initial_template_is_in_view(run_folder: Path) -> None:
    run = read_run(run_folder)
    drawn = curve(run.search, (0.05, 0.95))
    assert {number for _, number in drawn.values} >= {0, 100}
    assert drawn.band[0] < drawn.initial < drawn.band[1]


def test_an_early_stop_is_said(run_folder: Path) -> None:
    change_json(run_folder / "result.json", lambda result: {**result, "stopped": "the budget of $1 is used up"})
    assert "The search was stopped early: the budget of $1 is used up." in text(run_page(read_run(run_folder)))


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


@pytest.mark.parametrize("weak", ["near guessing", "far below the class mean"])
def test_a_clip_that_cannot_tell_is_said_and_leads_where_it_guesses(run_folder: Path, weak: str) -> None:
    def weaken(result: dict[str, Any]) -> dict[str, Any]:
        result["scores"]["test"]["difference"]["outcome"] = "gain"
        return {**result, "baselines": {**result["baselines"], "weak": weak}}

    first = run_page(read_run(run_folder))
    assert "cannot tell" not in first and "Known without a search" in first
    change_json(run_folder / "result.json", weaken)
    journal = run_folder / "journal.jsonl"
    told = {"type": "descriptions", "descriptions": ["x-ray"], "failed": [], "seconds": 1}
    journal.write_text(journal.read_text() + lines_of(told))
    change_settings(run_folder, describer="clip")
    page = run_page(read_run(run_folder))
    template = read_run(run_folder).result.template
    lead, beside = (
        '<h1 id="answer-title" class="said">This CLIP is near',
        '<p class="warning">This CLIP sees far more here',
    )
    assert (lead in page, beside in page) == (weak == "near guessing", weak != "near guessing")
    assert (f"<bdi>{html.escape(template)}</bdi></h1>" in page) == (weak != "near guessing")
    assert "1 description, but it cannot tell" in text(page)


def test_it_is_written_into_the_run(analysed: Path) -> None:
    file = write_report(analysed)
    assert file == analysed / "report.html"
    assert file.read_text(encoding="utf-8") == run_page(read_run(analysed))


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


def test_what_was_scored_only_is_counted(run_folder: Path) -> None:
    journal = run_folder / "journal.jsonl"
    rows = [["seen <CLASS>", 1.0, 1.5], *([f"number {i} <CLASS>", 0.001, 2.0] for i in range(1233))]
    event = {"type": "scored_only", "step": 0, "around": "", "rows": rows, "tried": 9876, "seconds": 1}
    journal.write_text(journal.read_text() + lines_of(event))
    run = read_run(run_folder)
    page = text(run_page(run))
    assert "1,234 scored only" in page and "seen <CLASS>" not in page, "templates.csv has them"
    assert "Of 9,876 compositions, only the promising ones were scored. templates.csv, beside this page" in page
    assert "a longer template is preferred" not in page

    def by(vocabulary: str) -> Run:
        used = StrategyUsed(name="compose", settings={}, vocabulary=vocabulary, passes_over=Compose.passes_over)
        return replace(run, result=run.result.model_copy(update={"strategy": used}))

    composed = by("shipped")
    assert FRACTION.word == 0.005
    assert "a longer template is preferred only if it scores half a point more" in text(run_page(composed))
    assert "composed of phrases of the describer's vocabulary and words of" in text(run_page(composed))
    for vocabulary, said in (
        ("general", "of the most frequent words of English and words of"),
        ("none", "of words of"),
    ):
        assert f"templates were found by the strategy compose, composed {said}" in text(run_page(by(vocabulary)))


def test_other_runs_that_were_tested_on_the_same_are_told_below_the_headline(run_folder: Path) -> None:
    def opened(result: dict[str, Any]) -> dict[str, Any]:
        result["scores"]["test"]["difference"]["outcome"] = "gain"
        return {**result, "sealed": {**result["sealed"], "opened": 3, "elsewhere": 1}}

    change_json(run_folder / "result.json", opened)
    page = run_page(read_run(run_folder))
    assert '<p class="verdict">A gain on pictures that the search never saw.</p>' in page
    told = "is opening 3 of these sealed pictures or some of them, 1 of them elsewhere"
    assert f"<p>The test is not the first: it {told}. What" in page
    assert f" This {told}, and p is corrected for that.</p>" in page


def test_cost_and_time_are_no_sum(run_folder: Path) -> None:
    change_json(
        run_folder / "result.json",
        lambda old: {**old, "lm": {"optimizer": None, "describer": None}, "seconds": {**old["seconds"], "total": 9.0}},
    )
    page = run_page(read_run(run_folder))
    assert re.search(r'<dd>\$0, <span class="together">\d+ s</span></dd>', page)


def test_why_it_ended_is_said_where_it_is_known(run_folder: Path) -> None:
    change_json(
        run_folder / "result.json", lambda result: {**result, "ended": "the list is used up", "scored_only": 20}
    )
    page = text(run_page(read_run(run_folder)))
    assert "Why it ended: the list is used up." in page
    assert "(and 20 scored only)" in page


@pytest.mark.parametrize("names", [STRATEGIES, REWARDS], ids=["strategies", "rewards"])
def test_the_page_asks_for_no_strategy_and_no_reward_by_its_name(names: Any) -> None:
    """So that one of a user's own is told as those that ship are."""
    templates = " ".join(file.read_text("utf-8") for file in Path(report.__file__).parent.glob("*.j2"))
    assert not [name for name in names if f'"{name}"' in templates or f"'{name}'" in templates]
