"""`ipo.optimize(…)` does what `ipo optimize` does, and its result shows itself."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pandas
import pytest

import ipo_prompts as ipo
from ipo_prompts.experiments.run.files import config_of
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.errors import InputError
from support import runs
from support.openai_server import OpenAIServer, running

SMALL: dict[str, Any] = {
    "lm": "openai/test-model",
    "describer": "none",
    "shots": 1,
    "val_shots": 1,
    "candidates_per_step": 3,
    "steps": 2,
    "names": "as-is",
}


@pytest.fixture(autouse=True)
def one_clip(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder that ships is loaded once for all programs."""
    monkeypatch.setattr(
        "ipo_prompts.programs.classifier.load_clip",
        lambda name, *more: clip if name == "embedded" else load_clip(name, *more),
    )


@pytest.fixture()
def server(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> Iterator[OpenAIServer]:
    """A language model behind an address, and a folder to work in with images."""
    runs.copy_images(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", runs.KEY)
    with running() as server:
        monkeypatch.setenv("OPENAI_API_BASE", server.base)
        yield server


def test_it_does_what_the_command_does(
    server: OpenAIServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"{key}={value}" for key, value in SMALL.items()]
    nested = ("strategy=history", "strategy.size=3")
    told = runs.ipo(capfd, "optimize", "--data=folder:pets", *words, *nested, "--out=command")
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "another"))  # where no replies and features are remembered
    outcome = ipo.optimize("folder:pets", **SMALL, strategy={"name": "history", "size": 3}, out="call", quiet=False)
    captured = capfd.readouterr()
    assert runs.result(Path("call")) == runs.result(Path("command"))
    assert runs.program(Path("call")) == runs.program(Path("command"))
    assert Path("call/config.yaml").read_text() == Path("command/config.yaml").read_text()
    # Progress goes to stderr as there, and `print` says what is said there, but for the clock.
    clock = re.compile(r" \(\d+ a minute\)|, \d+:\d+ left|in [\d.]+ s")
    said, shown = (clock.sub("", err).splitlines() for err in (told.err.replace("command", "call"), captured.err))
    assert shown == said
    assert captured.out == ""
    printed = clock.sub("", told.out.replace("command", "call")).rstrip("\n")
    assert clock.sub("", str(outcome)).replace(str(Path("call").absolute()), "call") == printed


