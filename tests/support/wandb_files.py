"""Reading what W&B recorded offline: `run-ID.wandb`, a log of its own protobuf records in LevelDB's framing.

The format: 7 bytes of head, then blocks of 32 KiB of chunks (checksum, length, kind, data); a record may span chunks
(https://github.com/google/leveldb/blob/main/doc/log_format.md). What the bytes mean is decoded by W&B's own classes.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
FULL, LAST = 1, 4


@dataclass
class Recorded:
    """What one offline run holds."""

    id: str = ""
    project: str = ""
    group: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[str]] = field(default_factory=dict)
    exit_code: int | None = None


def segments(folder: Path) -> list[Path]:
    """Return the offline runs below a run directory, oldest first: one for each session."""
    return sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))


def recorded(file: Path) -> Recorded:
    """Decode a whole `.wandb` file of a run that has ended; W&B writes its last block a moment later."""
    deadline = time.monotonic() + 20
    while (found := _decoded(file)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _decoded(file: Path) -> Recorded:
    found = Recorded()
    for record in _records(file.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.id, found.project, found.group = record.run.run_id, record.run.project, record.run.run_group
            found.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            found.rows.append({_name(item): json.loads(item.value_json) for item in record.history.item})
        elif kind == "summary":
            found.summary |= {_name(item): json.loads(item.value_json) for item in record.summary.update}
        elif kind == "artifact":
            paths = [entry.path for entry in record.artifact.manifest.contents]
            found.artifacts[f"{record.artifact.type}:{record.artifact.name}"] = paths
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _records(data: bytes) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    place, whole = 7, b""
    while place + 7 <= len(data):
        left = BLOCK - place % BLOCK
        if left < 7:  # too short for a chunk's head: filled with zeros
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record
