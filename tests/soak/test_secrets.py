"""The keys of the environment are in nothing that a run writes, W&B's own files included."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer, Reply, error, good, listed, templates
from support.runs import Ended
from support.wandb_files import recorded, segments

KEYS = {
    "OPENAI_API_KEY": "sk-canary/Zm9v+bar=baz?x&y%41~Q",
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "canary00",
    "HF_TOKEN": "hf_canaryCANARYcanary",
    "AWS_SECRET_ACCESS_KEY": "canary+/secret=",
    "client_secret": "canary of a client",
}


def told(asked: Asked) -> Reply:
    """Give every key back."""
    if asked.pictures:
        return Reply(f"[[ ## description ## ]]\nA picture signed {' '.join(KEYS.values())}.\n\n[[ ## completed ## ]]")
    hidden = [f"a photo {key} of a <CLASS>." for key in KEYS.values()]
    return Reply(listed(asked, [*templates(asked), *hidden]), headers={"X-Key": KEYS["HF_TOKEN"]})


@pytest.fixture()
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "NAME", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    if sys.modules.get("wandb"):
        sys.modules["wandb"].teardown()


def test_no_key_is_written(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    keys: None,
    server: OpenAIServer,
    out: Path,
    cache: Path,
    quick: list[float],
    record_property: Callable[[str, object], None],
) -> None:
    server.script.extend([error(500, " ".join(KEYS.values())), error(429, KEYS["OPENAI_API_KEY"])])
    server.behave = told
    vision = ("--describer=openai/vision-model", f"describer_api_base={server.base}", "described_pictures=2")
    ended = run("track=wandb", "steps=3", *vision)
    assert ended.code == 0, ended.err
    server.behave = good
    again = resume()
    assert again.code == 0
    assert recorded(segments(out)[-1]).exit_code == 0
    if sys.modules.get("wandb"):
        sys.modules["wandb"].teardown()
    files = [
        file for place in (out, cache) for file in place.rglob("*") if file.is_file() and "models" not in file.parts
    ]
    written = {str(file): file.read_bytes() for file in files}
    written |= {"the screen": (ended.out + ended.err + again.out + again.err).encode()}
    written |= {"a later question": "".join(asked.text for asked in server.asked).encode()}
    assert any(name.endswith(".wandb") for name in written)
    record_property("tried", len(written))
    found = [(name, key) for name, content in written.items() for key in KEYS.values() if key.encode() in content]
    assert not found