def test_the_outcome_holds_what_was_found(
    server: OpenAIServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    outcome = ipo.optimize(Path("pets"), **SMALL)
    assert capfd.readouterr() == ("", "")
    logged = [record.getMessage() for record in caplog.records if record.name == "ipo_prompts"]
    assert [line for line in logged if "searching with" in line] and [line for line in logged if "step 2/2" in line]
    assert logging.getLogger("ipo_prompts").handlers == []
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    place = str(outcome.folder.relative_to(Path.cwd()))
    assert re.fullmatch(r"runs/\d{8}-\d{6}-folder-pets|runs/\d{8}-\d{6}-pets", place)
    assert outcome.template == outcome.result.template == outcome.classifier.template
    assert outcome.classifier.class_names == tuple(sorted(runs.CLASSES))
    assert outcome.classifier is outcome.classifier
    assert pickle.loads(pickle.dumps(outcome)).classifier.template == outcome.template
    assert outcome.gain == outcome.result.rows_on("test")[-1].difference
    assert outcome.report() == outcome.folder / "report.html"
    assert outcome.report().is_file()
    assert repr(outcome) == f"<Outcome {outcome.template!r}: {outcome.gain.numbers} {outcome.folder}>"
    assert "<img " in outcome._repr_html_()


def test_it_asks_a_language_model_that_was_made_in_python(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_API_BASE"):
        monkeypatch.delenv(name)
    lm = dspy.LM("openai/test-model", api_base=server.base, api_key=runs.KEY, temperature=0.5)
    outcome = ipo.optimize(Path("pets"), **{**SMALL, "lm": lm}, out=Path("made"), budget_tokens=1_000_000)
    assert server.asked and {asked.body["temperature"] for asked in server.asked} == {0.5}
    written = b"".join(file.read_bytes() for file in outcome.folder.rglob("*") if file.is_file())
    assert b"openai/test-model" in written and not any(said.encode() in written for said in (runs.KEY, server.base))
    asked = len(server.asked)
    (outcome.folder / "result.json").unlink()
    assert ipo.optimize(resume="made", lm=lm).template == outcome.template
    assert len(server.asked) == asked


def test_it_resumes(server: OpenAIServer, caplog: pytest.LogCaptureFixture) -> None:
    whole = ipo.optimize("folder:pets", **SMALL, out="whole")
    stopped = ipo.optimize("folder:pets", **SMALL, out="stopped", budget_tokens=1)
    assert stopped.result.stopped
    proposed = r"resume with a larger limit: ipo optimize --resume stopped --budget-tokens (\d+)"
    told = re.search(proposed, caplog.text)
    assert told and ipo.optimize(resume="stopped", lm=SMALL["lm"], budget_tokens=int(told[1])).result.lm.optimizer
    outcome = ipo.optimize(resume="stopped", lm=SMALL["lm"], budget_tokens=1_000_000)
    assert (outcome.result.stopped, outcome.folder) == (None, Path("stopped").absolute())
    assert outcome.template == whole.template
    asked = len(server.asked)
    assert ipo.optimize(resume="stopped", lm=SMALL["lm"]).result == outcome.result
    assert len(server.asked) == asked
    with pytest.raises(ipo.InputError, match="the run in stopped names openai/test-model"):
        ipo.optimize(resume="stopped")
    with pytest.raises(ipo.InputError, match="and 3 was asked for; leave it out"):
        ipo.optimize(resume="stopped", lm=SMALL["lm"], steps=3)
    with pytest.raises(
        ipo.InputError,
        match=r"holds a run; resume it with `ipo optimize --resume whole lm=openai/test-model`, or .* --out",
    ):
        ipo.optimize("folder:pets", **SMALL, out="whole")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stepz": 3}, "unknown key 'stepz' in the call of ipo.optimize (did you mean steps?)"),
        ({"steps": 0}, "steps in the call of ipo.optimize is wrong: input should be greater than or equal to 1"),
        ({"lm": object()}, "lm in the call of ipo.optimize is wrong: input should be a valid string"),
        ({"strategy": {"name": "histry"}}, "no strategy 'histry' (did you mean history"),
        ({"lm": "none", "strategy": "history"}, "name one with --lm, or choose strategy="),
        ({"data": Path("gone")}, "gone"),
        ({"clip": Path("gone")}, "cannot load the CLIP 'local-dir:gone'"),
        ({"resume": "nowhere"}, "nowhere holds no run to resume"),
        ({"resume": "a", "out": "b"}, "resume= works in its own directory; leave out= away."),
    ],
)
def test_bad_input_is_one_sentence(
    given: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ipo.InputError, match=re.escape(message)) as caught:
        ipo.optimize(**given)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_is_kept_as_a_table_and_its_columns_with_the_run(
    server: OpenAIServer, capfd: pytest.CaptureFixture[str]
) -> None:
    files = sorted(file for file in Path("pets").rglob("*") if file.is_file())
    parts = ["Test" if i % 3 == 0 else "Train" for i in range(len(files))]
    frame = pandas.DataFrame({"image": files, "species": [file.parent.name for file in files], "Subset": parts})
    outcome = ipo.optimize(frame, **SMALL, out="framed", label="species", quiet=False)
    assert "left out: the column Subset, which names parts (to use it, type split=Subset)" in capfd.readouterr().err
    config = config_of(outcome.folder)
    assert config.data == f"table:{Path('framed/table.csv').absolute()}" and config.columns == {"label": "species"}
    assert config.check_command == f"ipo data check {config.data} label=species"
    assert ipo.optimize(resume="framed", lm=SMALL["lm"]).result == outcome.result
    with pytest.raises(InputError, match="leave the DataFrame away"):
        ipo.optimize(frame, resume="framed")
    told = runs.ipo(capfd, "data", "check", config.data, "label=species", "split=Subset")
    assert told.code == 0 and told.out.splitlines()[-1].endswith("label=species split=Subset")
    files[0].write_bytes(b"text")
    words = ("skip_unreadable=true", "label=species", "split=Subset")
    told = runs.ipo(capfd, "data", "check", config.data, *words)
    assert told.code == 0 and "left out: 1 images that cannot be read" in told.out
    told = runs.ipo(capfd, "evaluate", "--data", config.data, "--template", "<CLASS>", *words)
    assert told.code == 0 and "left out: 1 images that cannot be read" in told.err
