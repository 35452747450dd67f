"""The text tower learns English from a sentence encoder: before it sees an image, and while it does.

Before, the tower places texts as the teacher does: a linear map, thrown away afterwards, takes the tower's embeddings
to the teacher's, and the similarities of the texts of a batch are alike in both spaces. While it learns captions,
it places every other word near the taught words that the teacher finds similar (`Interpreter`): "kitten" near "cat".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn
from torch.nn import functional

from tools.embedded.model import EMBEDDING, encode_texts
from tools.embedded.teacher import WIDTH
from tools.embedded.tokens import CompactTokenizer

EPOCHS: Final = 3
BATCH: Final = 256
_LEARNING_RATE: Final = 2e-3
_SIMILARITIES: Final = 20.0
"""Weight of the squared difference of similarities beside one minus the cosine; with it both are of one size."""
_SHARPNESS: Final = 2.5
"""Sharpness of the kernel: a sharper one finds no taught text like an untaught one, a flatter one finds all alike."""
_RIDGE: Final = 0.01


@dataclass(frozen=True)
class Lesson:
    """Texts as token rows, with the teacher's embeddings: float16 (n, 384)."""

    rows: list[list[int]]
    vectors: npt.NDArray[np.float16]

    def batches(self, rng: np.random.Generator, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass in random order, like lengths together: tokens int64 (size, longest), vectors float32 (size, 384).

        The longest texts that fill no batch are left out; if there are fewer texts than ``size``, all are one batch.
        """
        lengths = np.array([len(row) for row in self.rows]) + rng.random(len(self.rows))
        order = np.argsort(lengths, kind="stable")
        for start in rng.permutation(np.arange(0, max(1, len(order) - size + 1), size)):
            chosen = order[start : start + size]
            yield (
                CompactTokenizer.padded([self.rows[i] for i in chosen]),
                torch.from_numpy(self.vectors[chosen]).float(),
            )

    def forever(self, rng: np.random.Generator, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of pass after pass."""
        while True:
            yield from self.batches(rng, size)


class Interpreter:
    """Says where a text belongs among the captions that images have taught, from what the teacher says of it.

    Kernel ridge regression from the teacher's embeddings of taught texts to the tower's, with the kernel
    exp(s (cosine - 1)): a taught text stays where it is, another one lies between the taught ones that it is like.

    Args:
        rows: the taught texts, as token rows.
        vectors: the teacher's embeddings of these, (n, 384).
    """

    def __init__(self, rows: Sequence[Sequence[int]], vectors: npt.NDArray[np.float16]) -> None:
        self._tokens = [CompactTokenizer.padded(rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]
        self._known = torch.from_numpy(vectors).float()
        kernel = torch.exp(_SHARPNESS * (self._known @ self._known.T - 1))
        self._solver = torch.linalg.cholesky(kernel + _RIDGE * torch.eye(len(kernel)))
        self._weights = self._centre = torch.zeros(0)
        self._spread = 1.0

    def refit(self, model: CustomTextCLIP) -> None:
        """Learn where the tower places the taught texts now."""
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            said = torch.cat([functional.normalize(encode_texts(model, one).float(), dim=-1) for one in self._tokens])
        self._centre = said.mean(0)
        self._spread = float((said - self._centre).pow(2).sum(-1).mean())
        self._weights = torch.cholesky_solve(said - self._centre, self._solver)

    def surprise(self, model: CustomTextCLIP, tokens: Tensor, vectors: Tensor) -> Tensor:
        """Return how far the tower is from where some texts belong: a scalar.

        The scalar is the mean squared distance, divided by that of the taught texts from their centre. It is 0 when the
        tower places the texts where they belong.
        """
        wanted = torch.exp(_SHARPNESS * (vectors @ self._known.T - 1)) @ self._weights + self._centre
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = encode_texts(model, tokens)
        return (functional.normalize(said.float(), dim=-1) - wanted).pow(2).sum(-1).mean() / self._spread


def learn(model: CustomTextCLIP, lesson: Lesson, seed: int, epochs: int = EPOCHS) -> None:
    """Teach the text tower of ``model`` in place, before it sees an image."""
    to_teacher = nn.Linear(EMBEDDING, WIDTH, bias=False)
    parameters = [*model.text.parameters(), *to_teacher.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    steps, step, rng = epochs * max(1, len(lesson.rows) // BATCH), 0, np.random.default_rng(seed)
    for _ in range(epochs):
        for tokens, vectors in lesson.batches(rng, BATCH):
            step += 1
            rate = min(step / 100, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            for group in optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * rate
            loss = _unlike(model, to_teacher, tokens, vectors)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if step % 100 == 0 or step == steps:
                print(f"language: step {step} of {steps}, loss {loss.item():.3f}", flush=True)


def _unlike(model: CustomTextCLIP, to_teacher: nn.Linear, tokens: Tensor, vectors: Tensor) -> Tensor:
    """Return how far the tower is from its teacher on some texts: a scalar, 0 when both agree."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = encode_texts(model, tokens)
    said = functional.normalize(said.float(), dim=-1)
    cosine = functional.cosine_similarity(to_teacher(said), vectors).mean()
    similarities = ((said @ said.T - vectors @ vectors.T) ** 2).mean()
    return 1 - cosine + _SIMILARITIES * similarities
