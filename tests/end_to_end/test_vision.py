"""A multimodal describer over HTTP: the images reach the server, its words reach the optimizer LLM."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ipo_prompts.programs.describe import QUESTIONS
from support.openai_server import Asked, OpenAIServer, Reply, description, error, good
from support.runs import Ended, check_whole, events, result, scored

IMAGES = 3


@pytest.fixture()
def describe(run: Callable[..., Ended], server: OpenAIServer) -> Callable[..., Ended]:
    """Run with a describer that sees three images."""
    return lambda *words: run(
        "--describer=openai/vision-model",
        f"describer_api_base={server.base}",
        f"described_images={IMAGES}",
        *words,
    )


def with_images(server: OpenAIServer) -> list[Asked]:
    return [asked for asked in server.asked if asked.images]


def without_images(server: OpenAIServer) -> list[Asked]:
    return [asked for asked in server.asked if not asked.images]


def pixels(uri: str) -> npt.NDArray[np.uint8]:
    head, data = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_train_images_reach_the_server_and_its_words_the_optimizer(
    describe: Callable[..., Ended], server: OpenAIServer, images: Path, out: Path
) -> None:
    assert describe().code == 0
    asked = with_images(server)
    assert [len(request.images) for request in asked] == [1] * IMAGES
    assert {request.body["model"] for request in asked} == {"vision-model"}

    sources = []
    for path in sorted(images.rglob("*.webp")):
        with Image.open(path) as image:
            enlarged = image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
            assert max(image.size) < 224, "the embedded images are small and must be enlarged"
        sources.append((path.parent.name, np.asarray(enlarged)))
    sent = [pixels(request.images[0]) for request in asked]
    classes = [[name for name, source in sources if np.array_equal(source, seen)] for seen in sent]
    assert all(classes), "each image sent is one of the data set, pixel for pixel"
    assert len({name for (name, *_) in classes}) == IMAGES, "one shot a class: of three different classes"
    assert not any(name in request.text.split("pictures of")[0] for request in asked for (name, *_) in classes)

    for request in without_images(server):
        assert all(description(other) in request.text for other in asked)
    found = check_whole(out)
    assert found["lm"]["describer"]["name"] == "openai/vision-model"
    assert found["lm"]["describer"]["calls"] == IMAGES
    assert found["lm"]["describer"]["tokens_in"] > IMAGES * 800


@pytest.mark.parametrize("name", ["default", "paper", "code"])
def test_the_question_is_that_of_the_preset(
    name: str, describe: Callable[..., Ended], server: OpenAIServer, out: Path
) -> None:
    long = "A detail. " * 100  # 1,000 characters

    def answer(asked: Asked) -> Reply:
        return Reply(f"[[ ## description ## ]]\n{long}\n\n[[ ## completed ## ]]") if asked.images else good(asked)

    server.behave = answer
    ended = describe(f"preset={name}", "steps=1", "candidates_per_step=2")
    assert ended.code == 0
    said = [line for line in ended.err.splitlines() if line.startswith(("preset=", "not as in "))]
    assert len(said) == (0 if name == "default" else 2)
    written = (out / "config.yaml").read_text().splitlines()
    assert [line.removeprefix("# ") for line in written if line.startswith("#")][1:] == said
    words = QUESTIONS[name].signature.instructions.splitlines()[0]
    asked = with_images(server)
    assert len(asked) == IMAGES and all(words in request.text for request in asked)
    assert all(("pictures of" in request.text) == (name == "default") for request in asked), "the task"
    told = without_images(server)[0].text.count("A detail.")
    assert told == IMAGES * (40 if name == "default" else 100), "the published questions ask for details"


def test_a_image_that_fails_is_left_out(describe: Callable[..., Ended], server: OpenAIServer, out: Path) -> None:
    server.script.append(error(400, "this image is not wanted"))
    ended = describe()
    assert ended.code == 0
    refused, *described = with_images(server)
    assert len(described) == IMAGES - 1, "a refusal is not tried again"
    for request in without_images(server):
        assert all(description(other) in request.text for other in described)
        assert description(refused) not in request.text
    assert check_whole(out)["lm"]["describer"]["calls"] == IMAGES - 1
    assert "was not described: " in ended.err
    assert "this image is not wanted" in ended.err


def test_a_image_that_failed_stays_left_out_when_the_run_goes_on(
    describe: Callable[..., Ended], resume: Callable[..., Ended], server: OpenAIServer, out: Path, quick: list[float]
) -> None:
    bad: list[str] = []

    def broken(asked: Asked) -> Reply:
        """Refuse one image, answer the first step, then break down."""
        if asked.images:
            if not bad:
                bad.append(asked.images[0])
            return error(400, "this image is not wanted") if asked.images[0] in bad else good(asked)
        return good(asked) if len(without_images(server)) == 1 else error(500, "broken")

    server.behave = broken
    assert describe("steps=3").code == 1
    before = len(server.asked)
    server.behave = good
    for _ in range(2):
        assert resume().code == 0
    later = server.asked[before:]
    assert not any(asked.images for asked in later)
    assert len(later) == 2, "two steps were left; the first one's reply was recorded"
    assert len(events(out, "descriptions")) == 1
    assert len(scored(out)) == 1 + 3 * 3
    assert result(out)["lm"]["describer"]["calls"] == IMAGES - 1


def test_descriptions_of_a_file_reach_the_optimizer_and_no_image_is_sent(
    run: Callable[..., Ended], resume: Callable[..., Ended], server: OpenAIServer, out: Path, tmp_path: Path
) -> None:
    file = tmp_path / "desc.txt"
    file.write_text("Image_0: two  boats.\n\nImage_1: " + "a long red bus " * 1_000)
    server.script.extend([good, error(401, "not now")])
    assert run(f"describer=file:{file}").code == 1
    assert server.asked and not with_images(server)
    told = events(out, "descriptions")[0]["descriptions"]
    assert told[0] == "Image_0: two boats." and 2_400 < len("\n".join(told)) <= 5_000
    assert all(description in server.asked[0].text for description in told)
    assert resume().code == 0
    assert check_whole(out)["lm"]["describer"] is None and len(events(out, "descriptions")) == 1
