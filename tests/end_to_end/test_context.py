"""A job like the paper's main table on SUN397; the server refuses what its model cannot take, as OpenAI does."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.programs.strategies.window import window_of
from support.openai_server import Asked, OpenAIServer, Reply, good, running
from support.runs import KEY, Ended, events, ipo

TAKES = 16_385
"""Tokens that gpt-3.5-turbo takes, prompt and reply together."""
BASE = 199
"""Base classes of SUN397."""
SEARCHES = ("no-history", "ipo-paper", "ipo-code", "ipo-default")
PUBLISHED = ("ipo-paper", "ipo-code")
"""They ask for details, the others for two sentences, of which at most 400 characters count."""
PLACES = ("abbey", "bakery", "canyon", "dam", "harbor", "hotel", "lake", "market", "palace", "tower")
LOOKS = ("old", "new", "wide", "low", "tall", "quiet", "busy", "green", "dusty", "wet")
WHERE = ("inland", "uptown", "downtown", "coastal")
WORDS = (
    "a",
    "red",
    "stone wall",
    "stands",
    "in the evening",
    "light",
    "near",
    "some people",
    "and",
    "trees",
    "of a town",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """398 made-up classes of four tiny pictures."""
    folder, rng = tmp_path_factory.mktemp("places"), np.random.default_rng(0)
    for parts in islice(product(PLACES, LOOKS, WHERE), 2 * BASE):
        inside = folder / "_".join(parts)
        inside.mkdir()
        for number in range(4):
            Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(inside / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with running() as server:
        yield server


def tokens(asked: Asked) -> int:
    """Count as OpenAI does: the texts, what stands around them, and the room for the reply."""
    window = window_of(f"openai/{asked.body['model']}")
    assert window is not None
    reply = asked.body.get("max_tokens") or asked.body["max_completion_tokens"]
    return window.count(asked.text) + 4 * len(asked.body["messages"]) + 3 + int(reply)


def described(asked: Asked) -> str:
    """Write 800 characters that follow from the picture."""
    rng = random.Random(hashlib.sha256("".join(asked.pictures).encode()).digest())
    sentences = (" ".join(rng.choices(WORDS, k=rng.randint(8, 20))).capitalize() + "." for _ in range(20))
    return " ".join(sentences)[:800]


def strict(asked: Asked) -> Reply:
    if asked.pictures:
        return Reply(f"[[ ## description ## ]]\n{described(asked)}\n\n[[ ## completed ## ]]")
    if tokens(asked) <= TAKES:
        return good(asked)
    message = f"This model's maximum context length is {TAKES} tokens. However, you requested {tokens(asked)} tokens."
    code = "context_length_exceeded"
    body = {"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": code}}
    return Reply(status=400, body=json.dumps(body))


@pytest.fixture()
def benchmark(
    pictures: Path,
    server: OpenAIServer,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Callable[..., Ended]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.fresh().behave = strict
    grid = tmp_path / "grid.yaml"
    grid.write_text("title: As in the main table\nprotocol: base-to-new\nsettings: {clip: embedded, shots: 1}\n")
    return lambda *more: ipo(
        capfd,
        *("benchmark", str(grid), f"--out={tmp_path / 'cells'}", f"data=folder:{pictures}", "seeds=1"),
        *("lm=openai/gpt-3.5-turbo", f"lm_api_base={server.base}", "describer=openai/vision-model"),
        *(f"describer_api_base={server.base}", "described_pictures=500", "selection_shots=1"),
        *("steps=2", "candidates_per_step=3", f"methods=baseline,{','.join(SEARCHES)}", *more),
    )


def test_every_row_of_the_main_table_ends_within_what_the_model_takes(
    benchmark: Callable[..., Ended], server: OpenAIServer, tmp_path: Path
) -> None:
    ended = benchmark()
    assert ended.code == 0, ended.err
    questions = [asked for asked in server.asked if not asked.pictures]
    assert all(asked.delivered for asked in server.asked)
    assert TAKES / 2 < max(map(tokens, questions)) <= TAKES, "the room is used"
    table = json.loads((tmp_path / "cells" / "table.json").read_text())
    assert {row["method"] for row in table["rows"] if row["scores"]["H"]} == {"baseline", *SEARCHES}
    note = next(note for note in table["notes"] if "did not fit" in note)
    for method in SEARCHES:
        run = next((tmp_path / "cells").rglob(f"{method}/seed-0/run"))
        (shortened,) = events(run, "shortened")
        assert shortened["shown"] == shortened["of"] == BASE
        assert 40 <= shortened["tokens"] < 100
        assert f"{method} on " in note and f"cut to {shortened['tokens']} tokens each" in note
        (told,) = events(run, "descriptions")
        assert min(map(len, told["descriptions"])) > (780 if method in PUBLISHED else 380), "they are kept whole"
        asked = [event["request"] for event in events(run, "lm") if event["role"] == "optimizer"]
        shown = {_descriptions(one) for one in asked if "[[ ## kinds ## ]]" not in json.dumps(one)}
        assert len(shown) == 1, "every step sees the same"


def _descriptions(request: object) -> str:
    return json.dumps(request).split("[[ ## image_descriptions ## ]]\\n")[-1].split("[[ ## scored_templates ## ]]")[0]


def test_a_dry_run_says_what_would_be_cut_and_bounds_the_price(
    benchmark: Callable[..., Ended], server: OpenAIServer
) -> None:
    ended = benchmark("--dry-run", "--json")
    assert ended.code == 0 and server.asked == []
    found = json.loads(ended.out)
    assert any("ipo-paper on " in line and "takes 16,385 tokens" in line for line in found["context"])
    calls = found["rows"]["ipo-paper"]["calls"] - BASE
    assert found["rows"]["ipo-paper"]["tokens"] - BASE * 9_500 < calls * TAKES + BASE * 500
    assert "cut to " in benchmark("--dry-run", "--verbose").out


def test_what_cannot_end_is_refused_before_anything_is_paid(
    benchmark: Callable[..., Ended], server: OpenAIServer, tmp_path: Path
) -> None:
    for words in (["--dry-run"], []):
        ended = benchmark("lm=openai/my-model", "lm_context=1500", *words)
        assert ended.code == 2
        assert "takes 1,500 tokens" in ended.sentence and "--lm" in ended.sentence
        assert server.asked == [] and not (tmp_path / "cells").exists()
    assert "lm_context=8192" in benchmark("lm=openai/my-model", "--dry-run", "--verbose").out
