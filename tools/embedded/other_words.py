"""Fits the embeddings of words that no caption holds, when the text tower has learnt the captions.

Everything else stays as it is, so that the lessons of captions are kept: a word gets the vector with which the tower
places the word's texts where the interpreter wants them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from open_clip.model import CustomTextCLIP

from tools.embedded.english import English
from tools.embedded.language import Interpreter
from tools.embedded.tokens import GLUE, UNKNOWN_ROW
from tools.embedded.vocabulary import phrases

EPOCHS: Final = 4
_LEARNING_RATE: Final = 3e-3
_PLAIN: Final = 192
_SENTENCES: Final = 128
"""Texts of the two lessons in one step."""


def fit_other_words(
    model: CustomTextCLIP, english: English, interpreter: Interpreter, seed: int, epochs: int = EPOCHS
) -> None:
    """Changes the rows of the token embedding that no caption uses, in place."""
    interpreter.refit(model)
    model.eval()
    table = model.text.token_embedding.weight
    free = torch.ones(len(table), 1)
    free[sorted(_said(english))] = 0
    model.requires_grad_(False)
    table.requires_grad_(True)
    optimizer = torch.optim.Adam([table], lr=_LEARNING_RATE)
    rng = np.random.default_rng(seed)
    others = english.sentences.forever(rng, _SENTENCES)
    steps, step = epochs * max(1, len(english.plain.rows) // _PLAIN), 0
    for _ in range(epochs):
        for lesson in english.plain.batches(rng, _PLAIN):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            loss = interpreter.surprise(model, *lesson) + interpreter.surprise(model, *next(others))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            assert table.grad is not None
            table.grad *= free
            optimizer.step()
    table.requires_grad_(False)


def _said(english: English) -> set[int]:
    """Return the tokens that captions can hold, including the unknown token."""
    texts = (*english.names, *phrases(), GLUE)
    return {UNKNOWN_ROW, *(token for text in texts for token in english.tokenizer.encode(text))}
