"""The paper's main table rehearsed at its size: eleven data sets, a server that counts, processes that are killed.

The data sets have the published class names, in CoOp's form, and pictures of one colour. Each train picture is another
one, because a reply about a picture is kept for equal pictures; all other pictures are one file. The server speaks the
protocols of OpenAI and of Ollama. It refuses a question that has, with its reply, more than `WINDOW` tokens. It writes
printed templates with one word more, and descriptions of random words. The exit code is 1 when a goal is missed.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from benchmarks.common import arguments
from benchmarks.lab.commands import start
from ipo_prompts.experiments.compare.published import library
from ipo_prompts.experiments.data.benchmarks import REGISTRY, ROOT_VARIABLE
from ipo_prompts.metrics.nouns import common
from ipo_prompts.programs.record.journal import read
from ipo_prompts.programs.strategies.window import Window, window_of
from tests.support.openai_server import LOOKS, Asked, OpenAIServer, Reply, error, listed

PUBLISHED = Path(__file__).parents[1] / "tests/experiments/data/benchmarks/fixtures/published.json"
MODEL, WINDOW = "openai/gpt-3.5-turbo", 16_385
PUBLISHED_LENGTH = "27 to 67"
LENGTHS = {PUBLISHED_LENGTH: (27, 67), "200": (200, 200)}
"""Tokens of a description: those of the published files, and longer ones."""
SMALLEST = "eurosat,dtd"
"""The sets that the grid begins with, so that a price after replies can be told. Their classes have enough train
pictures for sixteen shots."""
ROWS = "baseline,hand-written,ensemble-80,best-of-80,waffle,no-history,shuffled,ipo-paper,ipo-code,ipo-default"
"""All rows of the grid but CoOp's two, which train for 50 epochs."""
FEW = "baseline,no-history,ipo-paper,ipo-code,ipo-default"
PARTS, KILLED = 4, 2


def main() -> int:
    """Rehearse, and print a table."""
    given = arguments(__doc__, keep={"default": "", "help": "a folder for data and runs, which stays"})
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OMP_NUM_THREADS": "1"}
        began, folder = time.monotonic(), Path(given.keep or scratch)
        data = SMALLEST.split(",") if given.small else list(json.loads(PUBLISHED.read_text()))
        make_root(folder / "root", data, 6 if given.small else 1000)
        print("| what | found | goal | |\n| --- | --- | --- | --- |", flush=True)
        desk, other = (Desk(folder, data, length) for length in LENGTHS)
        if given.small:
            few = "baseline,ipo-paper"
            desk.parts(few, desk.whole(few, data), parts=2, killed=1)
        else:
            with ThreadPoolExecutor(1) as beside:  # a core for each length
                ended = beside.submit(other.rest)
                alone = desk.main_table(ROWS)
                ended.result()
            desk.parts(ROWS, alone, parts=PARTS, killed=KILLED)
        desk.missing()
        print(f"{time.monotonic() - began:.0f} s in all", file=sys.stderr)
        return 1 if desk.missed or other.missed else 0


class Ended(NamedTuple):
    """A command that has ended: its exit code, its answer and its messages."""

    code: int | None
    out: str
    err: str


