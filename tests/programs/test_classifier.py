from __future__ import annotations

import asyncio
import base64
import copy
import io
import json
import pickle
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.calibration import cross_entropies, softmax
from ipo_prompts.metrics.classification import ClipReward, EncodedImages, logits_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage, to_image
from ipo_prompts.metrics.retrieval import RetrievalReward
from ipo_prompts.metrics.reward import Judged
from ipo_prompts.metrics.template import ClassName
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.for_dspy import clip_accuracy
from support.clips import changed

NAMES = ("cat", "dog", "ice_cream")
ODD = 'the "{odd}" <CLASS> – ☃'


@pytest.fixture()
def file() -> Path:
    return Path(load_data("embedded", seed=0).test[0].image.name)


def other_clip(clip: Clip) -> Clip:
    return changed(clip, fingerprint="0" * 64, name="another")


def test_forward_gives_a_label_and_probabilities(clip: Clip, file: Path) -> None:
    prediction = TemplateClassifier(clip, NAMES)(image=str(file))
    assert set(prediction.scores) == set(NAMES)
    assert sum(prediction.scores.values()) == pytest.approx(1, abs=1e-5)
    assert prediction.label == max(prediction.scores, key=prediction.scores.__getitem__)


def as_pil(file: Path) -> Any:
    return Image.open(file)


def as_dspy_image(file: Path) -> Any:
    buffer = io.BytesIO()
    Image.open(file).convert("RGB").save(buffer, format="PNG")
    return dspy.Image(url=f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}")


def as_array(file: Path) -> Any:
    return np.asarray(Image.open(file).convert("RGB"))


class OwnReward(ClipReward):
    def judge(self, logits: Floats, images: EncodedImages) -> Judged:
        return Judged(logits[:, 0])


@pytest.mark.parametrize("form", [str, Path, Path.read_bytes, LazyImage.from_path, as_pil, as_dspy_image, as_array])
def test_every_form_of_an_image_gives_the_same(
    form: Callable[[Path], Any], clip: Clip, file: Path, tmp_path: Path
) -> None:
    program = TemplateClassifier(clip, NAMES)
    expected = program(image=file)
    found = program(image=form(file))
    assert found.label == expected.label
    assert found.scores == pytest.approx(expected.scores, abs=1e-6)
    features = clip.encode_images([file])
    np.testing.assert_allclose(clip.encode_images([form(file)]), features, atol=1e-6)
    store, example = FeatureStore(clip, tmp_path), dspy.Example(image=form(file), label="dog", caption="dog")
    for reward in (ClipReward(clip, NAMES, store), OwnReward(clip, NAMES, store)):
        np.testing.assert_allclose(reward.examples([example]).features, features, atol=1e-5)
        np.testing.assert_allclose(reward.encode([form(file)], [1]).features, features, atol=1e-5)
    other = dspy.Example(image=Image.new("RGB", (8, 8)), caption="cat")
    gallery = RetrievalReward(clip, NAMES, store=store).examples([example, other])
    assert np.abs(gallery.features - features).max(axis=1).min() < 1e-5


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (dspy.Image(url="https://example.org/cat.png"), "is a web address; load it first"),
        ("gone.png", "cannot read the image gone.png"),
        (b"text", "not an image"),
        (3, "cannot take an image from int"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str, clip: Clip) -> None:
    with pytest.raises(InputError, match=message):
        TemplateClassifier(clip, NAMES)(image=image)


def test_state_goes_through_json_and_back(clip: Clip, file: Path, tmp_path: Path) -> None:
    program = TemplateClassifier(clip, NAMES, ODD)
    fitted(program, 2.5)
    saved = tmp_path / "program.json"
    program.save(str(saved))
    state = json.loads(saved.read_text(encoding="utf-8"))
    assert (state["format"], state["template"], state["labels"]) == (3, ODD, list(NAMES))
    again = TemplateClassifier(clip, NAMES)
    again.load(str(saved))
    assert (again.template, again.temperature) == (ODD, 2.5)
    assert again(image=file).scores == program(image=file).scores
    assert TemplateClassifier.from_file(saved, clip)(image=file).scores == program(image=file).scores
    again.set_template("a sketch of a <CLASS>.")
    assert again.temperature == 1.0


