"""What a run tells is one list; terminal, page and notebook each print what belongs there."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from ipo_prompts.experiments.one_call import answer, summary
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import notebook_part, run_page
from ipo_prompts.experiments.run.advice import advice
from ipo_prompts.experiments.run.told import Line, _domain, told, told_at
from ipo_prompts.programs.templates.domain_words import DomainWord

RECORDED = Path(__file__).parents[2] / "recorded"


@pytest.mark.parametrize("name", ["api-paper-base-to-new", "local-history"])
def test_each_sentence_is_printed_where_it_belongs_in_the_order_of_the_list(name: str) -> None:
    run = read_run(RECORDED / name)
    parts = (re.sub(r"<(?!CLASS>)[^>]*>", "", part) for part in (run_page(run), notebook_part(run)))
    page, notebook = (html.unescape(part).replace("\xa0", " ") for part in parts)
    lines = list(told(run.result, run.config, run.folder))
    assert all(line.at and (line.text or line.command) for line in lines)
    printed = {"terminal": summary(run.result, run.folder), "quiet": answer(run.result), "notebook": notebook}
    for place, text in printed.items():
        there = [line for line in lines if place in line.at]
        found = [text.index(line.text or " ".join(line.command)) for line in there]
        assert found == sorted(found) and there == told_at(place, run.result, run.config, run.folder)
    for line in lines:
        if set(line.at) & {"warning", "rows", "sure", "compared"}:
            assert line.text in page and " ".join(line.command) in page


def domain_line(template: str, words: tuple[DomainWord, ...], best: str | None) -> Line | None:
    """Return the line about domain words of a run with these words."""
    run = read_run(RECORDED / "local-history")
    strategy = run.result.strategy.model_copy(update={"domain": words, "best_of_domain": best})
    changes: dict[str, object] = {"template": template, "strategy": strategy}
    return next(_domain(run.result.model_copy(update=changes)), None)


def test_pictures_that_lower_the_accuracy_are_no_advice() -> None:
    run = read_run(RECORDED / "local-history")
    head = SimpleNamespace(kept=True, over_words=SimpleNamespace(difference=-0.02))
    worse = run.result.model_copy(update={"head": head, "baselines": None})
    advised, command = advice(worse, run.config, run.folder)
    assert advised.endswith("let words alone decide:") and command[-1] == "head=words"
    head.over_words.difference = 0.0
    assert advice(worse, run.config, run.folder)[0].endswith("words and pictures decide together")


FLOWER = DomainWord("flower", "thing", "names")
BEST = "a photo of a <CLASS>, a type of flower."


def test_a_run_tells_which_word_for_all_classes_the_template_says_and_where_it_comes_from() -> None:
    line = domain_line(BEST, (FLOWER, DomainWord("plant", "thing", "said")), BEST)
    assert line and line.text == "the template says 'flower', from the names of the classes" and not line.command
    assert "rows" in line.at and "terminal" not in line.at, "the page has it"
