"""The table of `docs/how-to/data.md`, and the commands of the pages about images of one's own: each line is typed."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import tarfile
from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.embedded import IMAGES_DIR
from support.pages import DOCS, blocks

PETS = ("cat", "dog", "fish")
TABLE = (DOCS / "how-to/data.md").read_text(encoding="utf-8").partition("## What you have")[2].partition("\n## ")[0]
NAMES = (DOCS / "how-to/class-names.md").read_text(encoding="utf-8")
PAGES = ("data", "class-names", "classifier")
COMMANDS = [
    line
    for page in PAGES
    for block in blocks(DOCS / f"how-to/{page}.md")
    for line in block.text.splitlines()
    if line.startswith(("ipo optimize", "ipo evaluate", "ipo data"))
]
TYPED = [row for row in re.findall(r"\|`([^`]+)`\|$", TABLE, re.M) if not row.startswith(("hf:", "python:"))]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the table, which is also the working directory."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for name in PETS:
        shutil.copytree(IMAGES_DIR / "a" / name, tmp_path / "pets" / name)
        rows += [(file.relative_to(tmp_path).as_posix(), name) for file in sorted((tmp_path / "pets" / name).iterdir())]
    shutil.copytree(tmp_path / "pets" / "cat", tmp_path / "holiday")
    for number, name in enumerate(PETS):
        shutil.copytree(tmp_path / "pets" / name, tmp_path / "scans" / f"class_{number}")
    files = {
        "pets.csv": "image,label\n" + "".join(f"{image},{name}\n" for image, name in rows),
        "names.txt": "cat\ndog\n",
        "names.yaml": "dog: [dog, hound]\n",
        "texts.json": re.findall(r"`({.*})`", NAMES)[0],
    }
    for name, content in files.items():
        Path(name).write_text(content, encoding="utf-8")
    Path("shards").mkdir()
    Path("shards/classnames.txt").write_text("\n".join(PETS))
    with tarfile.open("shards/0.tar", "w") as shard:
        for i, (image, name) in enumerate(rows):
            for ending, content in (("webp", Path(image).read_bytes()), ("cls", str(PETS.index(name)).encode())):
                member = tarfile.TarInfo(f"{i}.{ending}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return tmp_path


@pytest.mark.parametrize("typed", TYPED)
def test_what_the_table_says_is_read(typed: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", *shlex.split(typed)]) == 0
    told = capsys.readouterr().out
    assert " can be used" in told
    assert re.search(r"\n[234] classes, 30 images", told), told


def test_all_kinds_of_files_are_in_the_table() -> None:
    assert len(TYPED) == 4 and sum(typed.startswith("table:") for typed in TYPED) == 2


def test_sentences_are_scored(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"^ipo (evaluate .*texts\.json.*)$", NAMES, re.M)
    assert main(shlex.split(command.replace("ViT-B-16/openai", "embedded"))) == 0
    assert "<CLASS>" in capsys.readouterr().out


@pytest.mark.parametrize("typed", COMMANDS)
def test_the_commands_of_the_pages_are_accepted(typed: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(typed.replace("ViT-B-16/openai", "embedded"))[1:]
    assert main([*words, "--dry-run"] if words[0] == "optimize" else words) == 0, capsys.readouterr().err