def test_from_file_loads_the_clip_that_the_program_names(clip: Clip, file: Path, tmp_path: Path) -> None:
    TemplateClassifier(clip, NAMES, ODD).save(str(tmp_path / "program.json"))
    program = TemplateClassifier.from_file(tmp_path / "program.json")
    assert program.clip is not clip
    assert program(image=file).label == TemplateClassifier(clip, NAMES, ODD)(image=file).label


def test_a_program_of_another_clip_is_refused(clip: Clip, tmp_path: Path) -> None:
    saved = tmp_path / "program.json"
    TemplateClassifier(clip, NAMES, ODD).save(str(saved))
    program = TemplateClassifier(other_clip(clip), NAMES)
    with pytest.raises(InputError, match="optimised for the CLIP embedded and the loaded CLIP is another"):
        program.load(str(saved))
    assert program.template == "a photo of a <CLASS>."


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            ("cat", "dog", "moon"),
            r"other classes \(cat, dog, ice_cream\) than those of the classifier \(cat, ",
        ),
        (("cat", "dog"), r"of the classifier \(cat, dog\); load it into one of the same classes in the same order"),
        (("dog", "cat", "ice_cream"), "the same classes in the same order, or optimise again"),
    ],
)
def test_a_program_of_other_classes_is_refused(
    classes: tuple[str, ...], message: str, clip: Clip, tmp_path: Path
) -> None:
    TemplateClassifier(clip, NAMES, ODD).save(str(tmp_path / "program.json"))
    program = TemplateClassifier(clip, classes)
    with pytest.raises(InputError, match=message):
        program.load(str(tmp_path / "program.json"))
    assert (program.template, program.class_names) == ("a photo of a <CLASS>.", classes)


def test_a_run_directory_is_a_program_too(clip: Clip, tmp_path: Path) -> None:
    TemplateClassifier(clip, NAMES, ODD).save(str(tmp_path / "program.json"))
    assert TemplateClassifier.from_file(tmp_path, clip).template == ODD
    (tmp_path / "program.json").unlink()
    with pytest.raises(InputError, match=r"has no program\.json; name a finished run, or a saved program"):
        TemplateClassifier.from_file(str(tmp_path), clip)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": {}}, "clip.name: field required"),
        ({"template": "none"}, "no <CLASS> slot"),
        ({"labels": ["kitty"]}, "there are 1 classes and 3 names; give one for each"),
        ({"class_names": [["cat", "dog"], "dog", "x"]}, "'dog' reads as another does"),
        ({"class_names": [[], "dog", "x"]}, r"the class name \[\] is no text"),
        ({"class_names": [["cat", 3], "dog", "x"]}, "the class name 3 is no text"),
        ({"images": {"rows": 3, "bias": "AAAA", "temperature": 1}}, "images.rows: "),
        ({"format": 2}, "the given state was written by another version of ipo"),
        ({"temperature": -1}, "temperature: input should be"),
    ],
)
def test_a_state_that_cannot_be_used_is_refused_and_nothing_of_it_is_taken(
    change: dict[str, Any], message: str, clip: Clip
) -> None:
    state = TemplateClassifier(clip, NAMES, "a sketch of a <CLASS>.").dump_state() | {"temperature": 2.0} | change
    program = TemplateClassifier(clip, NAMES)
    before = program.dump_state()
    with pytest.raises(InputError, match=message):
        program.load_state(state)
    assert program.dump_state() == before


def test_a_state_decides_on_synonyms(clip: Clip) -> None:
    several = (ClassName("cat", ["kitty"]), *NAMES[1:])
    plain, synonymous = TemplateClassifier(clip, NAMES), TemplateClassifier(clip, several)
    taken = TemplateClassifier(clip, NAMES)
    taken.load_state(synonymous.dump_state())
    assert taken.dump_state() == synonymous.dump_state()
    synonymous.load_state(plain.dump_state())
    assert synonymous.dump_state() == plain.dump_state()


