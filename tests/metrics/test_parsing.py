from __future__ import annotations

from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import YAML_BYTES, parse_yaml, read_json, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(f'*{old}' for _ in range(9))}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "bomb": (BOMB, "aliases"),
    "bomb in a value": ("task: {" + ", ".join(BOMB.split("\n")[:-1]) + "}", "aliases"),
    "recursive": ("a: &a [*a]", "aliases"),
    "merged": ("a: &a {x: 1}\nb: {<<: *a}", "aliases"),
    "bad date": ("steps: 2020-13-45", "not valid YAML"),
    "bad time": ("steps: 2020-01-01 99:99:99", "not valid YAML"),
    "long number": ("steps: " + "9" * 5000, "not valid YAML"),
    "long hexadecimal": ("steps: 0x" + "f" * 5000, "not valid YAML"),
    "base sixty": ("steps: " + ":".join(["1"] * 9000), "not valid YAML"),
    "nested": ("a: " + "[" * 20_000, "nested too deep"),
    "nested block": ("- " * 20_000, "nested too deep"),
    "half a character": (r'task: "\ud83d"', "not valid YAML"),
    "python": ("a: !!python/object/apply:os.system ['false']", "not valid YAML"),
    "bad binary": ("a: !!binary xx\xff", "not valid YAML"),
    "key of a list": ("? [a]\n: b", "not valid YAML"),
    "control character": ("a: \x00", "not valid YAML"),
    "large": ("a: " + "x" * YAML_BYTES, "more than 262,144"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_one_sentence(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = HOSTILE[name]
    file = tmp_path / "given.yaml"
    file.write_text(content)
    assert main(["optimize", str(file), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("ipo: ")
    assert said.count("\n") == 1
    assert len(said) < 600


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("bomb", "large")])
def test_a_hostile_value_of_a_word_is_told_as_text(name: str) -> None:
    content = HOSTILE[name][0].partition(":")[2].strip()
    with pytest.raises(InputError) as caught:
        load_config(None, [f"steps={content}"])
    assert len(str(caught.value)) < 600


def test_grids_are_read_by_the_same_loader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "given.yaml"
    file.write_text(BOMB)
    assert main(["benchmark", str(file)]) == 2
    assert "aliases" in capsys.readouterr().err


def test_plain_yaml_is_what_it_was() -> None:
    content = "a: 1\nb: [x, 2.5, true, null]\nc: {d: 2020-01-02, e: é}\nf: &name g\n"
    import yaml

    assert parse_yaml(content, "given") == yaml.safe_load(content)
    assert parse_yaml("", "given") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 5000, "is not JSON"),
        (rb'["\ud83d"]', "is not JSON"),
        (b"\xff", "is not JSON in UTF-8"),
        (b"{", "is not JSON"),
    ],
)
def test_hostile_json_is_one_sentence(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_json(file, "the split file", "take another")
    assert str(caught.value).endswith("; take another.")
    assert len(str(caught.value)) < 600


def test_files_without_end_and_without_sense_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/dev/zero: it is no regular file"):
        read_yaml(Path("/dev/zero"), "the configuration")
    with pytest.raises(InputError, match=r"cannot read the configuration .*: Is a directory"):
        read_yaml(tmp_path, "the configuration")
    with pytest.raises(InputError, match="null byte"):
        read_yaml(tmp_path / "a\0b", "the configuration")


def test_a_file_of_nothing_but_lists_is_not_parsed(tmp_path: Path) -> None:
    file = tmp_path / "program.json"
    file.write_text("[" + "[]," * 2**22 + "[]]")
    with pytest.raises(InputError, match=r"the program .* has more than 4,194,304 values; is it the right file\?"):
        read_json(file, "the program", "name another")
