"""A time limit, kept by whole commands: from the start of the process to its end, on three jobs that are hard to stop.

`pictures` has 4,000 pictures to encode, `classes` 3,000 classes that every template is read with, `server` a language
model that takes 5 s an answer. A limit that is refused is followed by the one that the refusal asks for. A run may take
10 % more than its limit and its longest batch, or this ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ipo_prompts.metrics.features import BATCH
from ipo_prompts.metrics.nouns import common

JOBS = {"pictures": (20, 200), "classes": (3000, 3), "server": (20, 20)}
"""Classes, and pictures of each."""
SLOW = 5.0
TRIES = 3


def main() -> int:
    """Run the jobs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="one job of few pictures: for correctness only")
    parser.add_argument("--job", choices=JOBS, action="append")
    parser.add_argument("--seconds", type=float, default=60.0, help="the limit to begin with")
    given = parser.parse_args()
    print("| job | limit, s | took, s | over | exit | batch, s | left out |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    kept = [
        _row(job, Path(folder), given.seconds, small=given.small)
        for job in given.job or (["pictures"] if given.small else JOBS)
        for folder in [tempfile.mkdtemp()]
    ]
    return 0 if all(kept) else 1


def _row(job: str, folder: Path, seconds: float, *, small: bool) -> bool:
    classes, each = (max(3, JOBS[job][0] // 100), min(JOBS[job][1], 12)) if small else JOBS[job]
    _make(folder / "pictures", classes, each)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    words = [f"folder:{folder / 'pictures'}", "shots=1", "selection_shots=1", "steps=1000", f"--out={folder / 'run'}"]
    if job == "server":
        base = f"http://127.0.0.1:{server.server_port}/v1"
        words += ["lm=openai/slow", f"lm_api_base={base}", "strategy=history", "describer=none"]
    else:
        words += ["lm=none", "strategy=compose"]
    limit, told = seconds, ""
    try:
        for _ in range(TRIES):
            took, code, told = _ipo(folder, *words, f"--max-minutes={limit / 60}")
            asked = re.search(r"--max-minutes ([0-9.]+) or more", told)
            if asked is None:
                break
            least = 60 * float(asked[1])
            print(f"| {job} | {limit:.1f} | {took:.1f} | refused | {code} | | give {least:.1f} s or more |", flush=True)
            limit = least
    finally:
        server.shutdown()
    file = folder / "run" / "result.json"
    found: Any = json.loads(file.read_text()) if file.exists() else {"seconds": {"image": 0.0}, "left_out": told[-300:]}
    batch = found["seconds"]["image"] * BATCH / (classes * each)
    longest = max(batch, 0.5)  # a question is checked every half second
    over = took - limit
    row = [
        job,
        f"{limit:.1f}",
        f"{took:.1f}",
        f"{100 * over / limit:+.1f} %",
        code,
        f"{longest:.2f}",
        found["left_out"],
    ]
    print(f"| {' | '.join(map(str, row))} |", flush=True)
    return bool(over <= 0.1 * limit + longest)


def _ipo(folder: Path, *words: str) -> tuple[float, int, str]:
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "ipo_prompts", "optimize", *words],
        env=os.environ | {"IPO_CACHE_DIR": str(folder / "cache"), "OPENAI_API_KEY": "none-0123456789"},
        capture_output=True,
        text=True,
        check=False,
    )
    return time.monotonic() - started, ended.returncode, ended.stderr


def _make(folder: Path, classes: int, each: int) -> None:
    """Make pictures of noise, each another one, of classes named by common nouns."""
    rng = np.random.default_rng(0)
    for name in common(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")


class _Slow(BaseHTTPRequestHandler):
    """Answers in OpenAI's form, slowly."""

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(SLOW)
        templates = json.dumps([f"a photo of a <CLASS>, number {time.monotonic_ns() % 10**6}."])
        text = f"[[ ## templates ## ]]\n{templates}\n\n[[ ## completed ## ]]"
        reply = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "slow", **reply}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    sys.exit(main())
