"""`reward=module:Class` and `strategy=module:Class`: classes of the user's own, and who may have them imported."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ipo_prompts as package
from ipo_prompts.experiments.report.page import read_run
from ipo_prompts.experiments.run.files import config_of
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.trust import resume_command
from support.runs import CLASSES, copy_images, events, ipo, lines_of, result

SMALL = ["lm=none", "describer=none", "shots=1", "val_shots=1", "steps=2", "candidates_per_step=2"]
REWARD = """
from pathlib import Path

Path("imported").write_text("reward")

from dataclasses import replace

from pydantic import BaseModel

import numpy as np

from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.reward import Judged
from ipo_prompts.metrics.scale import Scale


class Harsh(ClipReward):
    measure = "harsh accuracy"

    class Settings(BaseModel):
        factor: float = 0.5

    def __init__(self, *positional, factor, **named):
        super().__init__(*positional, **named)
        self.factor = factor

    def score(self, templates, images):
        return [
            replace(score, value=self.factor * score.value, hits=self.factor * score.hits)
            for score in super().score(templates, images)
        ]


class Plain(ClipReward):
    pass


class NoReward:
    pass


class BadSettings(ClipReward):
    Settings = 3


class LongMeasure(ClipReward):
    measure = "<b>" * 20


class Likely(ClipReward):
    scale = Scale(low=-50, high=0, percent=False)


class LikelyLater(ClipReward):
    scale = property(lambda reward: Likely.scale)


class Breaks(ClipReward):
    def __init__(self, *positional, **named):
        raise RuntimeError("no weights")


class Other(ClipReward):
    def __init__(self, clip, class_names):
        pass


def function():
    pass
"""
STRATEGY = """
from pathlib import Path

Path("imported").write_text("strategy")

from pydantic import BaseModel, Field


class Words:
    class Settings(BaseModel):
        word: str = Field("dark", description="what is put before the class")

    def __init__(self, word):
        self.word = word

    def ask(self, bench):
        bench.propose([f"a {self.word} photo of a <CLASS>.", f"the {self.word} <CLASS>."])


class Asks(Words):
    asks_lm = needs_lm = True
"""

PAIRS = """
from dataclasses import dataclass

import numpy as np

from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.template import problem
from ipo_prompts.metrics.text_tower import encode_templates


@dataclass
class Units:
    features: np.ndarray
    classes: list[int]
    groups: None = None
    labels: None = None


class Pairs:
    unit = "pairs"

    def __init__(self, clip, class_names, store):
        self.clip, self.class_names, self.store = clip, class_names, store

    def problem(self, template):
        return problem(template)

    def examples(self, examples):
        return Units(self.store.encode([e.image for e in examples]), [e.class_index for e in examples])

    def score(self, templates, units):
        return [self._scored(template, units) for template in templates]

    def _scored(self, template, units):
        classes = encode_templates(self.clip.model, self.clip.tokenizer, [template], self.class_names)[0]
        near = units.features @ classes.T
        n = len(near) // 2
        hits = np.array([near[i, units.classes[i]] > near[i + n, units.classes[i]] for i in range(n)])
        return Score(template, float(hits.mean()), 0.0, hits, np.zeros(n))
"""

TASKS = """
from ipo_prompts.experiments.tasks import Encoded, Task
from ipo_prompts.metrics.classification import ClipReward


class Bare(Task):
    made = ClipReward


class Halves(Task):
    made = ClipReward
    measure = "half an accuracy"
    unit = "halves"

    def encode(self, reward, items, *, seed, progress=None):
        images = [item.image for item in items[::2]]
        units = reward.encode(images, [item.label for item in items[::2]])
        return Encoded(units, images, (), None)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, light: None) -> Iterator[Path]:
    """A folder to work in, with images and two files of one's own that tell when they are imported."""
    copy_images(tmp_path / "pets")
    (tmp_path / "mine.py").write_text(REWARD)
    (tmp_path / "waves.py").write_text(STRATEGY)
    (tmp_path / "tasks.py").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    as_in_a_new_process(monkeypatch)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what was typed, what was imported, and that it was."""
    for registry in (REWARDS, STRATEGIES):
        monkeypatch.setattr(registry, "_allowed", set())
    for name in ("mine", "waves", "evil"):
        sys.modules.pop(name, None)
    Path("imported").unlink(missing_ok=True)


def imported() -> bool:
    return Path("imported").exists()


def optimize(capfd: pytest.CaptureFixture[str], *words: str, out: str = "run") -> Any:
    return ipo(capfd, "optimize", "folder:pets", *SMALL, *words, "--out", out)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run of `run` is kept for all tests here."""
    return tmp_path_factory.mktemp("made") / "run"


