"""The pages on strategies and packages run as written, and the table is the registry's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from ipo_prompts import IPO, InputError, TemplateClassifier, draw, load_data
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.registry import installed
from ipo_prompts.programs.search import SearchResult
from ipo_prompts.programs.strategies import STRATEGIES
from support.pages import DOCS, blocks
from support.runs import ipo

PAGE, PACKAGE = DOCS / "how-to/strategies.md", DOCS / "how-to/plugins.md"


def test_the_strategy_of_the_page_searches(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dry, own, command, use = (block.text for block in blocks(PAGE))
    Path("add_words.py").write_text(own, encoding="utf-8")
    for line in [*dry.splitlines(), *command.splitlines()]:
        assert ipo(capfd, *line.split()[1:]).code == 0
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(own + use, str(PAGE), "exec"), names)
    found = names["found"]
    assert isinstance(found, SearchResult)
    assert (found.scored_only, found.proposed, found.ended) == (16, 10, "all 2 steps were done")
    assert found.choice.template in capfd.readouterr().out
    assert max(len(step.best.template.split()) for step in found.steps) >= 6  # words were added


def test_the_table_names_every_strategy_with_its_settings() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert list(rows)[: len(list(STRATEGIES))] == list(STRATEGIES)
    for name in STRATEGIES:
        settings = list(STRATEGIES.find(name).Settings.model_fields)
        told = re.findall(r"`(\w+)`", rows[name])
        assert told == settings or told == ["history"]


def test_the_package_of_the_page_is_found_by_its_name_where_it_is_installed(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project, module = (block.text for block in blocks(PACKAGE))
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "pyproject.toml").write_text(project)
    (source / "ipo_words.py").write_text(module)
    build = "import sys, setuptools.build_meta as s; s.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    monkeypatch.chdir(tmp_path)
    Path("ipo_words.py").write_text("raise SystemExit('a file of the current folder')")
    with pytest.raises(InputError, match="there is no strategy 'add-words'"):
        IPO(strategy="add-words")
    monkeypatch.syspath_prepend(site)
    installed.cache_clear()
    try:
        data = draw(load_data("embedded", seed=0), shots=1, selection_shots=1, seed=0)
        own = IPO(strategy={"name": "add-words", "words": ["blurry", "gray"]}, describer=None, steps=1)
        student, examples = TemplateClassifier(clip, data.class_names), data.examples("search")[:8]
        found: Any = own.compile(student, trainset=examples)
        tried = [entry.template for entry in found.search.steps[-1].scored]
        assert tried == ["a photo of a blurry <CLASS>.", "a photo of a gray <CLASS>."]
        assert "strategy.words" in ipo(capfd, "optimize", "strategy=add-words", "--help").out
        (typed,) = re.findall(r"`ipo (optimize --lm none .*)` \|", PACKAGE.read_text(encoding="utf-8"))
        assert ipo(capfd, *shlex.split(typed), "--dry-run").code == 0
        refused = ipo(capfd, "optimize", "strategy=add-word", "--lm", "none")
        assert "did you mean add-words?" in refused.err and refused.code == 2
    finally:
        installed.cache_clear()
        sys.modules.pop("ipo_words", None)