class Explain(dspy.Module):  # type: ignore[misc]
    """A larger program; the classifiers are an attribute and in a list."""

    def __init__(self, *classifiers: TemplateClassifier) -> None:
        super().__init__()
        self.first, *others = classifiers
        self.others = others
        self.answer = dspy.Predict("label -> answer")


def test_a_larger_program_saves_and_loads_its_classifiers(clip: Clip, tmp_path: Path) -> None:
    optimised = TemplateClassifier(clip, NAMES, "a sketch of a <CLASS>.")
    optimised._compiled = True  # as `IPO.compile` leaves it
    program = Explain(optimised, TemplateClassifier(clip, ["x", "y"], "a dark <CLASS>."))
    assert [name for name, _ in program.named_parameters()] == ["first", "others[0]", "answer"]
    program.save(str(tmp_path / "program.json"))
    again = Explain(TemplateClassifier(clip, NAMES), TemplateClassifier(clip, ["x", "y"]))
    again.load(str(tmp_path / "program.json"))
    assert again.first.template == "a sketch of a <CLASS>."
    assert again.others[0].template == "a dark <CLASS>."


def test_the_classifier_takes_part_in_what_dspy_does_with_parameters(clip: Clip) -> None:
    program = Explain(TemplateClassifier(clip, NAMES, ODD))
    assert program.reset_copy().first.template == ODD
    assert program.get_lm() is None
    lm = dspy.LM("openai/none")
    program.set_lm(lm)
    assert program.get_lm() is lm


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no run or file"),
        ("", "the program .* is not JSON .*; name a run or its program.json"),
        ('{"templates": []}', "not a saved program"),
        ('{"classify": {"template": "a <CLASS>"}}', "build the module and call its load"),
    ],
)
def test_what_is_no_program_is_refused(content: str | None, message: str, clip: Clip, tmp_path: Path) -> None:
    saved = tmp_path / "program.json"
    if content is not None:
        saved.write_text(content)
    with pytest.raises(InputError, match=message):
        TemplateClassifier.from_file(saved, clip)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "there are no class names"),
        ("cat", "the class names are a list of texts, such as .*, not 'cat'"),
        (["cat", " _ "], "the class 1 .counted from 0. has an empty name"),
        ([ClassName("cat", ["dog"]), "dog"], "'dog' reads as another does: it stands for 'dog' and for 'cat'"),
    ],
)
def test_unusable_classes_are_refused(names: Any, message: str, clip: Clip) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TemplateClassifier(clip, names)
    assert "\n" not in str(caught.value)


def test_equal_labels_are_summed_before_the_most_probable_is_taken(clip: Clip) -> None:
    program = TemplateClassifier(clip, ["crane bird", "cat", "crane machine"], labels=["crane", "cat", "crane"])
    answers = program.answers(np.array([0.25, 0.4, 0.35], dtype=np.float32))
    assert [(one.label, one.name) for one in answers] == [("crane", "crane machine"), ("cat", "cat")]
    assert [one.probability for one in answers] == pytest.approx([0.6, 0.4])
    for item in load_data("embedded", seed=0).test[:40]:
        answer = program(image=item.image)
        assert answer.label == max(answer.scores, key=answer.scores.__getitem__)
        assert answer.name in program.class_names and answer.name.startswith(answer.label)


def test_two_classes_may_share_a_name_and_a_score(clip: Clip) -> None:
    image = Image.new("RGB", (64, 64), "red")
    shared = TemplateClassifier(clip, ["sunglasses", "cat", "sunglasses"])(image=image)  # as in CLIP's ImageNet
    assert sum(shared.scores.values()) == pytest.approx(1)
    once = TemplateClassifier(clip, ["sunglasses", "cat"])(image=image)
    assert shared.scores["sunglasses"] > once.scores["sunglasses"]


def fitted(program: TemplateClassifier, temperature: float) -> None:
    program.state = program.state.model_copy(update={"temperature": temperature})


