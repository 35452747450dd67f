"""Grid files, their checks, and what is printed below their tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from ipo_prompts.experiments.compare.cell import Cell, run_config, shared_config
from ipo_prompts.experiments.compare.checks import check_grid
from ipo_prompts.experiments.compare.documents import table_of
from ipo_prompts.experiments.compare.grid import entries, load_grid, shipped
from ipo_prompts.experiments.compare.protocols import TO_DATA, ProtocolName
from ipo_prompts.experiments.compare.runner import benchmark
from ipo_prompts.experiments.data.published import REGISTRY
from ipo_prompts.experiments.data.sources import SOURCES
from ipo_prompts.experiments.run.config import dotted
from support.coop_root import make_root
from support.runs import KEY, Ended, ipo

SMALL = """\
title: Small
protocol: base-to-new
data: [embedded:a]
methods: [baseline, best-of-80]
seeds: [1, 2]
settings: {clip: embedded, lm: openai/gpt-4o-mini, describer: none, shots: 1, val_shots: 1}
"""


@pytest.fixture()
def small(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a small grid, with lines laid over it; return its file. The working directory is the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def write(lines: str = "") -> str:
        Path("small.yaml").write_text(yaml.safe_dump({**yaml.safe_load(SMALL), **(yaml.safe_load(lines) or {})}))
        return "small.yaml"

    return write


@pytest.fixture()
def bad(small: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a grid that is refused; return the sentence."""

    def run(*words: str) -> str:
        before = sorted(Path.cwd().iterdir())
        ended: Ended = ipo(capfd, "benchmark", *words)
        assert (ended.code, ended.out) == (2, ""), ended
        assert len(ended.err.splitlines()) == 1
        assert sorted(Path.cwd().iterdir()) == before, "something was written"
        return ended.sentence

    return run


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_grid_holds_known_names_and_valid_settings(name: str) -> None:
    grid = load_grid(name)
    assert grid.protocol in get_args(ProtocolName)
    for spec in (*grid.data, *(grid.targets if grid.protocol in TO_DATA else ())):
        assert spec.partition(":")[0] in {**REGISTRY, **SOURCES}
    found = entries(grid, Path("out"))
    assert len({entry.folder for entry in found}) == len(found)
    assert len(found) == len(grid.seeds) * len(grid.data) * len(grid.methods)
    for entry in found:
        shared = shared_config(entry)
        asked = run_config(entry)
        for key, value in dotted(entry.settings).items():
            assert dotted(shared.model_dump())[key] == value
            own = asked is None or key == "names"  # which the row `ipo` settles
            assert own or dotted(asked.model_dump())[key] == value, "a row's own settings win"


@pytest.mark.parametrize("name", [name for name in shipped() if name != "domain-generalization"])
def test_a_shipped_grid_can_begin_where_its_data_are(
    name: str, coop_root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPO_DATA_ROOT", str(coop_root))
    few = ["shots=1", "val_shots=1", "seeds=1"]  # the root holds five images a class
    check_grid(entries(load_grid(name, few), Path("out")))


@pytest.fixture(scope="module")
def coop_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("root"))


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_absent_data_are_left_out_by_name_and_broken_ones_told_at_once(
    small: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any, more: list[str]
) -> None:
    root = make_root(tmp_path / "root")
    monkeypatch.setenv("IPO_DATA_ROOT", str(root))
    (root / "sun397").rename(root / "gone")
    words = [small(), "shots=1", "val_shots=1", "seeds=1", "methods=baseline", "lm=none", *more]
    ended = ipo(capfd, "benchmark", *words, "data=eurosat,sun397")
    said = f"not on this machine, so {'their published sizes are assumed' if more else 'left out'}: sun397"
    assert ended.code == 0 and f"{said}\n" in (ended.out if more else ended.err)
    if not more:
        assert "sun397" not in ended.out and "eurosat" in ended.out
    (root / "dtd/split_zhou_DescribableTextures.json").unlink()
    shutil.rmtree(root / "food-101/images/baklava")
    ended = ipo(capfd, "benchmark", *words, "data=dtd,eurosat,sun397,food101", "methods=baseline,class-name")
    assert (ended.code, ended.out) == (2, "")
    *left, sentence = ended.err.splitlines()
    assert left == ([] if more else [said])
    assert sentence.count("dtd: ") == sentence.count("food101: ") == 1 and "eurosat: " not in sentence
    assert "baklava" in sentence and "split_zhou_DescribableTextures.json" in sentence


