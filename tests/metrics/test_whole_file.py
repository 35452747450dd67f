"""Files are written whole or not at all, and never through a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipo_prompts.metrics.files import write_whole


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "out").symlink_to("mine")
    write_whole(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert not (tmp_path / "out").is_symlink()
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write_whole(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write_whole(tmp_path / "file", "no bytes")  # type: ignore[arg-type]
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_name_that_exists_already_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda *_: "guessed")
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / ".guessed.part").symlink_to("mine")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    done: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append("fsync"), sync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *places: (done.append("rename"), replace(*places)))
    write_whole(tmp_path / "file", b"new")
    assert done == ["fsync", "fsync", "rename", "fsync"], "the file, its folder, and the folder with the new name"