def test_renamed_classes_keep_their_labels_and_template_and_lose_what_was_fitted(
    clip: Clip, file: Path, tmp_path: Path
) -> None:
    program = TemplateClassifier(clip, NAMES, ODD)
    fitted(program, 2.0)
    program.rename(["kitten", "puppy", "sundae"])
    assert (program.labels, program.class_names) == (NAMES, ("kitten", "puppy", "sundae"))
    assert (program.template, program.temperature) == (ODD, 1.0)
    answer = program(image=file)
    assert answer.label in NAMES and set(answer.scores) == set(NAMES)
    alone = TemplateClassifier(clip, ["kitten", "puppy", "sundae"], ODD)
    assert (program.class_embeddings() == alone.class_embeddings()).all()
    program.save(str(tmp_path / "program.json"))
    again = TemplateClassifier.from_file(tmp_path / "program.json", clip)
    assert (again.labels, again.class_names) == (program.labels, program.class_names)
    again.set_template("a <CLASS>.")
    assert (again.labels, again.class_names) == (NAMES, program.class_names)
    assign(again, "no template at all")
    assert again.template == "no template at all" and again.labels == NAMES
    again.set_template("a <CLASS>.")
    again.rename(NAMES)
    assert again.class_names == again.labels == NAMES
    with pytest.raises(InputError, match="there are 3 classes and 2 names"):
        again.rename(["one", "two"])


def test_a_saved_program_goes_into_one_that_answers_with_the_same_labels(clip: Clip) -> None:
    program = TemplateClassifier(clip, NAMES)
    program.rename(["kitten", "puppy", "sundae"])
    into = TemplateClassifier(clip, NAMES)
    into.load_state(program.dump_state())
    assert into.class_names == program.class_names
    with pytest.raises(InputError, match="was saved with other classes"):
        TemplateClassifier(clip, program.class_names).load_state(program.dump_state())


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a thread of its own: in this one a loop may be running, that of the tests in a browser."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, coroutine).result()


