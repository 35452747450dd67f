"""`ipo optimize` against a real HTTP server that answers well, badly, late or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.openai_server import OpenAIServer, Reply, error, good, listed
from support.runs import KEY, Ended, answered, check_whole, events, ipo, rejected, scored

Run = Callable[..., Ended]


def test_a_good_server_is_asked_once_a_step_with_the_key_and_the_history(
    run: Run, server: OpenAIServer, out: Path
) -> None:
    assert run().code == 0
    found = check_whole(out)
    assert found["steps"] == 2
    assert found["lm"]["optimizer"] == {
        "name": "openai/test-model",
        "calls": 2,
        "tokens_in": sum(one.tokens_in for one in answered(out)),
        "tokens_out": sum(one.tokens_out for one in answered(out)),
        "usd": None,
    }
    first, second = server.asked
    assert first.path == "/v1/chat/completions"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert "a photo of a <CLASS>." in first.text
    assert all(template in second.text for template in scored(out)[:4])


def test_a_self_hosted_server_needs_no_key(
    run: Run, server: OpenAIServer, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert run(lm="hosted_vllm/x").code == 0
    assert check_whole(out)["lm"]["optimizer"]["name"] == "hosted_vllm/x"
    assert server.asked[0].body["model"] == "x"


def test_a_wrong_key_is_one_sentence(run: Run, server: OpenAIServer) -> None:
    server.behave = lambda asked: error(401, "Incorrect API key provided.")
    ended = run()
    assert ended.code == 1
    assert "Incorrect API key provided." in ended.sentence
    assert "To fix" not in ended.sentence, "advice for programmers"
    assert len(server.asked) == 1, "a refused key is not tried again"


def test_lasting_server_errors_end_a_run_that_can_be_resumed(
    run: Run, resume: Callable[[], Ended], server: OpenAIServer, out: Path, quick: list[float]
) -> None:
    server.script.append(good)
    server.behave = lambda asked: error(500, "broken")
    ended = run()
    assert ended.code == 1
    assert "broken" in ended.sentence
    assert "--resume" in ended.sentence
    assert not (out / "result.json").exists()
    asked = len(server.asked)
    server.behave = good
    assert resume().code == 0
    assert check_whole(out)["lm"]["optimizer"]["calls"] == 2
    assert len(server.asked) == asked + 1, "the first step's reply was in the journal"


def test_a_cut_off_answer_loses_only_its_last_template(run: Run, server: OpenAIServer, out: Path) -> None:
    cut = '[[ ## templates ## ]]\n["a drawing of a <CLASS>.", "a print of a <CLASS>.", "a pale pho <CLASS'
    server.script.append(Reply(cut, finish="length"))
    assert run().code == 0
    assert check_whole(out)["steps"] == 2
    assert {"a drawing of a <CLASS>.", "a print of a <CLASS>."} <= set(scored(out))
    assert not any("pale pho" in template for template in scored(out)[1:4])
    assert server.asked[1].count == 1, "only the lost one is asked for again"


USELESS = {
    "garbage": "\x00\x01}{][ ]]## ,,, \ufffd",
    "prose": "Certainly! I would think about the lighting first, and then about the style. Let me know.",
    "nothing": "",
    "a number": "[[ ## templates ## ]]\n42",
    "other json": '{"prompts": {"a": 1}}',
}


def test_one_useless_answer_costs_one_question(run: Run, server: OpenAIServer, out: Path) -> None:
    for content in USELESS.values():
        server.script.extend([Reply(content), good])
    assert run(f"steps={len(USELESS) + 1}").code == 0
    assert check_whole(out)["steps"] == len(USELESS) + 1
    assert dict(zip(USELESS, new_in_each_step(out), strict=False)) == dict.fromkeys(USELESS, 3)
    assert ["JSON object" in asked.text for asked in server.asked] == [*[False, True] * len(USELESS), False]


def test_a_search_without_a_useful_reply_says_so_below_its_table(
    run: Run, server: OpenAIServer, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = "no template of openai/test-model could be used"
    words = ("strategy=compose", "strategy.scored_templates=4")
    server.behave = lambda asked: Reply("qwx zzt 17" if "templates" in asked.text else good(asked).content)
    ended = run(*words)
    assert ended.code == 0 and f"\n  {line}\n" in ended.out
    assert line in ipo(capfd, "report", str(out)).out + (out / "report.html").read_text("utf-8")
    server.behave = good
    ended = run(*words, f"--out={out}-good")
    assert ended.code == 0 and line not in ended.out


def new_in_each_step(folder: Path) -> list[int]:
    """Return how many templates each step scored, without the initial one."""
    return [len(event["scores"]) for event in events(folder, "scores") if event["kind"] == "train"][1:]


BAD = {
    "no slot": ("a photo of a thing.", "it has no <CLASS> slot"),
    "markup": ("<b>a photo</b> of a <CLASS>.", "it has markup"),
    "control token": ("a photo <end_of_text> of a <CLASS>.", "it has markup"),
    "field of the question": ("[[ ## completed ## ]] a <CLASS>", "it has markup"),
    "formula": (r"a $\frac{1}{2}$ photo of a <CLASS>.", "it has markup"),
    "address": ("a <CLASS> from https://example.org", "it has markup"),
    "5,000 characters": ("a <CLASS> " + "very " * 998, "characters, more than"),
    "too many tokens": ("a <CLASS> " + "zq " * 90, "tokens, more than"),
    "control characters": ("a photo\x07 of a \x1b[31m<CLASS>.", "control or invisible character"),
    "bidirectional override": ("a photo of \u202ea <CLASS>.", "control or invisible character"),
    "known": ("A  photo of a <CLASS>!", "it is already known"),
}


def test_unusable_templates_are_refused_told_and_never_scored(run: Run, server: OpenAIServer, out: Path) -> None:
    fine = []
    for number, (template, _) in enumerate(BAD.values()):
        fine += [f"drawing {number} of a <CLASS>.", f"print {number} of a <CLASS>."]
        answer = [fine[-2], template, fine[-1]]
        server.script.append(lambda asked, answer=answer: Reply(listed(asked, answer)))  # type: ignore[misc]
        server.script.append(good)
    ended = run(f"steps={len(BAD)}")
    assert ended.code == 0
    check_whole(out)
    assert set(fine) <= set(scored(out))
    assert len(scored(out)) == 1 + 3 * len(BAD), "what was refused was asked for again"
    for asked, (template, reason), refused in zip(server.asked[1::2], BAD.values(), rejected(out), strict=True):
        assert asked.count == 1
        assert reason in refused["reason"]
        assert reason.replace("<CLASS> slot", "slot for the class name") in asked.text, (
            "the language model is told why, once"
        )
        assert template not in scored(out)
    for text in (ended.out, ended.err, (out / "program.json").read_text()):
        assert "\x1b" not in text
        assert "\x07" not in text
