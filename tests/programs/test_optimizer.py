"""The loop over the real embedded CLIP and images; only the language model is a script."""

from __future__ import annotations

import importlib
import json
import logging
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dspy
import numpy as np
import pytest
from dspy.utils import DummyLM

from ipo_prompts.experiments.data import DataSet, Item, draw, load_data
from ipo_prompts.experiments.estimator import IPOClassifier
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.bench import Bench, Rejection, Step
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.describe import MOST_CHARACTERS, cut
from ipo_prompts.programs.for_dspy import clip_accuracy
from ipo_prompts.programs.optimizer import IPO
from ipo_prompts.programs.selection import BEST_SEARCHED, POOLED, SEARCHED

WORDS = ("drawing", "blurry", "the", "pixel art", "a dark", "many", "icon", "cartoon", "old", "toy", "painted", "one")
TEMPLATES = [f"{word} <CLASS>." for word in WORDS]


class Scripted:
    """A strategy that proposes queued templates, and keeps the descriptions that it was told in each step."""

    def __init__(self, steps: Iterable[Sequence[str]]) -> None:
        self.steps = list(steps)
        self.described: list[Sequence[str]] = []

    def ask(self, bench: Bench) -> None:
        self.described.append(bench.descriptions)
        bench.propose(self.steps[bench.step] if bench.step < len(self.steps) else [])


class Holder(dspy.Module):  # type: ignore[misc]
    """A program with classifiers inside, and what a language model answers."""

    def __init__(self, *classifiers: TemplateClassifier) -> None:
        super().__init__()
        self.explain = dspy.Predict("label -> answer")
        self.parts = list(classifiers)

    def forward(self, image: Any) -> dspy.Prediction:
        return self.parts[0](image=image)


def by_twos() -> list[Sequence[str]]:
    return [TEMPLATES[i : i + 2] for i in range(0, len(TEMPLATES), 2)]


@pytest.fixture(scope="session")
def data() -> DataSet:
    """The first twelve classes of the shipped images: few enough to search in a moment."""
    whole = load_data("embedded", seed=0)
    parts = {part: tuple(i for i in whole.part(part) if i.label < 12) for part in ("train", "val", "test")}
    return replace(whole, class_names=whole.class_names[:12], **parts)


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture()
def reward(clip: Clip, data: DataSet, store_folder: Path) -> ClipReward:
    return ClipReward(clip, data.class_names, FeatureStore(clip, store_folder))


def examples(items: Sequence[Item], data: DataSet) -> list[dspy.Example]:
    return [
        dspy.Example(image=i.image, label=data.class_names[i.label], group=i.group).with_inputs("image") for i in items
    ]


@pytest.fixture()
def sets(data: DataSet) -> dict[str, list[dspy.Example]]:
    drawn = draw(data, 1, 1, 0)
    return {"trainset": examples(drawn.train, data), "valset": examples(drawn.val, data)}


def make(reward: Reward, script: Iterable[Sequence[str]] = (), **settings: Any) -> tuple[IPO, Scripted]:
    strategy = Scripted(script or by_twos())
    given = {"steps": len(strategy.steps), "describer": None, **settings}
    return IPO(reward=reward, strategy=lambda: strategy, **given), strategy


def student(reward: ClipReward) -> TemplateClassifier:
    return TemplateClassifier(reward.clip, reward.class_names)


def test_the_student_is_never_changed(reward: ClipReward, sets: Any) -> None:
    original = student(reward)
    before = json.dumps(original.dump_state()), dict(original.__dict__)
    program = make(reward)[0].compile(original, **sets)
    assert program is not original
    assert (json.dumps(original.dump_state()), dict(original.__dict__)) == before
    assert program._compiled
    assert program.clip is original.clip


