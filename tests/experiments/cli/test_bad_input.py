"""Bad input is one sentence on stderr, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.experiments.run.files import load_config
from support.runs import lines_of

LM = ("--lm", "openai/gpt-4o-mini")
"""A language model that can be named without weights; nothing is asked of it."""
FEW = ("shots=1", "val_shots=1", "describer=none")


@pytest.fixture()
def place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that can be wrong, which is also the working directory."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def images(folder: str, count: int = 6) -> None:
        Path(folder).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (16, 16), (40 * i, len(folder), 9)).save(Path(folder, f"{i}.png"))

    images("good/cat")
    images("good/dog")
    images("one/cat")
    images("hollow/cat")
    Path("hollow/dog").mkdir()
    Path("barred.csv").write_text("image,label\n" + "".join(f"good/cat/{i},cat|dog {i}\n" for i in range(4)))
    Path("deep.jsonl").write_text("[" * 100_000 + "\n")
    Path("faulty.csv").write_text("image,label\ngood/cat/0.png,cat\ngood/cat/1.png,\ngood/dog/9.png,dog\n")
    images("scant/cat", 2)
    images("scant/dog", 6)
    images("spoiled/cat")
    images("spoiled/dog")
    for file in Path("spoiled/dog").iterdir():
        file.write_text("this is text")
    images("flat")
    Path("bare").mkdir()
    Path("weightless").mkdir()
    Path("weightless/open_clip_config.json").write_bytes((MODEL_DIR / "open_clip_config.json").read_bytes())
    Path("file").write_text("x")
    Path("bad.yaml").write_text("stratgy: 3\n")
    Path("list.yaml").write_text("- 1\n")
    Path("torn.yaml").write_text("a: [\n")
    Path("done").mkdir()
    config = load_config(None, [*FEW], data="folder:good", lm=LM[1])
    Path("done/config.yaml").write_text(config.to_yaml())
    start = {"type": "start", "seconds": 0.1, "config": config.model_dump(mode="json")}
    Path("done/journal.jsonl").write_text(lines_of(start))
    Path("latin.txt").write_bytes("une <CLASS> carrée".encode("latin-1"))
    Path("empty.txt").write_text(" \n")
    Path("slotless.txt").write_text("a <CLASS>\na photo\n")
    return tmp_path


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "cache" not in path.parts}


OPTIMIZE: list[tuple[list[str], str]] = [
    (["--clip", "ViT-B-33/openai"], "no CLIP named 'ViT-B-33'; did you mean ViT-B-32"),
    (["--clip", "ViT-B-32"], "say which weights of ViT-B-32 to load, such as ViT-B-32/openai; it has: openai, "),
    (["--clip", "ViT-B/32"], "no CLIP named 'ViT-B'; did you mean ViT-B-32/openai?"),
    (["--clip", "ViT-L/14@336px"], "no CLIP named 'ViT-L'; did you mean ViT-L-14-336/openai?"),
    (["--clip", "ViT-B-32/openia"], "has no weights 'openia'; did you mean openai"),
    (
        ["--clip", "ViT-B-32/openai", "--data", "folder:good", *FEW],
        ", or type --clip embedded, the demo CLIP that ships",
    ),
    (["--clip", "local-dir:weightless", "--data", "folder:good", *FEW], "there is no weights file"),
    (["--clip", "local-dir:gone", "--data", "folder:good", *FEW], "cannot load the CLIP 'local-dir:gone'"),
    (["--data", "folder:gone"], "the folder gone does not exist"),
    (["--data", "folder:file"], "is a file, not a folder"),
    (["--data", "folder:bare"], "bare has no images"),
    (["--data", "folder:flat"], "has images but no class folders; few labels are enough: put about six"),
    (["--data", "folder:one"], "one class only ('cat')"),
    (["--data", "folder:hollow"], "classes of the folder hollow has no images: 'dog'; add some"),
    (["--data", "folder:scant", "exclude=[dgo]"], "exclude names the class 'dgo', which is not in the data"),
    (["--data", "folder:spoiled", *FEW], "images cannot be read: spoiled/dog/"),
    (["--data", "foldr:good"], "unknown data 'foldr:good' (did you mean folder?)"),
    (["--data", "good"], "did you mean folder:good?"),
    (["good"], "'good' is a folder; did you mean folder:good?"),
    (["folder:good", "--data", "folder:one"], "data is given twice, folder:good and folder:one; name one"),
    (["--clip", "embeded"], "no CLIP named 'embeded'; did you mean embedded?"),
    (["--data", "embedded:zz"], "no images embedded:zz"),
    (["--data", "csv:gone.csv"], "gone.csv"),
    (["--data", "csv:faulty.csv"], "  row 3: no class in the column label (nothing, or None, NaN"),
    (["stepz=3"], "unknown key 'stepz' in the command line (did you mean steps?)"),
    (["preset=papr"], "preset in the command line is wrong"),
    (["reward.k=3"], "the reward 'classification' has no setting 'k'; it has none"),
    (["bad.yaml"], "unknown key 'stratgy' in bad.yaml (did you mean strategy?)"),
    (["list.yaml"], "list.yaml holds list"),
    (["torn.yaml"], "torn.yaml is not valid YAML"),
    (["gone.yaml"], "gone.yaml: No such file"),
    (["--stpes", "3"], "no flag '--stpes' (did you mean --steps?)"),
    (["--shots", "3"], "no flag '--shots' (did you mean shots=VALUE?)"),
    (["papr-1-shot"], "no configuration 'papr-1-shot' (did you mean paper-1-shot?)"),
    (["lm", "none"], "cannot read 'lm'; settings are written key=value, such as lm=VALUE, without spaces."),
    (["template=a <CLASS>"], "unknown key 'template' in the command line (did you mean initial_template?)"),
    (["--lm", "locl"], "litellm knows no provider for 'locl' (did you mean local?)"),
    (["--describer", "foo"], "such as openai/gpt-4o-mini, or is one of replay/RUN, file:PATH, none."),
    (["--describer", "nonee"], "litellm knows no provider for 'nonee' (did you mean none?)"),
    (["--describer", "file:gone.txt"], "cannot read the file of descriptions gone.txt: No such file"),
    (["--describer", "file:latin.txt"], "the file of descriptions latin.txt is not text in UTF-8"),
    (["--describer", "file:empty.txt"], "the file of descriptions empty.txt is empty; write one description a line"),
    (["--steps", "3.5"], "'--steps': it should be a valid integer"),
    (["steps=abc"], "steps in the command line is wrong: input should be a valid integer"),
    (["temperature=hot"], "temperature in the command line is wrong: input should be a valid number"),
    (["--steps", "0"], "steps in the command line is wrong"),
    (["--steps"], "requires an argument; see `ipo optimize --help`."),
    (["device=cuda:77"], "there is no device 'cuda:77' here; device can be auto, "),
    (["--budget-usd", "-1"], "budget_usd"),
    (["initial_template=a photo"], "no <CLASS> slot"),
    (["initial_template=<CLASS>" + " photo" * 48, "--data", "folder:good", *FEW], "tokens, more than the"),
    (["initial_template=<CLASS> <end_of_text>"], "markup"),
    (["--lm", "local/huge"], "no local model 'huge'; choose one of small, base, large"),
    (["--lm", "local/gone.gguf"], "no model file"),
    (["--lm", "anthropic/claude-3-5-haiku-latest"], "needs ANTHROPIC_API_KEY in the environment"),
    (["--lm", "replay/gone"], "the run in gone recorded no reply"),
    (["--lm", "openai/no-such-model", "--budget-usd", "1"], "price of openai/no-such-model is not known"),
    (["--resume", "gone"], "gone holds no run to resume"),
    (["exclude=lynx"], "exclude in the command line is wrong: input should be a valid list (given: 'lynx')."),
    (["--resume", "done", *LM, "--seed", "7"], "has seed=0 and 7 was asked for"),
    (["--resume", "done", "--seed", "7"], "done names openai/gpt-4o-mini, and no code or server is used because"),
    (["--resume", "done", "--out", "new"], "leave --out away"),
    (
        ["--out", "done", "--data", "folder:good", *FEW],
        "a run; resume it with `ipo optimize --resume done lm=openai/gpt-4o-mini`, or",
    ),
    (["--out", "file/below", "--data", "folder:good", *FEW], "file is a file; choose another --out"),
    (["--out", "x" * 300, "--data", "folder:good", *FEW], "File name too long; choose a shorter name."),
]

OTHERS: list[tuple[list[str], str]] = [
    (["frobnicate"], "no such command 'frobnicate'; see `ipo --help`."),
    (["optimise"], "no such command 'optimise'. Did you mean 'optimize'? See `ipo --help`."),
    (["--lm", "none", "optimize"], "no such option: --lm; options stand after the command"),
    (["evaluate"], "at least one template"),
    (["evaluate", "--template", "<CLASS>", "--part", "tst"], "'tst' is not one of 'train', 'val', 'test'"),
    (["evaluate", "--template", "<CLASS>", "--clip", "local-dir:weightless"], "no weights file"),
    (["evaluate", "--template", "<CLASS>", "--clip", "ViT-B-16/opena"], "did you mean openai"),
    (["evaluate", "--template", "<CLASS>", "--data", "folder:spoiled"], "is not an image of a known format"),
    (["evaluate", "--tmplate", "<CLASS>"], "no such option: --tmplate"),
    (["evaluate", "--template", "<CLASS>", "--seed", "1"], "no such option: --seed"),
    (["evaluate", "--templates-file", "gone.txt"], "cannot read the file of templates gone.txt: No such file"),
    (["evaluate", "--templates-file", "latin.txt"], "the file of templates latin.txt is not text in UTF-8"),
    (["evaluate", "--templates-file", "slotless.txt", "--data", "folder:good"], "'a photo' cannot be used"),
    (["evaluate", "--template", "<CLASS>", "--device", "tpu"], "there is no device 'tpu' here"),
    (["predict"], "missing argument 'program'; for example `ipo predict runs/RUN holiday/`; see"),
    (
        ["export", "done"],
        "missing option '--to'; for example `ipo export runs/RUN --to open_clip --out pets",
    ),
    (["predict", "gone", "good"], "there is no run or file gone; name a run directory, or its program.json."),
    (
        ["predict", "done", "good"],
        "done has no program.json yet; resume it with `ipo optimize --resume done lm=openai/gpt-4o-mini`.",
    ),
    (
        ["export", "done", "--to", "head", "--out", "x"],
        "yet; resume it with `ipo optimize --resume done lm=openai/gpt-4o-mini`.",
    ),
    (["predict", "bare", "good"], "bare has no program.json; name a finished run"),
    (["report", "."], ". is not a run directory but holds some; name one, as in `ipo report done`."),
    (["predict", "bad.yaml", "good"], "the program bad.yaml is not JSON"),
    (["predict", "done", "good", "--format", "xml"], "'xml' is not one of 'table', 'csv', 'jsonl', 'html'"),
    (["predict", "gone", "gone", "--out", "labels.txt"], "--out labels.txt is no .csv, .jsonl or .html"),
    (["predict", "gone", "gone", "--out", "new.csv", "--format", "table"], "--out new.csv is no .csv"),
    (["predict", "gone", "gone", "--resume"], "--resume continues the file that --out names; add --out FILE."),
    (
        ["predict", "gone", "gone", "--out", "new.csv", "--resume", "--sort", "doubt"],
        "leave it away, or --sort and html",
    ),
    (["predict", "gone", "gone", "--out", "new.html", "--resume"], "leave it away, or --sort and html"),
    (["predict", "gone", "gone", "--sort", "name"], "'name' is not one of 'doubt'"),
    (["predict", "gone", "gone", "--top", "few"], "valid integer"),
    (["predict", "gone", "gone", "--top", "0"], "'--top': it should be greater than or equal to 1; see `ipo predict"),
    (["data", "check", "csv:barred.csv"], "has labels such as 'cat|dog 0', and several labels of an image are not"),
    (["predict", "done", "goood"], "cannot read the image goood (did you mean good?): No such file or directory."),
    (["report", "done", "--cite"], "the run in done has no result.json; resume it with"),
    (["report", "done", "--out", "bad.yaml/page.html"], "bad.yaml is a file; choose another place."),
    (["data", "check", "csv:faulty.csv"], "  row 4: no image at the path in the column image"),
    (["data", "check", "csv:faulty.csv", "split=Subset"], "no column Subset; its columns are: image, label; name it"),
    (["data", "check", "folder:good", "label=x"], "image=, label= and split= are for tables"),
    (
        ["evaluate", "--template", "<CLASS>", "skip_unreadable=true", "--data", "eurosat"],
        "skip_unreadable= is for imag",
    ),
    (["evaluate", "--template", "<CLASS>", "--data", "table:deep.jsonl"], "row 1: no JSON object"),
    (["data", "check", "folder:good", "shots=3"], "data check takes class_names=, exclude=, names=, image=, "),
    (["data", "check", "folder:good", "--clip", "ViT-B-33/x"], "did you mean ViT-B-32"),
    (["data", "check"], "missing argument 'spec'; for example `ipo data check folder:pets --clip ViT-B-16/openai`"),
    (["models", "pull", "huge"], "no local model 'huge'"),
]


def label(value: Any) -> str | None:
    return " ".join(value)[:60] if isinstance(value, list) else None


@pytest.mark.parametrize(
    ("command", "message"),
    [(["optimize", *([] if "--lm" in words or "--resume" in words else LM), *words], m) for words, m in OPTIMIZE]
    + OTHERS,
    ids=label,
)
def test_bad_input_is_one_sentence(
    command: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = everything_in(place)
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    *progress, said = err.splitlines()
    assert not any(line.startswith("ipo: ") for line in progress)
    assert said.startswith("ipo: ")
    assert said.endswith((".", "?"))
    assert "Traceback" not in err
    assert "sk-not-a-real-key" not in err
    assert everything_in(place) == before
    assert not [record for record in caplog.records if record.name in ("root", "open_clip")]


def test_what_needs_no_clip_is_refused_before_heavy_libraries_are_imported(place: Path) -> None:
    commands = [
        ["optimize", *LM, "initial_template=a photo"],
        ["optimize", *LM, "--clip", "ViT-B-33/openai"],
        ["optimize", *LM, "--data", "folder:flat"],
        ["optimize", *LM, "--data", "folder:file"],
        ["evaluate", "--template", "a photo"],
        ["evaluate", "--template", "<CLASS>", "--clip", "ViT-B-33/openai"],
        ["data", "check", "folder:good", "--clip", "ViT-B-33/openai"],
    ]
    code = (
        "import json, sys; from ipo_prompts.experiments.cli.app import main\n"
        "assert {main(command) for command in json.loads(sys.argv[1])} == {2}\n"
        "print(sorted({'torch', 'open_clip', 'dspy'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n" and done.stderr.count("ipo: ") == len(commands), done.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["doctor"], "interrupted; repeat the command."),
        (["optimize", "--dry-run"], "interrupted; repeat the command."),
        (["benchmark", "embedded"], "interrupted; what was done is kept: resume with the same command."),
    ],
)
def test_an_interrupt_says_what_is_kept(
    command: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for reads in ("cli.installation.load_config", "run.files.load_config", "compare.runner.load_grid"):
        monkeypatch.setattr(f"ipo_prompts.experiments.{reads}", raising(KeyboardInterrupt()))
    assert main(command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"ipo: {message}"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.cli.installation.load_config", raising(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        main(["doctor"])


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail
