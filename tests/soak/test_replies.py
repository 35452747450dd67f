"""Replies made to break whoever reads them, through the real strategies, bench, scoring and a second question."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import dspy
import hypothesis
import hypothesis.strategies as st
import pytest
from soak.oracle import Oracle

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.programs.search import search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies.writer import Writer
from support import soak

SECONDS = 60
"""Far more than a search over five replies takes."""
WORDS = ("a", "an", "the", "of", "photo", "sketch", "drawing", "blurry", "dark", "in", "on", "white", "table", "old")
SLOTS = ("<CLASS>", "<CLASS>", "<CLASS>", "<class>", "[CLASS]", "{class name}", "<<CLASS>>", "<CLASS", "CLASS>", "")
ODD = (
    *"\u200b\u202e\ufeff\u00ad\u034f\u115f\u3164\u2800\ufe0f\U000e0001\U000e0100\u2028\u0085\0\x1b\x7f\t\n\r",
    *("\ud83d", "\ude00", "\ud83d\ude00", "\U0001f600", "é", "e\u0301", "ﬁ", "İ", "ß", "猫", "\ufffd"),
    *("\ue000", "\uffff", "&amp;lt;", "https://x.y", "<b>", "{0}"),
    *("<", ">", "&lt;", "&ltend_of_text&gt", "<end_of_text>", "＜end_of_text＞", "＆ltend_of_text＆gt", "＜", "＞"),
    *('"', "'", "`", "```json", "**", "__", "\\", "\\u0000", "%s", "{}", "1. ", "[[ ## completed ## ]]", "x" * 99),
)  # fmt: skip

odd_pieces = st.one_of(st.sampled_from(ODD), st.sampled_from(ODD), st.text(max_size=3))


@st.composite
def sentences(draw: st.DrawFn, names: tuple[str, ...] = ("cat", "bus")) -> str:
    """Templates, and sentences that are nearly templates."""
    parts = draw(st.lists(st.sampled_from(WORDS), max_size=8, unique=True))
    odd = draw(st.lists(st.one_of(odd_pieces, odd_pieces, st.sampled_from(names)), max_size=2))
    slots = [draw(st.sampled_from(SLOTS)) for _ in range(draw(st.sampled_from((1, 1, 1, 1, 0, 2))))]
    for one in (*odd, *slots):
        parts.insert(draw(st.integers(0, len(parts))), one)
    return draw(st.sampled_from((" ", " ", " ", " ", ""))).join(parts)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), sentences()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=6,
)


@st.composite
def replies(draw: st.DrawFn) -> str:
    """What a model answers: fields, JSON or prose; whole, cut, damaged, or none of these."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.one_of(st.text(max_size=200), sentences(), st.sampled_from(("[" * 5_000, '"' * 5_000, "{" * 9))))
    items: Any = draw(st.lists(sentences(), max_size=5)) if kind < 8 else draw(json_values)
    text = json.dumps(items, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        text = f"[[ ## templates ## ]]\n{text}\n\n[[ ## completed ## ]]"
    else:
        text = f'{{"templates": {text}}}'
    for harm in draw(st.lists(st.sampled_from(("cut", "comma", "insert", "fence", "twice", "before")), max_size=2)):
        place = draw(st.integers(0, len(text)))
        text = {
            "cut": text[:place],
            "comma": text.replace("]", ",]"),
            "insert": text[:place] + draw(odd_pieces) + text[place:],
            "fence": f"```json\n{text}\n```",
            "twice": text + text,
            "before": f"Sure! {text}",
        }[harm]
    return text


@pytest.fixture(scope="module")
def reward(clip: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipReward, Any]:
    data = draw(load_data("embedded", seed=0), shots=1, val_shots=0, seed=0)
    names = (*data.class_names,)
    found = ClipReward(clip, names, FeatureStore(clip, tmp_path_factory.mktemp("store")))
    return found, found.examples(data.examples("train"))


@pytest.mark.parametrize("kind", ["history", "one by one", "small model"])
def test_no_reply_stops_a_search_and_no_invalid_template_is_scored(
    reward: Any,
    clip: Any,
    scripted: Callable[..., tuple[Any, Any]],
    record_property: Any,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    caplog.set_level("CRITICAL")  # each refusal is logged
    scorer, units = reward
    oracle = Oracle(scorer.class_names, clip.count, clip.context_length)
    settings = SearchSettings(steps=2, candidates_per_step=2)
    small = kind == "small model"
    answers = st.one_of(sentences(tuple(scorer.class_names[:5])), sentences(), replies()) if small else replies()
    counts = {"tried": 0, "scored": 0}

    def ends(texts: list[str]) -> None:
        signal.alarm(SECONDS)
        counts["tried"] += len(texts)
        record_property("tried", counts["tried"])
        lm, engine = scripted(*texts)
        lm.model = "local/scripted" if small else lm.model
        with dspy.context(lm=lm):
            found = search(settings, scorer, Writer(one_by_one=kind == "one by one"), units)
        templates = [entry.template for entry in found.history]
        counts["scored"] += len(templates) - 1
        assert oracle.faults(templates) == []
        for request in engine.requests:  # what is asked next can be sent
            "".join(part.text for message in request.messages for part in message.parts).encode()

    each = 5
    number = max(1, round(soak.count(200, by_hand=10_000) / 3 / each))
    checks = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]
    given = hypothesis.given(st.lists(answers, min_size=each, max_size=each))(ends)
    given = hypothesis.settings(
        max_examples=number,
        deadline=None,
        database=None,
        suppress_health_check=[*checks, hypothesis.HealthCheck.data_too_large],
    )(given)
    hypothesis.seed(soak.SEED)(given)()
    record_property("note", f"{kind}: {counts['scored']:,} scored")