def test_candidates_are_sorted_and_loadable_and_the_log_holds_every_step(reward: ClipReward, sets: Any) -> None:
    steps: list[Step] = []
    program: Any = make(reward, on_step=steps.append)[0].compile(student(reward), **sets)
    ranks = [(c["score"], -c["loss"]) for c in program.candidate_programs]
    assert ranks == sorted(ranks, reverse=True)
    best = program.search.history.best
    assert (program.candidate_programs[0]["score"], best.template) == (
        100 * best.value,
        program.candidate_programs[0]["program"].template,
    )
    found = {c["program"].template for c in program.candidate_programs}
    assert found == {BASELINE, *TEMPLATES}
    assert [step.number for step in steps] == [-1, 0, 1, 2, 3, 4, 5]
    assert list(program.trial_logs) == [step.number for step in steps]
    assert [entry["template"] for entry in program.trial_logs[0]["scored"]] == TEMPLATES[:2]
    assert list(program.search.steps) == steps
    json.dumps(program.trial_logs)


@pytest.mark.parametrize(
    ("name", "settings", "shown"),
    [
        ("paper", (100, 5, "train", None), (20, True, 0.0, False, False)),
        ("code", (100, 8, "train", None), (30, False, 0.20, True, False)),
    ],
)
def test_presets_are_the_published_settings(name: str, settings: Any, shown: Any, reward: ClipReward) -> None:
    ipo = IPO(reward=reward, **IPO.preset(name))
    keys = ("steps", "candidates_per_step", "selection", "patience")
    assert tuple(getattr(ipo.settings, key) for key in keys) == settings
    strategy = cast("dict[str, Any]", ipo.strategy)
    assert tuple(strategy[key] for key in ("size", "pin_initial", "floor", "one_by_one", "phrases")) == shown


def test_the_classifier_inside_a_larger_program_is_optimised(reward: ClipReward, sets: Any) -> None:
    ipo = IPO(reward=reward, strategy=LISTED, describer=None)
    alone: Any = ipo.compile(student(reward), **sets)
    whole = Holder(alone)
    found: Any = ipo.compile(whole, **sets)
    assert (type(found), found.parts[0].template) == (Holder, alone.template)
    assert whole.parts[0] is alone is not found.parts[0]
    listed = [entry["program"].template for entry in ipo.compile(alone, **sets).candidate_programs]
    assert [entry["program"].parts[0].template for entry in found.candidate_programs] == listed
    inside = found.parts[0]
    assert [entry["program"].template for entry in inside.candidate_programs] == listed
    assert (inside.search, inside.trial_logs, inside.usage) == (found.search, found.trial_logs, found.usage)
    assert found(image=sets["valset"][0].image).label == alone(image=sets["valset"][0].image).label


def test_what_is_left_out_is_what_the_command_line_uses(reward: ClipReward, sets: Any) -> None:
    config = RunConfig()
    given = IPO(lm=dspy.LM("openai/none"))
    assert given.settings.model_dump() == config.model_dump(include=set(type(given.settings).model_fields))
    assert IPOClassifier().steps == config.steps
    assert given.describer is None and config.describer == "none"
    assert given.strategy == config.strategy
    # Without a reward it is the accuracy, as in a run.
    left_out: Any = IPO(strategy=lambda: Scripted(by_twos()[:1]), steps=1).compile(student(reward), **sets)
    expected: Any = make(reward, by_twos()[:1])[0].compile(student(reward), **sets)
    assert left_out.trial_logs == expected.trial_logs


def test_the_winner_is_the_best_on_both_sets_and_only_the_held_back_one_measures_it(
    reward: ClipReward, sets: Any
) -> None:
    program: Any = make(reward)[0].compile(student(reward), **sets)
    assert program.search.choice.how == POOLED
    assert program.search.choice.gain is not None
    images = [reward.examples(sets[part]) for part in ("trainset", "valset")]
    candidates = [one["program"].template for one in program.candidate_programs if one["program"].template != BASELINE]
    hits = sum(np.array([score.hits.sum() for score in reward.score(candidates, units)]) for units in images)
    assert program.template in {BASELINE, *np.array(candidates)[hits == hits.max()]}
    assert program.template == program.search.choice.template
    assert program.search.choice.kept_initial == (program.template == BASELINE)
    alone: Any = make(reward)[0].compile(student(reward), trainset=sets["trainset"])
    assert (alone.search.choice.how, alone.search.choice.gain) == (SEARCHED, None)
    simple: Any = make(reward, selection="train")[0].compile(student(reward), **sets)
    assert simple.template == simple.candidate_programs[0]["program"].template
    assert simple.search.choice.how == BEST_SEARCHED