def test_a_price_needs_neither_data_nor_key(capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    for name in ("IPO_DATA_ROOT", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    words = ["lm=openai/gpt-4o-mini", "methods=baseline,ipo-default", "--dry-run"]
    ended = ipo(capfd, "benchmark", "main-1-shot", *words, "data=dtd,eurosat", "--json")
    assert ended.code == 0 and json.loads(ended.out)["usd"] > 0
    assert json.loads(ended.out)["missing"] == ["dtd", "eurosat"]
    assert ipo(capfd, "benchmark", "domain-generalization", *words).code == 0
    one = ipo(capfd, "optimize", "paper-1-shot", "eurosat", "--lm", "openai/gpt-4o-mini", "--dry-run")
    assert one.code == 0 and "optimizer: openai/gpt-4o-mini, about 100 calls" in one.out


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("protocl: x", "unknown key 'protocl' in small.yaml (did you mean protocol?)"),
        ("protocol: few-shots", "protocol in small.yaml is wrong: input should be 'base-to-new', 'cross-dataset'"),
        ("protocol: null", "protocol in small.yaml is wrong: input should be 'base-to-new', 'cross-dataset'"),
        ("settings: {names: search}", "names=search is settled at the end of a search, and baseline is none"),
        ("settings: {test: no}", "test is set by the cell and its method; leave it out"),
        ("methods: [baseline, best-of-8]", "no method 'best-of-8' (did you mean best-of-80?)"),
        ("methods: [baseline, baseline]", "methods in small.yaml is wrong: 'baseline' is there twice"),
        ("methods: [baseline, {label: Gda, method: best-of-80}, gda]", "'Gda' and 'gda' would share a folder"),
        ("methods: [{label: baseline, method: gda}]", "the row 'baseline' has the method 'gda'; name no row after"),
        ("reference: baslin", "the reference 'baslin' is no row (did you mean baseline?); add it to the methods"),
        ("data: ['folder:a b', 'folder:a_b']", "the data sets 'folder:a b' and 'folder:a_b' would share a folder"),
        ("targets: [embedded:b]", "few-shot and base-to-new test on the data set that is learnt"),
        ("seeds: 0", "seeds in small.yaml is wrong: list should have at least 1 item"),
        ("published: history", "input should be 'describer', 'history_size'"),
        ("settings: {shot: 1}", "unknown key 'shot' in the settings of the grid (did you mean shots?)"),
        ("settings: {seed: 1}", "seed is set by the cell and its method"),
        ("settings: {budget_usd: 1}", "budget_usd would give methods different budgets"),
        ("settings: {clip: ViT-B-33/openai}", "no CLIP named 'ViT-B-33'; did you mean ViT-B-32"),
    ],
)
def test_bad_content_is_one_sentence(small: Callable[..., str], bad: Callable[..., str], lines: str, why: str) -> None:
    assert why in bad(small(lines))


def test_words_fill_the_grid_and_the_settings_that_all_rows_share(small: Callable[..., str]) -> None:
    words = [
        "data=embedded:a,embedded:b",
        "methods=baseline, gda",
        "seeds=3",
        "shots=2",
        "title=A title",
        "lm=local",
    ]
    grid = load_grid(small(), words)
    assert grid.data == ["embedded:a", "embedded:b"]
    assert [(variant.label, variant.method) for variant in grid.methods] == [
        ("baseline", "baseline"),
        ("gda", "gda"),
    ]
    assert grid.seeds == [0, 1, 2]
    assert grid.settings["shots"] == 2 and grid.settings["lm"] == "local" and grid.settings["clip"] == "embedded"
    assert load_grid(small(), ["seeds=4,7"]).seeds == load_grid(small(), ["seeds=[4, 7]"]).seeds == [4, 7]
    assert load_grid(small("settings: {}"), ["shots=2"]).settings == {"shots": 2}


def test_cells_come_seed_by_seed_and_a_rows_own_settings_win(small: Callable[..., str]) -> None:
    methods = "methods: [baseline, {label: longer, method: ipo-paper, settings: {steps: 9}}]"
    found = entries(load_grid(small(methods), ["steps=3", "data=embedded:a,embedded:b"]), Path("out"))
    assert [(entry.seed, entry.data, entry.label) for entry in found] == [
        (seed, data, label)
        for seed in (1, 2)
        for data in ("embedded:a", "embedded:b")
        for label in ("baseline", "longer")
    ]
    assert [entry.settings["steps"] for entry in found[:2]] == [3, 9]
    assert found[1].folder == Path("out/cells/embedded-a/longer/seed-1")


@pytest.fixture()
def found(small: Callable[..., str]) -> list[Cell]:
    return entries(load_grid(small(), ["seeds=2"]), Path("out"))


def test_the_published_ablation_stands_below_the_table_with_its_source(
    small: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    ended = ipo(capfd, "benchmark", small("published: history_size\nmethods: [baseline, class-name]"), "seeds=1")
    assert ended.code == 0
    text = Path("runs/small/table.md").read_text()
    assert ended.out == text
    section = text.partition("\n### Published: history length\n")[2]
    assert "| history length | base  | new   | H     |" in section
    assert "| 20             | 71.76 | 77.00 | 74.29 |" in section
    assert "mean of the 11 data sets, 1 shot. Source: IPO paper (arXiv 2410.15397)" in section
    (ablation,) = json.loads(Path("runs/small/table.json").read_text())["ablations"]
    assert ablation["values"]["0"] == {"base": 69.15, "new": 75.2, "H": 72.04}
    assert ablation["source"] in section
    assert "history length" not in Path("runs/small/table.csv").read_text()


def test_python_runs_the_grid_and_returns_the_table(
    small: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    found = benchmark(small("methods: [baseline, class-name]"), seeds=1, out="called")
    assert capfd.readouterr() == ("", "")
    ended = ipo(capfd, "benchmark", "small.yaml", "seeds=1")
    assert ended.out == f"{found}" == Path("called/table.md").read_text()
    assert found.table and found.table.methods == ["baseline", "class-name"] and not found.failed


def test_no_table_is_made_of_cells_without_scores(small: Callable[..., str], found: list[Cell]) -> None:
    grid = load_grid(small(), ["seeds=2"])
    assert table_of(grid, found, ["failed: no luck", *["not run yet"] * 3]) is None
