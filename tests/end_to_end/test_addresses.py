"""The address of a language model is typed by whoever runs, and never taken from a run directory."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import ipo_prompts as package
from ipo_prompts.programs.record.resuming import resume_command
from support.openai_server import OpenAIServer, running
from support.runs import Ended, events, ipo, result

Run = Callable[..., Ended]
NEVER = "an address is never taken from a run directory"


@pytest.fixture()
def stopped(run: Run, server: OpenAIServer, out: Path) -> Path:
    """A run that ends before it is done, as a stranger may send one."""
    assert run("budget_tokens=1").code == 3
    server.fresh()
    return out


def typed(sentence: str) -> list[str]:
    """The words of the command that a sentence tells to type, without `ipo`."""
    return shlex.split(sentence.split("`")[1])[1:]


def test_resume_asks_nobody_until_the_address_is_typed(
    stopped: Path, server: OpenAIServer, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = ipo(capfd, "optimize", "--resume", str(stopped), "--budget-tokens", "100000")
    assert ended.code == 2
    assert NEVER in ended.sentence and server.base in ended.sentence
    assert not server.asked
    words = typed(ended.sentence)
    assert words == ["optimize", "--resume", str(stopped), "budget_tokens=100000", f"lm_api_base={server.base}"]
    assert ipo(capfd, *words).code == 0
    assert len(server.asked) == 2


def test_a_settings_file_may_hold_it_too(
    stopped: Path, server: OpenAIServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(f"lm_api_base: {server.base}\nbudget_tokens: 100000\n")
    assert ipo(capfd, "optimize", str(tmp_path / "mine.yaml"), "--resume", str(stopped)).code == 0


def test_the_settings_file_of_a_run_brings_no_address(
    stopped: Path, server: OpenAIServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["optimize", str(stopped / "config.yaml"), f"--out={tmp_path / 'new'}", "budget_tokens=null"]
    ended = ipo(capfd, *words)
    assert ended.code == 2 and NEVER in ended.sentence
    assert not server.asked and not (tmp_path / "new").exists()
    assert ipo(capfd, *words, *shlex.split(ended.sentence.split("`")[1])).code == 0
    assert server.asked
    ended = ipo(capfd, "optimize", str(stopped / "config.yaml"), "--resume", str(stopped), "budget_tokens=100000")
    assert ended.code == 2 and NEVER in ended.sentence


@pytest.mark.parametrize("role", ["lm", "describer"])
@pytest.mark.parametrize("provider", ["oobabooga", "openai", "huggingface"])
def test_an_address_in_the_name_of_a_model_is_refused(
    stopped: Path, server: OpenAIServer, capfd: pytest.CaptureFixture[str], role: str, provider: str
) -> None:
    config = stopped / "config.yaml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith((f"{role}:", "lm_api_base:"))]
    config.write_text("\n".join([*lines, f"{role}: {provider}/{server.base}"]))
    for words in (["--resume", str(stopped)], ["--from", str(stopped), "--dry-run"]):
        ended = ipo(capfd, "optimize", *words)
        assert ended.code == 2
        assert (
            "the name of a language model holds no address" in ended.sentence and f"{role}_api_base=" in ended.sentence
        )
    assert not server.asked


def test_another_address_is_refused(stopped: Path, server: OpenAIServer, capfd: pytest.CaptureFixture[str]) -> None:
    with running() as other:
        for address in (other.base, "null"):
            ended = ipo(capfd, "optimize", "--resume", str(stopped), f"lm_api_base={address}")
            assert ended.code == 2
            assert f"has lm_api_base={server.base!r}" in ended.sentence and "give that one" in ended.sentence
        assert not other.asked
    assert not server.asked


def test_every_command_that_is_printed_works(
    run: Run, server: OpenAIServer, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = run("budget_tokens=1")
    (line,) = [line for line in ended.err.splitlines() if "if it is interrupted: " in line]
    shown = [line.partition("if it is interrupted: ")[2]]
    shown += [line.partition("larger limit: ")[2] for line in ended.err.splitlines() if "larger limit: " in line]
    assert shown[0] == resume_command(out)
    assert len(shown) == 2
    for command in shown:
        assert ipo(capfd, *shlex.split(command)[1:]).code in (0, 3), command
    (out / "result.json").unlink()
    (out / "program.json").unlink()
    for words in (["report", str(out)], ["predict", str(out), str(out)]):
        ended = ipo(capfd, *words)
        assert ended.code == 2
        assert typed(ended.sentence) == shlex.split(resume_command(out))[1:]
    assert ipo(capfd, *typed(ended.sentence)).code in (0, 3)
    assert "already holds a run" in (taken := run().sentence)
    assert f"lm_api_base={server.base}" in typed(taken)


def test_a_failure_says_the_command_that_works(run: Run, server: OpenAIServer, out: Path, quick: list[float]) -> None:
    from support.openai_server import error

    server.behave = lambda asked: error(401, "no")
    assert run().sentence.endswith(f"what was done is kept: {resume_command(out)}")
    assert f"lm_api_base={server.base}" in resume_command(out)


def test_a_new_run_from_another_one_does_not_ask_where_that_one_asked(
    run: Run, server: OpenAIServer, out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("steps=1").code == 0
    server.fresh()
    begin = ["optimize", "--from", str(out), "--out", str(tmp_path / "second"), "steps=1", "--seed", "5"]
    ended = ipo(capfd, *begin)
    assert ended.code == 2
    assert NEVER in ended.sentence
    assert f"add `lm_api_base={server.base}`" in ended.sentence
    assert not server.asked and not (tmp_path / "second").exists()
    assert ipo(capfd, *begin, "lm=none", "strategy=list", "strategy.templates=x", "--dry-run").code in (0, 2)
    assert not server.asked
    assert ipo(capfd, *begin, f"lm_api_base={server.base}").code == 0
    assert server.asked


def test_a_replay_needs_no_address(run: Run, server: OpenAIServer, out: Path, tmp_path: Path) -> None:
    assert run("steps=1").code == 0
    server.fresh()
    again = run("steps=1", "--out", str(tmp_path / "again"), "lm_api_base=null", lm=f"replay/{out}")
    assert again.code == 0
    assert not server.asked
    assert result(tmp_path / "again")["template"] == result(out)["template"]


def test_from_python(stopped: Path, server: OpenAIServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(package.InputError, match=NEVER) as caught:
        package.optimize(resume=stopped, budget_tokens=100000, quiet=True)
    call = f"`ipo.optimize(resume={str(stopped)!r}, budget_tokens=100000, lm_api_base={server.base!r})`"
    assert call in str(caught.value)
    with pytest.raises(package.InputError, match=NEVER) as caught:
        package.optimize(start_from=stopped, out=tmp_path / "b", quiet=True)
    assert f"`lm_api_base={server.base!r}`" in str(caught.value)
    assert not server.asked
    outcome = package.optimize(resume=stopped, budget_tokens=2, lm_api_base=server.base, quiet=False)
    assert f"budget_tokens=4, lm_api_base={server.base!r})" in capfd.readouterr().err
    assert outcome.result.stopped
    package.optimize(resume=stopped, budget_tokens=100000, lm_api_base=server.base, quiet=True)
    assert len(events(stopped, "lm")) == 2


def test_a_folder_with_a_space_and_no_settings(tmp_path: Path) -> None:
    assert resume_command(tmp_path / "my run") == f"ipo optimize --resume '{tmp_path}/my run'"
    (tmp_path / "config.yaml").write_text("lm_api_base: http://127.0.0.1:1/a b\n")
    assert resume_command(tmp_path).endswith(" 'lm_api_base=http://127.0.0.1:1/a b'")
    (tmp_path / "config.yaml").write_text("[")
    assert resume_command(tmp_path) == f"ipo optimize --resume {tmp_path}"