@pytest.mark.parametrize("part", ["trainset", "valset"])
def test_an_unknown_label_is_refused(part: str, reward: ClipReward, sets: Any) -> None:
    sets[part] = [*sets[part], dspy.Example(image=sets[part][0].image, label="unicorn", group="x")]
    ipo, proposer = make(reward)
    with pytest.raises(InputError, match="label 'unicorn'"):
        ipo.compile(student(reward), **sets)
    assert not proposer.described


def test_a_log_is_of_one_search(reward: ClipReward, sets: Any, tmp_path: Path) -> None:
    def compile_(*, trainset: Any = sets["trainset"], valset: Any = sets["valset"], **changes: Any) -> None:
        ipo = make(reward, by_twos()[:1], log_dir=tmp_path / "log", **changes)[0]
        ipo.compile(student(reward), trainset=trainset, valset=valset)

    compile_()
    compile_()  # what is finished is the same search
    before = (tmp_path / "log" / "journal.jsonl").read_bytes()
    relabelled = [{part: [rows[0].copy(label=rows[1].label), *rows[1:]]} for part, rows in sets.items()]
    for changed in (*relabelled, {"valset": None}, {"seed": 1}, {"task": "pets"}, {"describer": Wordy()}):
        said = f"log holds a search with another value of {next(iter(changed))}; begin a new one elsewhere"
        with pytest.raises(InputError, match=said):
            compile_(**changed)
    assert (tmp_path / "log" / "journal.jsonl").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write the folder .*file: File exists; choose another\.$"):
        IPO(reward=reward, strategy=["a <CLASS>"], log_dir=tmp_path / "file").compile(student(reward), **sets)


