"""Encode templates with class names as class embeddings. All templates are encoded here.

There are two paths with the same result. The fast path is for open_clip's causal text towers. It is cheap because
nothing is padded and shared beginnings are encoded once (`text_pass.py`). The plain path is for all other towers: it
calls the model's own `encode_text`. The structure of a model decides its path. Before the fast path is first used for a
model, it is compared with `encode_text`.

Embeddings are not stored between calls, because a search encodes new templates nearly every time. Callers that need
embeddings again (a classifier, `features.py`) store them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn

from ipo_prompts.metrics.arrays import Floats, batches
from ipo_prompts.metrics.clock import check_clock
from ipo_prompts.metrics.device import halving, is_of_device
from ipo_prompts.metrics.template import SLOT, every_name, fill, is_plain, names_of
from ipo_prompts.metrics.text_pass import Ints, TextPass, Trie

TEXT_BATCH = 256
"""The number of texts in a forward pass: enough to keep the cores busy, few enough for a laptop's memory."""
TOGETHER = 20_000
"""The number of texts in a call: enough that many share their beginnings, few enough for the memory."""
NODES = {"cpu": 512}
"""The number of trie nodes in a pass, for each type of device.

On a CPU they are few enough that the activations stay in its cache, and enough for fast matrix products.
"""
NODES_ELSEWHERE = 8192
"""The number of trie nodes in a pass on a device that is not in `NODES`."""
TOLERANCE = 1e-5
"""The largest allowed difference between the two paths in a component of an embedding.

For half-precision weights, the rounding unit of their type is allowed instead.
"""


def encode_templates(model: Any, tokenizer: Any, templates: Sequence[str], class_names: Sequence[str]) -> Floats:
    """Encode every template with every class name. The result is the same as with open_clip's own `encode_text`.

    The embedding of a class with synonyms is the mean of the unit embeddings of its names, normalised again.

    Returns:
        The class embeddings of each template, float32 (T, C, D), unit rows, in the order given.
    """
    encode = partial(encode_texts, model, tokenizer)
    tokens = _filled(tokenizer, templates, class_names, _path(model))
    if tokens is None:
        rows = encode([fill(template, name) for template in templates for name in class_names])
    else:
        rows = _encoded(model, *tokens)
    rows = rows.reshape(len(templates), len(class_names), rows.shape[1])
    # Synonyms are encoded in a call of their own. So the embedding of a class with one name has the same bits as if no
    # class had synonyms.
    others = [(label, other) for label, name in enumerate(class_names) for other in names_of(name)[1:]]
    if not others or not templates:
        return rows
    more = encode([fill(template, other) for template in templates for _, other in others])
    more = more.reshape(len(templates), len(others), rows.shape[2])
    label_of = np.array([label for label, _ in others])
    for label in np.unique(label_of):
        sums = rows[:, label].astype(np.float64) + more[:, label_of == label].sum(axis=1, dtype=np.float64)
        rows[:, label] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return rows


