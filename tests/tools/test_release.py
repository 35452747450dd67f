"""What a release needs beside the code: forms and workflows that can be read, and the development tools in one list."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_every_form_asks_for_what_doctor_finds(form: Path) -> None:
    content = yaml.safe_load(form.read_text("utf-8"))
    assert content["name"] and content["description"]
    asked = [field["attributes"]["label"] for field in content["body"] if field.get("validations", {}).get("required")]
    assert "What `ipo doctor --json` prints" in asked


def test_workflows_run_what_is_in_the_repository() -> None:
    for file in (ROOT / ".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(file.read_text("utf-8"))["jobs"]
        steps = [step for job in jobs.values() for step in job["steps"]]
        assert all("run" in step or re.fullmatch(r"[\w-]+/[\w-]+@\S+", step["uses"]) for step in steps)
        for module in re.findall(r"python -m (tools\.\w+)", file.read_text("utf-8")):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_the_group_for_development_is_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    name = project["project"]["name"]
    assert project["dependency-groups"]["dev"] == [f"{name}[dev]"]


def test_the_source_archive_holds_every_folder_once() -> None:
    linked = {path.name for path in (ROOT / "ipo_prompts").iterdir() if path.is_symlink()}
    manifest = (ROOT / "MANIFEST.in").read_text("utf-8")
    folders = {path.parts[0] for path in map(Path, _committed()) if len(path.parts) > 1}
    assert folders - linked == set(re.findall("^graft (.*)$", manifest, re.M))


def _committed() -> list[str]:
    import subprocess

    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