@pytest.fixture()
def run(made_once: Path, capfd: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with both, as a stranger may send one: with the code beside it."""
    if not made_once.exists():
        path = list(sys.path)
        words = ("reward=mine:Harsh", "reward.factor=0.25", "strategy=waves:Words", "strategy.word=bright", "--json")
        assert optimize(capfd, *words).code == 0
        assert imported() and sys.path == path
        shutil.copytree("run", made_once)
        for name in ("mine.py", "waves.py"):
            shutil.copy(name, made_once)
    shutil.copytree(made_once, "run", dirs_exist_ok=True)
    as_in_a_new_process(monkeypatch)
    return folder / "run"


# --- what works


def test_both_from_the_command_line_with_settings(run: Path) -> None:
    found = result(run)
    assert found["reward"] == {"name": "mine:Harsh", "measure": "harsh accuracy", "unit": "images"}
    assert found["strategy"]["name"] == "waves:Words"
    assert all(row["after"]["value"] <= 0.25 for row in found["rows"])
    assert "bright" in (run / "journal.jsonl").read_text()
    assert "factor: 0.25" in (run / "config.yaml").read_text()
    assert "harsh accuracy" in (run / "report.html").read_text()


def test_from_python_from_a_settings_file_and_the_words_of_a_class_without_any(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    settings = dict(word.split("=") for word in SMALL[:2])
    outcome = package.optimize(
        "folder:pets",
        **settings,  # type: ignore[arg-type]
        shots=1,
        val_shots=1,
        steps=1,
        reward="mine:Plain",
        strategy={"name": "waves:Words", "word": "old"},
        out="call",
        quiet=True,
    )
    assert outcome.result.reward.model_dump() == {"name": "mine:Plain", "measure": "Plain", "unit": "images"}
    (folder / "my.yaml").write_text("reward: mine:Plain\nstrategy: {name: waves:Words, word: old}\nsteps: 1\n")
    assert ipo(capfd, "optimize", "my.yaml", "folder:pets", *SMALL[:4], "--out", "file").code == 0
    assert result(folder / "file")["rows"] == result(folder / "call")["rows"]


def test_in_a_grid_and_only_where_a_person_wrote_it(
    capfd: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "grid.yaml").write_text(
        "title: mine\nprotocol: few-shot\ndata: ['folder:pets']\nmethods:\n- baseline\n- {label: waves, method: "
        "ipo-default, settings: {strategy: 'waves:Words'}}\nseeds: 1\n"
        "settings: {reward: 'mine:Harsh', shots: 1, val_shots: 1, lm: none, describer: none, steps: 1}\n"
    )
    ended = ipo(capfd, "benchmark", "grid.yaml", "--out", "table", "--quiet")
    assert ended.code == 0, ended.err
    assert imported()
    (cell,) = (folder / "table" / "cells").glob("*/waves/seed-0/result.json")
    assert '"measure": "harsh accuracy"' in cell.read_text()
    as_in_a_new_process(monkeypatch)
    again = ["benchmark", "table/grid.yaml", "--out", "again", "--quiet"]
    assert "the grid in table names mine:Harsh" in ipo(capfd, *again).sentence
    assert not imported()


def test_a_reward_of_other_units_that_is_no_clip_reward(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "pairs.py").write_text(PAIRS)
    ended = optimize(capfd, "reward=pairs:Pairs", "strategy=waves:Words")
    assert ended.code == 0, ended.err
    found = result(folder / "run")
    assert found["reward"] == {"name": "pairs:Pairs", "measure": "Pairs", "unit": "pairs"}
    assert found["rows"][0]["n"] == len(CLASSES) // 2
    assert " pairs" in ended.out
    assert (folder / "run" / "report.html").is_file()


def test_a_whole_task(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    ended = optimize(capfd, "reward=tasks:Halves", "strategy=waves:Words")
    assert ended.code == 0, ended.err
    found = result(folder / "run")
    assert found["reward"] == {"name": "tasks:Halves", "measure": "half an accuracy", "unit": "halves"}
    assert found["rows"][0]["n"] == len(CLASSES) // 2


@pytest.mark.parametrize(
    ("reward", "measure"),
    [("examples.macro_f1:MacroF1", "macro-F1"), ("retrieval", "recall@1"), ("classification", "accuracy")],
)
def test_templates_are_evaluated_by_any_reward(
    reward: str, measure: str, capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    templates = ["--template", "a photo of a <CLASS>.", "--template", "a sketch of a <CLASS>."]
    ended = ipo(capfd, "evaluate", "--data", "folder:pets", f"reward={reward}", *templates)
    assert ended.code == 0, ended.err
    header, first, second = ended.out.splitlines()
    assert header.strip().startswith(measure)
    assert first.endswith("a photo of a <CLASS>.") and second.endswith("a sketch of a <CLASS>.")


# --- what is wrong with it


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("reward=nothing:Mine", "reward=nothing:Mine cannot be used: ModuleNotFoundError: No module named 'nothing'."),
        ("reward=mine:Hash", "reward=mine:Hash asks for 'Hash', and mine has none (did you mean Harsh?)"),
        ("reward=mine:function", "reward=mine:function is no class"),
        ("reward=mine:NoReward", "reward=mine:NoReward has no problem, examples, score; see ipo docs own-reward"),
        ("reward=mine:BadSettings", "Settings of reward=mine:BadSettings is no pydantic model"),
        ("reward=mine:LongMeasure", "measure of reward=mine:LongMeasure is "),
        ("reward=mine:Likely", "the scale of reward=mine:Likely is from -50 to 0 with percent=False, and runs and"),
        ("reward=mine:LikelyLater", "the scale of reward=mine:LikelyLater is from -50 to 0 with percent=False"),
        ("reward=mine:Breaks", "mine.py, line 60: RuntimeError: no weights."),
        ("reward=mine:Other", "reward=mine:Other cannot be used: TypeError: "),
        ("reward=tasks:Bare", "reward=tasks:Bare has no measure; see ipo docs own-reward"),
        ("reward=segmentation", "there are: classification, retrieval, or MODULE:CLASS of your own."),
        ("strategy=mine:Plain", "strategy=mine:Plain has no ask; see ipo docs strategies"),
        ("strategy=waves:Asks", "the strategy 'waves:Asks' asks a language model and lm=none names none"),
        ("reward=broken:Mine", "broken.py, line 2: ZeroDivisionError: division by zero."),
        ("reward=unreadable:Mine", "SyntaxError: invalid syntax (unreadable.py, line 1)"),
        ("reward=needs:Mine", "needs.py, line 1: ModuleNotFoundError: No module named 'not_installed'."),
        ("reward=leaves:Mine", "leaves.py, line 2: SystemExit: 3."),
        ("reward=mine/x:Mine", "there is no reward 'mine/x:Mine'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    capfd: pytest.CaptureFixture[str], folder: Path, word: str, told: str
) -> None:
    (folder / "broken.py").write_text("def f():\n    1 / 0\nf()\n")
    (folder / "unreadable.py").write_text("class (\n")
    (folder / "needs.py").write_text("import not_installed\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    ended = optimize(capfd, word)
    assert ended.code == 2
    assert told in ended.sentence
    assert str(folder) not in sys.path


# --- who may say it


def test_resuming_asks_for_the_names_and_then_uses_them(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run / "result.json").unlink()  # so the search is followed again
    ended = ipo(capfd, "optimize", "--resume", "run", "max_minutes=5")
    assert ended.code == 2
    assert "names mine:Harsh and waves:Words, and no code or server is used because a run" in ended.sentence
    words = shlex.split(ended.sentence.split("`")[1])[1:]
    assert words == ["optimize", "--resume", "run", "max_minutes=5", "reward=mine:Harsh", "strategy=waves:Words"]
    assert ipo(capfd, *words[:-1]).code == 2  # one of two is not enough
    assert ipo(capfd, *words[:3], "reward.factor=0.25", words[-1]).code == 2  # nor is a setting of it
    assert not imported()
    other = ipo(capfd, *words[:-2], "reward=mine:Plain", words[-1])
    assert other.code == 2 and "give that one" in other.sentence
    assert ipo(capfd, *words, "reward.factor=0.5").code == 2
    assert not imported()
    assert ipo(capfd, *words).code == 0
    assert imported()
    assert shlex.split(resume_command(run))[-2:] == words[-2:]


def test_what_only_reads_a_run_imports_nothing(capfd: pytest.CaptureFixture[str], folder: Path, run: Path) -> None:
    replay = shlex.split(read_run(run).command_to_replay)[1:]
    for name in ("mine", "waves"):
        (run / f"{name}.py").write_text("raise SystemExit\n")
    (run / "report.html").unlink()
    image = next((folder / "pets" / CLASSES[0]).iterdir())
    for words in (
        ["report", "run"],
        ["predict", "run", str(image)],
        ["export", "run", "--to", "head", "--out", "weights"],
    ):
        ended = ipo(capfd, *words)
        assert ended.code == 0, (words, ended.err)
        assert not imported(), words
    assert ipo(capfd, *replay).code == 0  # the command of the page says the names
    assert imported()


def test_a_run_that_somebody_made_up(folder: Path, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A name in each place of a run directory, and the code in the current folder too."""
    for place in (folder, run):
        (place / "evil.py").write_text('open("imported", "w").close()\n')

    def theirs(text: str) -> str:
        return text.replace("mine:Harsh", "evil:Evil").replace("waves:Words", "evil:Wave")

    (run / "config.yaml").write_text(theirs((run / "config.yaml").read_text()))
    (run / "journal.jsonl").write_text(lines_of(*json.loads(theirs(json.dumps(events(run))))))
    for words in (
        ["optimize", "--resume", "run", "max_minutes=5"],
        ["optimize", "run/config.yaml", "--out", "next"],
        ["optimize", "run/config.yaml", "--resume", "run"],
        ["optimize", "--resume", "run", "reward=mine:Harsh", "strategy=waves:Words"],
        ["report", "run"],
        ["predict", "run", "pets"],
        ["export", "run", "--to", "head", "--out", "weights"],
    ):
        ipo(capfd, *words)
        assert not imported(), words
    stored = config_of(run).model_copy(update={"lm": "local"})
    for found in (lambda: stored.asks_lm, lambda: REWARDS.build(stored.reward), lambda: plan(stored)):
        with pytest.raises(InputError, match="code is only run where a person types its name"):
            found()  # nor does any other way from a stored configuration to the code
    assert not imported()
