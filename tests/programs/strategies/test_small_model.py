"""How the small model is asked: the text as a golden, the rest on the real small model."""

import random
from collections.abc import Iterator
from typing import Any

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, Usage

from ipo_prompts.metrics.template import key, problem
from ipo_prompts.programs.lm import weights
from ipo_prompts.programs.lm.local import LocalEngine
from ipo_prompts.programs.strategies import small_model
from ipo_prompts.programs.strategies.small_model import SmallModelAdapter, quality_problem, words_to_ban
from ipo_prompts.signatures.propose import ProposeTemplate, short_line

ROWS = [
    ("a <CLASS> in the wild.", 0.2875),
    ("a photo of a <CLASS>.", 0.3125),
    ("an image of the <CLASS>, seen from the front.", 0.36),
]
HISTORY = [template for template, _ in ROWS]
INPUTS: dict[str, Any] = {
    "task": "small pictures of things, such as cat, bus. <CLASS> is the name of a thing.",
    "image_descriptions": ["A bus with four windows. It waits at a stop.", "A cat."],
    "scored_templates": [short_line(template, value) for template, value in ROWS],
}

GOLDEN = """\
[system]
You write short image caption templates for the CLIP classifier. You answer with one template.
[user]
Task: pictures of old coins, such as denarius, ducat, penny. <CLASS> is the name of a coin.

What some of the images look like:
- A round piece of metal lies on a tray in a museum.

Templates tried so far, from the worst score to the best:
41.0  <CLASS>.
46.5  a photo of a <CLASS>.
52.0  an image of a <CLASS> from a collection.
55.5  a museum photo of a <CLASS>.

Write 1 new caption template for these images that could score higher. Use the slot <CLASS> exactly once. \
Describe the images: kind of picture, viewpoint, scene, material, or the category of the classes. \
Do not repeat a template from the list.
[assistant]
a top view of a <CLASS>, a kind of coin on a museum tray.
[user]
Task: small pictures of things, such as cat, bus. <CLASS> is the name of a thing.

What some of the images look like:
- A bus with four windows.
- A cat.

Templates tried so far, from the worst score to the best:
28.8  a <CLASS> in the wild.
31.2  a photo of a <CLASS>.
36.0  an image of the <CLASS>, seen from the front.

Write 1 new caption template for these images that could score higher. Use the slot <CLASS> exactly once. \
Describe the images: kind of picture, viewpoint, scene, material, or the category of the classes. \
Do not repeat a template from the list.
"""


class Recorder:
    """An engine that keeps the request and answers what it was given."""

    def __init__(self, text: str = "a <CLASS>.", finish: str = "stop") -> None:
        self.text, self.finish = text, finish
        self.requests: list[Request] = []

    def complete(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant(self.text),
            finish_reason=self.finish,
            usage=Usage(input_tokens=1, output_tokens=1),
        )


def propose(engine: Any, inputs: dict[str, Any] = INPUTS, **config: Any) -> list[str]:
    lm = dspy.LM("local/test@1", engine=engine, cache=False)
    with dspy.context(lm=lm, adapter=SmallModelAdapter()):
        template = dspy.Predict(ProposeTemplate)(**inputs, config=config).template
    return [template] if template else []


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    pytest.importorskip("xllamacpp")
    shared = LocalEngine(weights.pull("small"))
    yield shared
    shared.close()


def test_the_question_is_this_text() -> None:
    turns = SmallModelAdapter().format(ProposeTemplate, [], INPUTS)
    assert "".join(f"[{turn['role']}]\n{turn['content']}\n" for turn in turns) == GOLDEN


def test_the_request_carries_grammar_seed_bans_and_sampling() -> None:
    engine = Recorder()
    assert propose(engine, seed=7, logit_bias=[[" cat", -5.0]], rollout_id=3, temperature=0.5) == ["a <CLASS>."]
    config = engine.requests[0].config
    assert (config.seed, config.temperature, config.top_p, config.top_k, config.max_tokens) == (7, 0.5, 0.95, 50, 64)
    bias = [[" <", 1.5], ["<", 1.5], [" cat", -5.0]]
    assert config.extensions == {"grammar": small_model.GRAMMAR, "min_p": 0.05, "logit_bias": bias}


def test_the_real_model_writes_valid_and_new_templates_under_the_grammar(engine: LocalEngine) -> None:
    rng = random.Random(0)
    batch: list[str] = []
    for seed in range(10):
        batch += propose(engine, seed=seed, logit_bias=words_to_ban(HISTORY, batch, rng, always=["cat", "bus"]))
    assert len(batch) >= 9  # one may run into the token limit
    assert [problem(template) for template in batch] == [None] * len(batch)
    assert all(template.count("<CLASS>") == 1 and template.endswith(".") for template in batch)
    assert all(template.count(",") <= 2 for template in batch)
    assert len({key(template) for template in batch}) >= 8
    assert sum(quality_problem(template) is None for template in batch) >= 5


def test_bans_are_half_of_the_used_words_the_leaks_and_the_class_names() -> None:
    def banned(seed: int, **more: Any) -> set[str]:
        return {
            str(word) for word, bias in words_to_ban(HISTORY, ["a drawing of a <CLASS>."], random.Random(seed), **more)
        }

    used = {" wild", " photo", " image", " seen", " front", " drawing"}
    sizes = [len(banned(seed) & used) for seed in range(200)]
    assert 2.7 < sum(sizes) / 200 < 3.3
    leaks = {
        " museum",
        " coin",
        " tray",
        " top",
        " view",
        " kind",
        " collection",
        " round",
        " piece",
        " metal",
        " lies",
    }
    assert banned(1) - used == leaks
    assert banned(1, always=["hot_dog"]) - used == leaks | {" hot", " dog"}
    assert banned(1) == banned(1) and all(bias == -5.0 for _, bias in words_to_ban(HISTORY, [], random.Random(1)))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a photo of a <CLASS>.", None),
        ("a <CLASS>.", "it has 2 words, not 3 to 16"),
        ("a <CLASS>" + " and so on" * 5 + ".", "it has 17 words, not 3 to 16"),
        ("a Photo of a <CLASS> in the photo.", "it says 'photo' twice"),
        ("a photo of the <CLASS>, in the sun.", None),
        ("a <CLASS> beside a hot dog.", "it names the class 'hot dog'"),
        ("a hot <CLASS> dog.", None),
    ],
)
def test_quality_problem(template: str, reason: str | None) -> None:
    assert quality_problem(template, ["hot_dog"]) == reason
    assert quality_problem(template, ["+", "hot_dog"]) == reason  # a class name without letters is in no template