@pytest.mark.parametrize("changed", ["strategy", "reward", "describer"])
def test_a_log_is_of_one_code_and_not_of_one_name(
    changed: str, reward: ClipReward, sets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
        import dspy
        from ipo_prompts import ClipReward
        class Mine:
            def ask(self, bench): bench.propose(["a {word} <CLASS>."])
        class Other(ClipReward):
            word = "{word}"
        def told(images, labels, class_names, task): return dspy.Prediction(descriptions=["{word}"])
    """
    monkeypatch.syspath_prepend(tmp_path)
    for number, word in enumerate(("dark", "dark", "pale")):
        (tmp_path / f"mine_{number}.py").write_text(textwrap.dedent(code.format(word=word)))
    first, same, other = (importlib.import_module(f"mine_{number}") for number in range(3))

    def compile_(last: Any) -> None:
        made = {one: last if one == changed else first for one in ("strategy", "reward", "describer")}
        own = made["reward"].Other(reward.clip, reward.class_names, reward.store)
        ipo = IPO(
            strategy=made["strategy"].Mine,
            reward=own,
            describer=made["describer"].told,
            steps=1,
            log_dir=tmp_path / "log",
        )
        ipo.compile(student(reward), **sets)

    compile_(first)
    compile_(same)
    with pytest.raises(InputError, match=f"another value of {changed}"):
        compile_(other)


class Wordy(dspy.Module):  # type: ignore[misc]
    """Describes each image at length, and keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def forward(self, images: Sequence[LazyImage], labels: Any, **_: Any) -> dspy.Prediction:
        self.asked.append((images, labels))
        told = [f"LazyImage {number} shows a street. " + "The light is soft. " * 1_000 for number in range(len(images))]
        return dspy.Prediction(descriptions=told, failed=[])


def test_the_describer_sees_the_training_images_once_and_every_step_is_shown_the_same_cut_texts(
    reward: ClipReward, sets: Any
) -> None:
    describer = Wordy()
    ipo, strategy = make(reward, describer=describer)
    program: Any = ipo.compile(student(reward), **sets)
    ((images, labels),) = describer.asked
    assert len(images) == len(labels) == len(sets["trainset"])
    assert strategy.described == [program.search.descriptions] * 6
    told = program.search.descriptions
    assert [text[:10] for text in told] == [f"LazyImage {number} "[:10] for number in range(len(told))]
    assert MOST_CHARACTERS - 200 < len("\n".join(told)) <= MOST_CHARACTERS


@pytest.mark.parametrize("many", [0, 1, 3, 48, 500])
def test_descriptions_are_cut_to_the_same_length_and_left_out_evenly(many: int) -> None:
    texts = [f"{number} " + "red " * 500 for number in range(many)]
    shown = cut(texts)
    assert len("\n".join(shown)) <= MOST_CHARACTERS and len({len(text) for text in shown}) <= 1
    assert all(len(text) >= 100 for text in shown) and len(shown) == min(many, 49)
    numbers = [int(text.split()[0]) for text in shown]
    gaps = {after - before for before, after in pairwise(numbers)}
    assert all(texts[number].startswith(text) for number, text in zip(numbers, shown, strict=True))
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert cut(shown) == shown, "what fits is not changed"


class Wordiness:
    """A reward without CLIP or classes: of ten units, as many are right as a template has words.

    Its units carry halves, to be more than right or wrong.
    """

    class_names = ("thing",)

    def __init__(self) -> None:
        self.given: list[list[dspy.Example]] = []

    def problem(self, template: str) -> str | None:
        if "<CLASS>" not in template:
            return "it has no slot"
        return "it begins with the" if template.startswith("the ") else None

    def examples(self, examples: Sequence[dspy.Example]) -> SimpleNamespace:
        self.given.append(list(examples))
        return SimpleNamespace(groups=None, labels=None, n=len(examples))

    def score(self, templates: Sequence[str], units: SimpleNamespace) -> list[Score]:
        found = []
        for template in templates:
            hits = np.where(np.arange(units.n) < len(template.split()), 0.75, 0.25)
            found.append(Score(template, float(hits.mean()), 1.0, hits, 1 - hits))
        return found


@pytest.mark.parametrize("held_back", [True, False])
def test_any_reward_that_fits_is_searched_with(held_back: bool, clip: Clip, tmp_path: Path) -> None:
    reward = Wordiness()
    train = [dspy.Example(question=i) for i in range(10)]
    val = [dspy.Example(question=i) for i in range(10, 18)]
    steps = [["a <CLASS>", "no slot"], ["a very very very very long one of a <CLASS>"]]
    ipo, _ = make(reward, steps, log_dir=tmp_path)
    program: Any = ipo.compile(
        TemplateClassifier(clip, reward.class_names), trainset=train, valset=val if held_back else None
    )
    assert program.template == "a very very very very long one of a <CLASS>"
    assert reward.given == ([train, val] if held_back else [train])
    assert program.search.steps[1].rejected == (Rejection("no slot", "it has no slot"),)
    # Numbers are recorded as numbers.
    events = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    scored = next(event for event in events if event["type"] == "scores")
    assert scored["scores"][0]["hits"] == [0.75] * 5 + [0.25] * 5
    with pytest.raises(InputError, match="'the <CLASS>' cannot be used: it begins with the"):
        make(reward, steps, initial_template="the <CLASS>")[0].compile(student_of(clip), trainset=train)


def test_images_reach_a_reward_and_a_describer_as_images(clip: Clip, data: DataSet) -> None:
    reward, describer = Wordiness(), Wordy()
    path = data.train[0].image.name
    ipo, _ = make(reward, [["a <CLASS>"]], describer=describer)
    ipo.compile(student_of(clip), trainset=[dspy.Example(image=path), dspy.Example(image=path)])
    assert [type(example.image) for example in reward.given[0]] == [LazyImage, LazyImage]
    ((images, labels),) = describer.asked
    assert labels is None and [image.name for image in images] == [path, path]


def student_of(clip: Clip) -> TemplateClassifier:
    return TemplateClassifier(clip, Wordiness.class_names)


LISTED = ["a dark <CLASS>.", "a blue <CLASS>."]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lm": 5}, r"lm= takes a dspy.LM or a name as on the command line, not int; write lm=dspy.LM\("),
        ({"describer": "clip"}, "describer= takes an ImageDescriber or a callable of your own, not the text 'clip'"),
        (
            {"strategy": None},
            "strategy= takes a class, of which each search makes an object, not NoneType; give the class",
        ),
        ({"strategy": int}, "the strategy int has no ask"),
        (
            {"strategy": "own:Mine"},
            "strategy= of IPO takes a class, not its name 'own:Mine'; import it and give the class",
        ),
        (
            {"reward": clip_accuracy},
            "reward=function has no class_names, problem, examples, score; see ipo docs own-reward",
        ),
        ({"stepz": 3}, r"no setting 'stepz' \(did you mean steps\?\)"),
        (
            {"classifier": "rubbish"},
            "classifier in the settings of IPO is wrong: input should be 'auto', 'text' or 'text.images'",
        ),
        ({"lm": "hosted_vllm/m1", "lm_api_base": "http://host/v1"}, r"lm=dspy.LM\('PROVIDER/NAME', api_base="),
    ],
)
def test_what_is_no_part_of_an_optimizer_is_one_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        IPO(**given)