class Desk:
    """A folder with runs, and a server beside it that describes pictures in as many tokens as `LENGTHS` says.

    Attributes:
        server: the server; `answer` writes its replies.
        longest: the most tokens of a question.
        too_long: how many questions the server refused.
        missed: whether a goal was missed.
    """

    def __init__(self, folder: Path, data: Sequence[str], length: str) -> None:
        self.root, self.folder, self.data, self.length = (
            folder / "root",
            folder / length.replace(" ", "-"),
            data,
            length,
        )
        self.longest, self.too_long, self.missed = 0, 0, False
        self.folder.mkdir()
        self.server = OpenAIServer()
        self.server.behave = self.answer
        found = window_of(MODEL)
        assert found is not None
        self.window: Window = found
        self.templates = [row.template for table in library().templates for row in table.rows]
        self.nouns = [noun for noun in common(1000) if self.window.count(f" {noun}") == 1]

    def answer(self, asked: Asked) -> Reply:
        """Answer as the describer or the optimizer does, or refuse."""
        if "messages" not in asked.body:
            return Reply(body="{}")
        rng = random.Random(asked.same)
        if asked.path.endswith("/api/chat"):
            length = rng.randint(*LENGTHS[self.length])
            text = " ".join(rng.choices(self.nouns, k=length))  # each has one token
            content = f"[[ ## description ## ]]\n{text}\n\n[[ ## completed ## ]]"
            told = {"message": {"role": "assistant", "content": content}, "done": True, "done_reason": "stop"}
            counts = {"prompt_eval_count": 800, "eval_count": self.window.count(content)}
            return Reply(body=json.dumps({"model": asked.body["model"], "created_at": "", **told, **counts}))
        tokens_in = self.window.count(asked.text) + 4 * len(asked.body["messages"])
        self.longest = max(self.longest, tokens_in)
        if tokens_in + (asked.body.get("max_tokens") or 0) > WINDOW:
            self.too_long += 1
            return error(400, f"This model's maximum context length is {WINDOW} tokens.")
        if "[[ ## kinds ## ]]" in asked.text:
            content = '[[ ## kinds ## ]]\n["oddment"]\n\n[[ ## pictures ## ]]\n[]\n\n[[ ## completed ## ]]'
        else:
            made = [(rng.choice(self.templates), rng.choice(LOOKS)) for _ in range(asked.count)]
            content = listed(asked, [text.replace("<CLASS>", f"{look} <CLASS>", 1) for text, look in made])
        tokens_out = self.window.count(content)
        return Reply(content, usage={"prompt_tokens": tokens_in, "completion_tokens": tokens_out})

    def whole(self, rows: str, data: Sequence[str]) -> Path:
        """Run the grid on data sets, and look whether all is there that must be. Return the folder of the grid."""
        out = self.folder / "whole"
        self.ipo(*self.grid(out, rows, data), "--json")
        wanted = len(rows.split(",")) * len(data)
        cells = [json.loads(file.read_text()) for file in out.glob("cells/*/*/*/cell.json")]
        scored = sum(not cell.get("absent") and not cell.get("gaps") for cell in cells)
        found = (
            f"{scored} cells with every score; {self.longest:,} tokens in the longest question, {self.too_long} refused"
        )
        good = scored == wanted and not self.too_long
        self.say(f"{len(data)} sets", found, f"{wanted} cells, 0 refused", good=good)
        return out

    def main_table(self, rows: str) -> Path:
        """Run the grid, first on its smallest sets; compare the likely prices with those of what the server counts.

        Rows without a likely price are left out of both.

        Return the folder of the grid.
        """
        words, first = [*self.grid(self.folder / "whole", rows, self.data), "--dry-run", "--json"], SMALLEST.split(",")
        before = json.loads(self.ipo(*words).out)["rows"]
        self.whole(rows, first)
        after = json.loads(self.ipo(*words).out)["rows"]
        out = self.whole(rows, self.data)
        self.price("before", before, out, (), 2.0 if self.length == PUBLISHED_LENGTH else None)
        self.price(f"after {SMALLEST}", after, out, first, 1.25)
        self.say("paid twice", *self.twice(self.server.asked, out))
        return out

    def price(self, when: str, rows: dict[str, Any], out: Path, done: Sequence[str], goal: float | None) -> None:
        """Compare a likely price with that of what the server counted in the cells of all sets but those `done`."""
        known = {label: row["likely"] for label, row in rows.items() if row["likely"] is not None}
        counted = 0.0
        for file in out.glob("cells/*/*/*/cell.json"):
            cell = json.loads(file.read_text())
            if file.parents[1].name in known and cell["cell"]["data"] not in done and cell["budget"]:
                counted += cell["budget"]["usd"]
        ratio = sum(known.values()) / counted
        found = f"likely ${sum(known.values()):.4f}, counted ${counted:.4f}: {ratio:.2f}"
        without = ", ".join(label for label in rows if label not in known)
        found += f"; not known: {without}" if without else ""
        goals = f"within {goal}" if goal else "none"
        self.say(f"price {when}", found, goals, good=goal is None or 1 / goal <= ratio <= goal)

    def parts(self, rows: str, whole: Path, parts: int, killed: int) -> None:
        """Let processes do parts of the grid, some of which are killed and started again; compare with the table."""
        rng, out = random.Random(0), self.folder / "parts"
        before = len(self.server.asked)
        words = self.grid(out, rows, self.data)
        commands = [[*words, "--part", f"{part}/{parts}"] for part in range(1, parts + 1)]
        running = [self.part(command) for command in commands]
        landed = 0
        for place in rng.sample(range(parts), killed):
            until = len(self.server.asked) + 2 + rng.randrange(before // 16)
            while len(self.server.asked) < until and running[place].is_alive():
                time.sleep(0.01)
            landed += running[place].is_alive()
            running[place].kill()
            running[place].join()
            running[place] = self.part(commands[place])
        for one in running:
            one.join()
        codes = [one.exitcode for one in running]
        self.ipo(*words, cache="parts")
        same = (out / "table.json").read_bytes() == (whole / "table.json").read_bytes()
        found = f"exit codes {codes}, killed at work: {landed}; the same table: {same}"
        self.say(f"{parts} parts", found, "the same table", good=same and not any(codes) and landed == killed)
        self.say("parts: paid twice", *self.twice(self.server.asked[before:], out, lost=4 * landed))

    def part(self, words: Sequence[str]) -> BaseProcess:
        """Start a process that does a part."""
        return self.start(*words, cache="parts", said=self.folder / words[-1].replace("/", "-"))

    def twice(self, asked: Sequence[Asked], out: Path, lost: int = 0) -> tuple[str, str, bool]:
        """Return how many replies were sent beyond those that the runs have; a killed process loses some on their way.

        A body can rightly come twice, where a search wants another sample. So replies are told apart by the journals.
        """
        sent = sum(one.delivered and "messages" in one.body for one in asked)
        kept = {
            (file.parents[1].name, event["key"], event["index"])
            for file in out.glob("cells/*/*/*/run/journal.jsonl")
            for event in read(file.parent)
            if event["type"] == "lm" and not event["cached"]
        }
        return f"{sent - len(kept)} of {sent} replies", f"at most {lost}", 0 <= sent - len(kept) <= lost

    def rest(self) -> None:
        """Run the few rows, the first look, and a row in both precisions."""
        self.main_table(FEW)
        self.first_look()
        self.precision()

    def first_look(self) -> None:
        """Run the first look on two of its sets, and read its cells, whole and damaged."""
        out = self.folder / "first-look"
        looked = self.ipo("benchmark", "first-look", f"data={SMALLEST}", "clip=embedded", "--out", str(out))
        cells = out / "cells.jsonl.gz"
        read = self.ipo("report", str(cells), "--out", str(self.folder / "read"))
        self.say(
            "first-look",
            f"exit {looked.code}, report {read.code}",
            "0",
            not looked.code and not read.code,
        )
        damaged = self.folder / "damaged.jsonl.gz"
        text = bytearray(gzip.decompress(cells.read_bytes()))
        text[len(text) // 2] ^= 1
        damaged.write_bytes(gzip.compress(text))
        self.refused("report of a changed file", "report", str(damaged))
        damaged.write_bytes(cells.read_bytes()[:-500])
        self.refused("report of a cut file", "report", str(damaged))

    def precision(self) -> None:
        """Run one row in both precisions, and look into the cells."""
        grid = self.folder / "precision.yaml"
        rows = [
            {"label": f"hand-written in {one}", "method": "hand-written", "settings": {"precision": one}}
            for one in ("fp16", "fp32")
        ]
        words: dict[str, Any] = {
            "title": "precision",
            "protocol": "few-shot",
            "data": ["eurosat"],
            "seeds": [1],
            "methods": rows,
        }
        words |= {"reference": "hand-written in fp32", "settings": {"clip": "embedded", "lm": "none"}}
        grid.write_text(json.dumps(words))
        out = self.folder / "precision"
        self.ipo("benchmark", str(grid), "--out", str(out))
        found = sorted(json.loads(file.read_text())["precision"] for file in out.glob("cells/*/*/*/cell.json"))
        self.say("precision in the cells", ", ".join(found), "fp16, fp32", good=found == ["fp16", "fp32"])

    def missing(self) -> None:
        """Ask for the price with one data set absent and two broken."""
        absent, broken = SMALLEST.split(",")
        empty = "" if len(self.data) == 2 else "caltech101"
        root = self.root
        (root / REGISTRY[absent].folder).rename(self.folder / "absent")
        (root / REGISTRY[broken].folder / str(REGISTRY[broken].split_file)).write_text("{}")
        if empty:
            (root / REGISTRY[empty].folder / REGISTRY[empty].pictures).rename(self.folder / "empty")
        told = self.ipo(*self.grid(self.folder / "missing", FEW, self.data), "--dry-run", code=2)
        for line in told.err.strip().splitlines():
            self.say("one absent, others broken", line.replace(str(self.folder), ""), "exit 2", told.code == 2)

    def refused(self, what: str, *words: str) -> None:
        """Run a command that must end with one sentence."""
        told = self.ipo(*words, code=2)
        lines = told.err.strip().splitlines()
        self.say(what, f"exit {told.code}: {' / '.join(lines)}", "one line", told.code == 2 == len(lines) + 1)

    def grid(self, out: Path, rows: str, data: Sequence[str]) -> list[str]:
        """Return the words of the main grid: all settings but those that are made smaller here."""
        base = self.server.base.removesuffix("/v1")
        words = [f"data={','.join(data)}", "clip=embedded", "steps=5", "seeds=1", f"lm_api_base={base}/v1"]
        words += [f"describer_api_base={base}", f"methods={rows}", "--out", str(out)]
        return ["benchmark", "main-1-shot", *words]

    def ipo(self, *words: str, code: int = 0, cache: str = "cache") -> Ended:
        """Run a command to its end; show what it says where it ends otherwise than expected."""
        started, said = time.monotonic(), self.folder / str(time.monotonic_ns())
        process = self.start(*words, cache=cache, said=said)
        process.join()
        print(f"{time.monotonic() - started:.0f} s: ipo {' '.join(words)[:90]}", file=sys.stderr, flush=True)
        ended = Ended(process.exitcode, *(said.with_suffix(ending).read_text() for ending in (".out", ".err")))
        if ended.code != code:
            print(ended.err[-3000:], file=sys.stderr, flush=True)
        return ended

    def start(self, *words: str, cache: str, said: Path) -> BaseProcess:
        """Start a command."""
        around = {"IPO_CACHE_DIR": cache, "IPO_STATE_DIR": "state"}
        around = {name: str(self.folder / folder) for name, folder in around.items()}
        return start(words, {**around, "OPENAI_API_KEY": "none-0123456789", ROOT_VARIABLE: str(self.root)}, said)

    def say(self, what: str, found: str, goal: str, good: bool) -> None:
        """Print a row of the table."""
        self.missed |= not good
        print(f"| {self.length}: {what} | {found} | {goal} | {'' if good else '(!)'} |", flush=True)


def make_root(root: Path, data: Sequence[str], classes: int) -> None:
    """Make data sets in CoOp's form, with the published class names."""
    root.mkdir(parents=True)
    shared, colours = root / "picture.png", iter(range(1 << 24))
    _picture(shared, next(colours))
    for name in data:
        entry, names = REGISTRY[name], json.loads(PUBLISHED.read_text())[name]["classes"][:classes]
        folder = root / entry.folder
        each = {"train": 16, "val": 4, "test": 2} if name in SMALLEST else {"train": 2, "val": 2, "test": 2}
        if entry.rule == "imagenet":
            each.pop("val")
        split: dict[str, list[tuple[str, int, str]]] = {part: [] for part in each}
        for part, count in each.items():
            for label, of_class in enumerate(names):
                below = f"{'val' if part == 'test' else part}/n{label:08d}/" if entry.rule == "imagenet" else ""
                for i in range(count):
                    path = f"{below}{part}-{label}-{i}.jpg"
                    split[part].append((path, label, of_class))
                    file = folder / entry.pictures / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    if part == "train":
                        _picture(file, next(colours))
                    else:
                        os.link(shared, file)
        if entry.rule == "imagenet":
            lines = [f"n{label:08d} {of_class}\n" for label, of_class in enumerate(names)]
            (folder / "classnames.txt").write_text("".join(lines))
        elif entry.rule == "variants":
            (folder / "variants.txt").write_text("".join(f"{of_class}\n" for of_class in names))
            for part, rows in split.items():
                lines = [f"{path.removesuffix('.jpg')} {of_class}\n" for path, _, of_class in rows]
                (folder / f"images_variant_{part}.txt").write_text("".join(lines))
        else:
            (folder / str(entry.split_file)).write_text(json.dumps(split))


def _picture(file: Path, colour: int) -> None:
    Image.new("RGB", (8, 8), (colour * 97 % 256, colour // 256 % 256, colour % 256)).save(file, "PNG")


if __name__ == "__main__":
    sys.exit(main())
