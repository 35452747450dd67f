"""An `ipo` command for shell blocks that starts at once: imports are paid for by one process, which forks for each.

The command on the PATH is a client that hands its words, folder and environment to a server in the tests' process and
gives out what came back. The run itself is a process of its own, of the same `main`, that can be killed.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from support.killing import fork_server

SECONDS = 300
_CLIENT = """#!{python} -S
import json, os, socket, sys
with socket.create_connection(("127.0.0.1", {port})) as wire:
    asked = {{"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    wire.sendall(json.dumps(asked).encode() + b"\\n")
    answer = json.loads(wire.makefile("rb").readline())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["code"])
"""


class Warm:
    """The server. `process` is the run that was started last."""

    def __init__(self, folder: Path) -> None:
        self.process: BaseProcess | None = None
        self._context = fork_server(__name__)
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        command = folder / "ipo"
        command.write_text(_CLIENT.format(python=sys.executable, port=self._server.server_address[1]))
        command.chmod(0o755)

    def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Run a command to its end."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            self.process = self._context.Process(target=_child, args=(asked, str(out), str(err)))
            self.process.start()
            self.process.join(SECONDS)
            if self.process.exitcode is None:
                self.process.kill()
                self.process.join()
            code = self.process.exitcode
            texts = {name: file.read_text() if file.exists() else "" for name, file in (("out", out), ("err", err))}
        return {**texts, "code": 128 - code if code < 0 else code}

    def kill(self) -> None:
        """Kill the run without warning, as a power cut does."""
        assert self.process is not None
        self.process.kill()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


def _handler(warm: Warm) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(json.dumps(warm.run(json.loads(self.rfile.readline()))).encode() + b"\n")

    return Handler


def _child(asked: dict[str, Any], out: str, err: str) -> None:
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, name in ((1, out), (2, err)):
        with Path(name).open("a") as file:
            os.dup2(file.fileno(), number)
    from ipo_prompts.experiments.cli.app import main

    code = main(asked["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def command(folder: Path) -> Iterator[Warm]:
    """Put the command into a folder, for the length of a block; the PATH is the caller's to set."""
    warm = Warm(folder)
    try:
        yield warm
    finally:
        warm.stop()