def test_the_model_is_that_of_the_context_of_the_compile(
    reward: ClipReward, sets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(logging.getLogger("dspy.teleprompt.ipo"), "warning", said.append)
    lm = DummyLM([{"templates": "[]"}] * 9)
    ipo = IPO(reward=reward, steps=1, strategy={"name": "compose", "scored_templates": 1}, describer=None)
    with dspy.context(lm=lm):
        ipo.compile(student(reward), **sets)
        asking = IPO(reward=reward, strategy="no-history", describer=None)
    assert lm.history and not said
    ipo.compile(student(reward), **sets)  # outside, all words come from the vocabulary
    assert said[0].startswith("No language model is set")
    with pytest.raises(InputError, match=r"strategy 'no-history' asks a language model and none is set; give IPO\(lm"):
        asking.compile(student(reward), **sets)


def test_a_compiled_program_compiles_again_without_keeping_the_first_search(reward: ClipReward, sets: Any) -> None:
    ipo = IPO(reward=reward, strategy=LISTED, describer=None)
    again: Any = ipo.compile(ipo.compile(student(reward), **sets), **sets)
    for candidate in again.candidate_programs:
        assert not {"candidate_programs", "trial_logs", "search"} & vars(candidate["program"]).keys()


def test_the_search_starts_from_the_students_template_unless_another_is_given(reward: ClipReward, sets: Any) -> None:
    own = TemplateClassifier(reward.clip, reward.class_names, "a drawing of a <CLASS>.")

    def start(of: TemplateClassifier, **given: Any) -> str:
        program: Any = IPO(reward=reward, strategy=["one <CLASS>"], describer=None, **given).compile(of, **sets)
        return str(program.search.history.initial.template)

    assert start(own) == start(own, settings=IPO(steps=2).settings) == own.template
    assert (
        start(own, initial_template=BASELINE)
        == start(own, settings=IPO(initial_template=BASELINE).settings)
        == BASELINE
    )


def test_no_example_stands_in_both_sets(reward: ClipReward, sets: Any, tmp_path: Path, clip: Clip) -> None:
    train, val = sets["trainset"], sets["valset"]
    file = tmp_path / "again.png"
    file.write_bytes(train[0].image.bytes())
    same = [dspy.Example(image=image, label=train[0].label) for image in (str(file), file.read_bytes())]
    plain = [dspy.Example(image=example.image, label=example.label) for example in val]
    for held_back, both in ((train, 12), ([*val, train[0].copy()], 1), ([*plain, *same], 2)):
        ipo, strategy = make(reward)
        with pytest.raises(InputError, match=f"^{both} of the {len(held_back)} examples in valset stand in trainset"):
            ipo.compile(student(reward), trainset=train, valset=held_back)
        assert not strategy.described
    # Without images, an example is what it holds.
    asked = [dspy.Example(question=np.arange(2000) // i, about=[i]) for i in range(1, 5)]
    ipo, _ = make(Wordiness(), [["a <CLASS>"]])
    ipo.compile(student_of(clip), trainset=asked[:2], valset=asked[2:])
    with pytest.raises(InputError, match=r"^1 of the 2 examples in valset stand in trainset too"):
        ipo.compile(student_of(clip), trainset=asked[:2], valset=[asked[1].copy(), asked[2]])