def parts(templates: Sequence[str], class_names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the templates in parts. A part has few enough templates that its texts and embeddings fit into memory."""
    at_once = max(1, TOGETHER // max(1, len(every_name(class_names))))
    return batches(templates, at_once)


def encode_texts(model: Any, tokenizer: Any, texts: Sequence[str]) -> Floats:
    """Encode texts as they are. The result is the same as with open_clip's own `encode_text`.

    One call for all texts is cheapest, because a text that is in the list twice is encoded once.

    Returns:
        The embedding of each text, float32 (n, D), unit rows, in the order given; (0, 0) for no texts.
    """
    if not texts:
        return np.zeros((0, 0), dtype=np.float32)
    numbers: dict[str, int] = {}
    string_of = [numbers.setdefault(text, len(numbers)) for text in texts]
    return _encoded(model, *_tokens(tokenizer, list(numbers), _path(model)))[string_of]


def _encoded(model: Any, rows: Ints, lengths: Ints) -> Floats:
    """Return the embeddings of token rows, float32 (n, D), unit rows."""
    fast = _path(model).fast
    return (_by_trie(fast, rows, lengths) if fast else _by_length(model, rows, lengths)).numpy()


def encode_ensemble(model: Any, tokenizer: Any, templates: Sequence[str], class_names: Sequence[str]) -> Floats:
    """Return the class embeddings of an ensemble of templates, float32 (C, D), unit rows.

    The embedding of a class is the mean of its embeddings under the templates, normalised again, as in open_clip's
    `build_zero_shot_classifier`. Synonyms are averaged under each template first. The (T, C, D) tensor of all templates
    is never held in memory: see `parts`.
    """
    sums: Any = 0.0  # float64, so that the order of summation does not change the result
    for part in parts(templates, class_names):
        sums = sums + encode_templates(model, tokenizer, part, class_names).sum(axis=0, dtype=np.float64)
    return np.asarray((sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32))


def text_path(model: Any) -> str:
    """Return the path that encodes a model's texts, in words: "fast: …", or "plain: " and the reason.

    The first call for a model compares the two paths, if the fast path supports the model.
    """
    return _path(model).name


class _Path(NamedTuple):
    """The path that encodes the texts of a model.

    Attributes:
        name: the path in words; see `text_path`.
        fast: the fast path; None if the model's `encode_text` is used.
        pad: the padding token, if the tower masks padding itself, so that rows may be cut at the padding; else None.
    """

    name: str
    fast: TextPass | None = None
    pad: int | None = None


_PATHS: WeakKeyDictionary[nn.Module, _Path] = WeakKeyDictionary()


def _path(model: Any) -> _Path:
    """Return the path of a model. It is chosen once, at the first call for the model."""
    if not isinstance(model, nn.Module):
        return _Path("plain: the model is not a torch module")
    if model not in _PATHS:
        _PATHS[model] = _choose(model)
    return _PATHS[model]


def _choose(model: Any) -> _Path:
    """Choose the path of a model, by its structure and a comparison of the two paths."""
    pad = getattr(getattr(getattr(model, "text", None), "config", None), "pad_token_id", None)
    if pad is not None:
        if _masks(model, int(pad)):
            return _Path("plain: a Hugging Face text tower, padded to each batch's longest text", pad=int(pad))
        return _Path("plain: a Hugging Face text tower, padded to the full context")
    try:
        fast = TextPass(model)
    except (AttributeError, TypeError, ValueError) as error:
        return _Path(f"plain: {error}")
    why = _disagreement(model, fast)
    if why is None:
        return _Path("fast: causal text transformer, shared beginnings once, no padding", fast)
    warnings.warn(f"the fast text path {why}; texts take the model's own encode_text.", stacklevel=2)
    return _Path(f"plain: the fast path {why}")


def _masks(model: Any, pad: int) -> bool:
    """Whether a tower masks padding tokens, so that a text has the same embedding with fewer padding tokens."""
    ids = torch.full((2, 16), pad)
    ids[0, :6] = torch.arange(pad + 1, pad + 7)
    ids[1, :3] = torch.arange(pad + 3, pad + 6)
    try:
        return float((_plain(model, ids) - _plain(model, ids[:, :6])).abs().max()) <= TOLERANCE
    except (RuntimeError, ValueError, IndexError) as error:
        if is_of_device(error):
            raise
        return False


def _disagreement(model: Any, fast: TextPass) -> str | None:
    """Compare the two paths on two texts with the same beginning. One text is short, the other fills the context.

    Return how the fast path fails, as part of a sentence; None if the paths agree.
    """
    context, vocabulary = len(fast.tower.positional_embedding), fast.tower.token_embedding.num_embeddings
    end = vocabulary - 1 if fast.pooling == "argmax" or fast.end is None else fast.end
    ids = torch.from_numpy(np.random.default_rng(0).integers(1, vocabulary - 1, (2, context)))
    ids[ids == end] = vocabulary - 1 if end != vocabulary - 1 else 1
    ids[1, : context // 8] = ids[0, : context // 8]
    ids[0, context // 6 :] = 0
    ids[0, context // 6], ids[1, -1] = end, end
    try:
        difference = float((_by_trie(fast, ids.numpy(), fast.lengths(ids)) - _plain(model, ids)).abs().max())
    except (RuntimeError, AttributeError, TypeError, ValueError, IndexError) as error:
        if is_of_device(error):
            raise
        return f"does not run ({type(error).__name__}: {str(error)[:200]})"
    dtype = fast.tower.transformer.get_cast_dtype()
    if difference <= (TOLERANCE if dtype in (torch.float32, torch.float64) else torch.finfo(dtype).eps):
        return None
    return f"differs from encode_text by {difference:.1e}"


def _filled(
    tokenizer: Any, templates: Sequence[str], class_names: Sequence[str], path: _Path
) -> tuple[Ints, Ints] | None:
    """Return the tokens of all prompts, template after template, as `_tokens` does, in a fifth of the time.

    No token of open_clip's own tokenizer crosses a space. So a prompt is the words before the slot, the words that a
    name fills, and the words behind. Each is read once, not once for each prompt. Return None if the prompts have to be
    read one by one: for another tokenizer, a template with two slots, a text that is no plain ASCII, or one too long.
    """
    if path.fast is None or not templates or not getattr(tokenizer, "word_by_word", False):
        return None
    if not all(map(is_plain, (*templates, *map(str, class_names)))):
        return None
    names: dict[str, list[list[int]]] = {}
    texts: list[list[int]] = []
    for template in templates:
        head, _, tail = template.partition(SLOT)
        before, _, first = head.rpartition(" ")
        last, _, behind = tail.partition(" ")
        word = f"{first}{SLOT}{last}"
        if word not in names:
            names[word] = [tokenizer.encode(fill(word, name)) for name in class_names]
        start = [tokenizer.sot_token_id, *tokenizer.encode(before)]
        end = [*tokenizer.encode(behind), tokenizer.eot_token_id]
        texts += [start + inner + end for inner in names[word]]
    sizes = np.array(list(map(len, texts)))
    longest = sizes.max()
    if longest > tokenizer.context_length or any(template.count(SLOT) > 1 for template in templates):
        return None
    rows = np.zeros((len(texts), longest), np.int32)
    rows[np.arange(longest) < sizes[:, None]] = np.fromiter(chain.from_iterable(texts), np.int32)
    return rows, path.fast.lengths(torch.from_numpy(rows))


def _tokens(tokenizer: Any, texts: list[str], path: _Path) -> tuple[Ints, Ints]:
    """Return the tokens of each text, (n, L), and the number of tokens of each text that must be encoded, (n,).

    L is the largest of these numbers.
    """
    parts, lengths = [], []
    for some in batches(texts, TEXT_BATCH):
        tokens = tokenizer(some)
        if path.fast is not None:
            lengths.append(path.fast.lengths(tokens))
        elif path.pad is not None:
            real = (tokens != path.pad).numpy()
            lengths.append(np.maximum(1, real.shape[1] - real[:, ::-1].argmax(axis=1)))
        else:
            lengths.append(np.full(len(tokens), tokens.shape[1]))
        parts.append(tokens[:, : int(lengths[-1].max())].numpy().astype(np.int32))
    longest = max(part.shape[1] for part in parts)
    filler = 0 if path.pad is None else path.pad
    padded = [np.pad(part, ((0, 0), (0, longest - part.shape[1])), constant_values=filler) for part in parts]
    return np.concatenate(padded), np.concatenate(lengths)


def _by_trie(fast: TextPass, rows: Ints, lengths: Ints) -> torch.Tensor:
    """Encode token rows by the fast path. Return the embeddings, float32 (n, D), unit rows, on the CPU."""
    trie = Trie(rows, lengths)

    def encode(nodes: int) -> torch.Tensor:
        # They stay on the device until all are done: to fetch each chunk would wait for it.
        return torch.cat([_in_time(fast.run, chunk) for chunk in trie.chunks(nodes)]).cpu()

    return halving(encode, NODES.get(fast.device.type, NODES_ELSEWHERE))[torch.from_numpy(trie.text_of)]


def _by_length(model: Any, rows: Ints, lengths: Ints) -> torch.Tensor:
    """Encode token rows by the model's `encode_text`, in batches of rows of similar length.

    Return the embeddings, float32 (n, D), unit rows, on the CPU.
    """
    order = np.argsort(lengths, kind="stable")

    def encode(size: int) -> torch.Tensor:
        cut = (rows[batch, : int(lengths[batch].max())].astype(np.int64) for batch in batches(order, size))
        return torch.cat([_in_time(partial(_plain, model), torch.from_numpy(some)) for some in cut])

    return halving(encode, TEXT_BATCH)[torch.from_numpy(np.argsort(order))]


def _in_time(run: Callable[[Any], torch.Tensor], batch: Any) -> torch.Tensor:
    """Return `run(batch)`, unless the time of the run is used up."""
    check_clock()
    return run(batch)


@torch.inference_mode()
def _plain(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return the embeddings of token rows by the model's `encode_text`: float32 (n, D), unit rows, on the CPU."""
    device = next(model.parameters()).device
    return functional.normalize(model.encode_text(tokens.to(device)).float(), dim=-1).cpu()