def test_it_can_be_awaited(
    clip: Clip, file: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("WARNING", "dspy")  # the command line, which other tests call, silences DSPy's own messages
    program = TemplateClassifier(clip, NAMES)
    called = program(image=file)

    async def awaited() -> list[Any]:
        return await asyncio.gather(*(program.acall(image=file) for _ in range(3)))

    for answer in run(awaited()):
        assert (answer.label, answer.scores) == (called.label, called.scores)
    assert capfd.readouterr().err == ""


def test_copies_share_the_clip_and_not_the_template(clip: Clip, file: Path) -> None:
    program = TemplateClassifier(clip, NAMES)
    for twin in (program.deepcopy(), copy.deepcopy(program)):
        assert twin.clip is clip
        twin.set_template("a weird <CLASS>")
        assert program.template == "a photo of a <CLASS>."
        assert twin(image=file).scores != program(image=file).scores


def test_a_program_is_saved_and_not_pickled(clip: Clip, tmp_path: Path) -> None:
    program = TemplateClassifier(clip, NAMES)
    said = r"a CLIP cannot be pickled, nor can a program that holds one; save a program with program.save\("
    with pytest.raises(InputError, match=f"^{said}"):
        pickle.dumps(program)
    with pytest.raises(RuntimeError, match=said):
        program.save(str(tmp_path / "whole"), save_program=True)


def test_dspy_evaluate_gives_the_rewards_accuracy(clip: Clip, tmp_path: Path) -> None:
    data = load_data("embedded", seed=0)
    items = data.test[:40]
    reward = ClipReward(clip, data.class_names, FeatureStore(clip, tmp_path))
    images = reward.encode([item.image for item in items], [item.label for item in items])
    devset = [dspy.Example(image=item.image, label=data.class_names[item.label]).with_inputs("image") for item in items]
    program = TemplateClassifier(clip, data.class_names)
    evaluate = dspy.Evaluate(devset=devset, metric=clip_accuracy, num_threads=2, display_progress=False)
    expected = reward.score([program.template], images)[0]
    assert evaluate(program).score == pytest.approx(100 * expected.value, abs=0.01)
    probabilities = program.probabilities([item.image for item in items])
    assert probabilities.argmax(1).tolist() == expected.predictions.tolist()
    np.testing.assert_allclose(
        -np.log(probabilities[np.arange(len(items)), images.labels]), expected.losses, rtol=1e-3, atol=1e-4
    )


def evaluated(program: TemplateClassifier, threads: int, count: int = 40) -> Any:
    data = load_data("embedded", seed=0)
    devset = [dspy.Example(image=i.image, label=data.class_names[i.label], group=i.group) for i in data.test[:count]]
    devset = [example.with_inputs("image", "group") for example in devset]  # more than it needs, as `Predict` takes it
    return dspy.Evaluate(devset=devset, metric=clip_accuracy, num_threads=threads)(program)


def test_threads_batches_and_copies_answer_alike_and_encode_each_image_once(clip: Clip) -> None:
    data = load_data("embedded", seed=0)
    program = TemplateClassifier(clip, data.class_names)
    one = evaluated(program, 1)
    spent = clip.seconds["image"]
    assert [answer.scores for _, answer, _ in evaluated(program, 8).results] == [a.scores for _, a, _ in one.results]
    examples = [dspy.Example(image=item.image).with_inputs("image") for item in data.test[:5]]
    batch = program.batch(examples, num_threads=2, disable_progress_bar=True)
    assert [answer.label for answer in batch] == [answer.label for _, answer, _ in one.results[:5]]
    other = program.deepcopy()
    other.signature = other.signature.with_instructions("a dark <CLASS>.")
    assert evaluated(other, 8).score != one.score
    assert clip.seconds["image"] == spent


@pytest.mark.parametrize("form", [str, LazyImage.from_path, as_dspy_image])
def test_a_image_is_encoded_once(form: Callable[[Path], Any], clip: Clip, file: Path) -> None:
    program, given = TemplateClassifier(clip, NAMES), form(file)
    program(given)
    spent = clip.seconds["image"]
    program.set_template("a dark <CLASS>.")
    program(image=given)
    assert clip.seconds["image"] == spent


def test_a_file_that_was_just_written_is_read_again(clip: Clip, tmp_path: Path) -> None:
    program = TemplateClassifier(clip, NAMES)
    scores = []
    for colour in ("red", "blue"):
        Image.new("RGB", (48, 48), colour).save(tmp_path / "drawn.png")
        scores.append(program(image=tmp_path / "drawn.png").scores)
    assert scores[0] != scores[1]


# --- the template as instructions


def assign(program: TemplateClassifier, instructions: str) -> None:
    program.signature = program.signature.with_instructions(instructions)


def test_the_template_is_the_instructions(clip: Clip, file: Path) -> None:
    program = TemplateClassifier(clip, NAMES)
    assert [name for name, _ in program.named_predictors()] == ["self"]
    assert (list(program.signature.input_fields), list(program.signature.output_fields)) == (["image"], ["label"])
    assert program.signature.instructions == "a photo of a <CLASS>."
    assign(program, 'Find the class.\n1. **A dark [class name].**\n2. "a blurry <CLASS>"\nThen say why.')
    assert program.template == "a blurry <CLASS>"
    assert program(file).scores == TemplateClassifier(clip, NAMES, "a blurry <CLASS>")(file).scores


def test_an_equal_signature_keeps_all_that_was_fitted(clip: Clip) -> None:
    program = TemplateClassifier(clip, NAMES, ODD)
    fitted(program, 2.0)
    before = program.state
    for same in (program.template, f" '{program.template}'\n"):
        assign(program, same)
        assert program.state is before
    assign(program, "a dark <CLASS>.")
    assert (program.template, program.temperature) == ("a dark <CLASS>.", 1.0)


def test_an_unusable_template_is_answered_and_never_raised(clip: Clip, file: Path) -> None:
    program = TemplateClassifier(clip, NAMES, ODD)
    assign(program, "Name what you see.")
    with dspy.context(trace=[]):
        answer = program(image=file)
        seen = dspy.settings.trace
    problem = "the template cannot be used: it has no <CLASS> slot"
    assert answer.toDict() == {"label": None, "scores": {}, "problem": problem}
    assert [(inputs, outputs.toDict()) for _, inputs, outputs in seen] == [
        ({"image": "<image>"}, {"label": None, "problem": problem})
    ]
    assert program.signature.instructions == "Name what you see."
    assert "TemplateClassifier('Name what you see.'" in repr(program)
    result = evaluated(program, 8)
    assert (result.score, len(result.results)) == (0.0, 40)  # and `Evaluate` ends after ten errors
    for use in (program.class_embeddings, program.dump_state):
        with pytest.raises(InputError, match="assign other instructions, or call set_template"):
            use()
    assign(program, "a dark <CLASS>.")
    assert program(image=file).label in NAMES


def test_the_trace_holds_no_image_and_no_scores(clip: Clip, file: Path) -> None:
    program = TemplateClassifier(clip, NAMES)
    with dspy.context(trace=[], max_trace_size=2):
        labels = [program(image=file).label for _ in range(3)]
        run(program.acall(file))
        assert [(one is program, inputs, outputs.toDict()) for one, inputs, outputs in dspy.settings.trace] == [
            (True, {"image": "<image>"}, {"label": labels[0]})
        ] * 2


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (Image.new("F", (8, 8), 0.5), "the image given as a PIL image has decimal numbers for pixels"),
        (np.zeros((8, 8, 3)), "an array of uint8"),
        (np.zeros((3, 8, 8), np.uint8), "an array of uint8"),
        (np.zeros((0, 8, 3), np.uint8), "given as an array is not a readable image"),
    ],
)
def test_a_image_whose_white_or_shape_is_not_known_is_refused(image: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        to_image(image)


# --- calibration


def encoded(clip: Clip, part: str, domain: str, folder: Path) -> EncodedImages:
    data = load_data(f"embedded:{domain}", seed=0)
    items = data.part(part)[:272]  # type: ignore[arg-type]
    reward = ClipReward(clip, data.class_names, FeatureStore(clip, folder))
    return reward.encode([item.image for item in items], [item.label for item in items])


def test_calibration_makes_an_overconfident_program_less_so(clip: Clip, tmp_path: Path) -> None:
    program = TemplateClassifier(clip, load_data("embedded:d", seed=0).class_names)  # whose images it hardly knows
    seen, unseen = encoded(clip, "train", "d", tmp_path), encoded(clip, "test", "d", tmp_path)
    logits = logits_of(clip, unseen.features, program.class_embeddings())
    before = cross_entropies(logits, unseen.labels).mean()
    temperature = program.calibrate(seen)
    assert temperature == program.temperature > 2
    assert cross_entropies(logits, unseen.labels, temperature).mean() < before - 1
    sure, right = softmax(logits, temperature).max(axis=1), logits.argmax(axis=1) == unseen.labels
    assert sure.mean() == pytest.approx(right.mean(), abs=0.05)
    image = load_data("embedded:d", seed=0).test[0].image
    scores = np.array(list(program(image=image).scores.values()))
    fitted(program, 1.0)
    plain = np.array(list(program(image=image).scores.values()))
    assert scores.argmax() == plain.argmax()
    assert scores.max() < plain.max()


def test_images_that_chose_the_words_flatter_them_and_fewer_hits_make_them_less_sure(
    clip: Clip, tmp_path: Path
) -> None:
    images = encoded(clip, "train", "d", tmp_path)
    program = TemplateClassifier(clip, load_data("embedded:d", seed=0).class_names)
    own = program.calibrate(images)
    assert program.calibrate(images, 0.1 * len(images)) > own
    sure = program.head().probabilities(images.features).max(axis=1)
    assert sure.mean() == pytest.approx(0.1, abs=1e-3)


def test_more_texts_than_anyone_needs_are_refused_before_the_clip_is_loaded(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.classifier.load_clip", lambda *_: pytest.fail("it was loaded"))
    state = TemplateClassifier(clip, NAMES).dump_state()
    file = tmp_path / "program.json"
    plain = [f"name {i}" for i in range(200_000)]
    for classes, names in ((plain, "200,000"), ([plain[:150_001]], "150,001")):
        file.write_text(json.dumps(state | {"class_names": classes}))
        with pytest.raises(InputError, match=f"{names} texts to encode"):
            TemplateClassifier.from_file(file)
