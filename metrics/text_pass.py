"""One pass of open_clip's causal text transformer over the nodes of a token trie.

This is exact because the mask is causal: the result at a position depends only on this position and the positions
before it. So texts with the same beginning have the same results there, and tokens after the pooled position do not
matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import nn


class TextPass:
    """Encodes texts with the text tower of an open_clip model. The weights of the model are used, not copied.

    Raises:
        ValueError: the structure of the tower is not supported; the message says how it differs.
    """

    def __init__(self, model: Any) -> None:
        self.tower = getattr(model, "text", model)
        if not all(hasattr(self.tower, name) for name in ("token_embedding", "positional_embedding", "transformer")):
            raise ValueError("it is not open_clip's own text transformer")
        self.pooling = str(getattr(self.tower, "text_pool_type", getattr(self.tower, "pool_type", "")))
        self.end: int | None = getattr(self.tower, "text_eos_id", getattr(self.tower, "eos_id", None))
        mask = getattr(self.tower, "attn_mask", None)
        causal = mask is not None and torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1))
        for is_another, why in (
            (getattr(self.tower, "cls_emb", None) is not None, "it pools a class token"),
            (not causal, "its attention is not causal"),
            (self.pooling not in ("argmax", "eos"), f"it pools the {self.pooling!r} position"),
            (getattr(self.tower, "output_tokens", False), "it returns tokens besides the embedding"),
        ):
            if is_another:
                raise ValueError(why)
        for block in self.tower.transformer.resblocks:
            attention = getattr(block, "attn", None)
            if not isinstance(attention, nn.MultiheadAttention):
                raise ValueError("its attention is custom")
            if attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn:
                raise ValueError("its attention has extra or separate keys")
            if not all(hasattr(block, name) for name in ("ln_1", "ln_2", "ls_1", "ls_2", "mlp")):
                raise ValueError("its blocks are custom")

    @property
    def device(self) -> torch.device:
        """The tower's device."""
        device: torch.device = self.tower.positional_embedding.device
        return device

    def lengths(self, tokens: torch.Tensor) -> Ints:
        """Return the number of tokens up to the pooled token in each row: (n,). `tokens` are token ids, (n, L).

        The embedding of a row depends only on these tokens.
        """
        at = (tokens if self.pooling == "argmax" else tokens.eq(self.end or 0).int()).argmax(dim=-1)
        return np.asarray((at + 1).numpy())

    @torch.inference_mode()
    def run(self, chunk: Chunk) -> torch.Tensor:
        """Return the embeddings of the texts of a chunk: float32 (texts, D), unit rows."""
        tower, device = self.tower, self.device
        dtype = tower.transformer.get_cast_dtype()
        arrays = chunk.tokens, chunk.depths, chunk.keys, chunk.ends, chunk.seen
        tokens, depths, keys, ends, seen = (_sent(torch.from_numpy(array), device) for array in arrays)
        seen = seen[:, None]
        mask = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, -torch.inf)
        x = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding[depths].to(dtype)
        *blocks, last = tower.transformer.resblocks
        for block in blocks:
            x = _finish(block, x, _attend(block.attn, block.ln_1(x), None, keys, mask))
        # No block follows the last block, so its output is computed only at the pooled nodes.
        x = _finish(last, x[ends], _attend(last.attn, last.ln_1(x), ends, keys, mask))
        x = tower.ln_final(x)
        projection = tower.text_projection
        if projection is not None:
            x = projection(x) if isinstance(projection, nn.Module) else x @ projection
        return functional.normalize(x.float(), dim=-1)


def _sent(array: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return an array on a device. A GPU takes it from pinned memory while the next chunk is made."""
    if device.type == "cuda":
        return array.pin_memory().to(device, non_blocking=True)
    return array.to(device)


def _attend(
    attention: nn.MultiheadAttention,
    x: torch.Tensor,
    wanted: torch.Tensor | None,
    keys: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Compute the attention of a block, in tiles.

    Args:
        attention: the attention layer.
        x: the normalised input of each node, (n, width).
        wanted: the numbers of the nodes whose output is needed; None if all are.
        keys, mask: the nodes that the nodes of a tile may attend to, (tiles, k), and what to add to their logits: 0 or
            -inf; see `Chunk`.

    Returns:
        The output of each wanted node, (n or len(wanted), width).
    """
    width, heads = attention.embed_dim, attention.num_heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    tiles, tile, count = mask.shape[0], mask.shape[2], keys.shape[1]
    asking = x if wanted is None else x[wanted]
    q = functional.linear(asking, weight[:width], None if bias is None else bias[:width])
    if wanted is not None:
        q = torch.zeros_like(x).index_copy_(0, wanted, q)
    kv = functional.linear(x, weight[width:], None if bias is None else bias[width:])
    kv = kv.index_select(0, keys.flatten()).view(tiles, count, 2, heads, width // heads).permute(2, 0, 3, 1, 4)
    q = q.view(tiles, tile, heads, width // heads).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(q, kv[0], kv[1], attn_mask=mask)
    mixed = mixed.transpose(1, 2).reshape(tiles * tile, width)
    if wanted is not None:
        mixed = mixed[wanted]
    return functional.linear(mixed, attention.out_proj.weight, attention.out_proj.bias)


def _finish(block: Any, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """Return the output of a block, from its input `x` and the output of its attention."""
    x = x + block.ls_1(attended)
    result: torch.Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return result


# The texts form a token trie: a beginning that several texts share is one path of nodes, so it is encoded once.
#
# Nodes are numbered depth first, so a subtree is a range of numbers. A *tile* is any range of nodes. The ancestors of a
# tile's nodes are in the tile, or on the path to its first node. So a tile attends to itself and to one path, and small
# dense tiles cover the attention of the whole trie.


Ints = npt.NDArray[np.signedinteger[Any]]

TILE = 64
"""The number of nodes in a tile of attention.

Keys that a node does not attend to cost time too: attention takes (TILE + depth) / (12 · width) of the rest's time.
"""


@dataclass(frozen=True)
class Chunk:
    """Nodes that go through the tower together.

    These are the nodes of some texts. The path to the first of these nodes is added, although an earlier chunk has
    encoded it. The arrays hold n = tiles · tile nodes; the last node is repeated to fill them.

    Attributes:
        tokens: the token of each node, (n,).
        depths: the position of each node in its texts, (n,).
        keys: the numbers of the nodes that the nodes of a tile may attend to, (tiles, k).
        seen: whether each node of a tile attends to each key of the tile, bool (tiles, tile, k). A node attends to its
            ancestors and to itself.
        ends: the number of the pooled node of each text, (texts,).
    """

    tokens: Ints
    depths: Ints
    keys: Ints
    seen: npt.NDArray[np.bool_]
    ends: Ints


class Trie:
    """The token trie of texts.

    Args:
        rows: the token ids of each text, (n, L).
        lengths: the number of tokens of each row up to the pooled token, (n,). Later tokens are not used.

    Attributes:
        text_of: the number of each row's text, (n,). Equal rows have the same number. Texts are numbered from 0 in the
            order of their tokens.
        texts: the number of distinct texts.
        nodes: the number of nodes. This is the number of tokens of all texts, with shared beginnings counted once.
    """

    def __init__(self, rows: Ints, lengths: Ints) -> None:
        columns = np.arange(int(lengths.max()))
        rows = np.where(columns < lengths[:, None], rows[:, : len(columns)], -1)
        order = np.lexsort(rows.T[::-1])
        rows, lengths = rows[order], lengths[order]
        new = np.append(True, (rows[1:] != rows[:-1]).any(axis=1))
        self.text_of = np.empty(len(rows), dtype=np.int64)
        self.text_of[order] = np.cumsum(new) - 1
        self._rows, self._lengths = rows[new], lengths[new]
        # The number of tokens that a text shares with the text before it. In this order, no earlier text shares more.
        same = np.logical_and.accumulate(self._rows[1:] == self._rows[:-1], axis=1).sum(axis=1)
        self._shared = np.append(0, np.minimum(same, self._lengths[:-1])).astype(np.int64)
        own = (columns >= self._shared[:, None]) & (columns < self._lengths[:, None])
        numbers = np.cumsum(own).reshape(own.shape) - 1
        # The node of each text at each position, (texts, L); then the first node of each text's own, (texts + 1,).
        self._path = np.maximum.accumulate(np.where(own, numbers, 0), axis=0)
        self._first = np.append(0, np.cumsum(self._lengths - self._shared))
        self.texts, self.nodes = len(self._rows), int(self._first[-1])

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield the trie in chunks, in the order of the texts. No text is cut.

        Chunks are of about equal size, with at most about `size` nodes.
        """
        count = -(-self.nodes // size)
        cuts = np.searchsorted(self._first, np.arange(count + 1) * self.nodes // count)
        for start, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            if end > start:
                yield self._chunk(start, end)

    def _chunk(self, start: int, end: int) -> Chunk:
        """Return the chunk of the texts with the numbers from `start` to `end` - 1."""
        rows, shared, base = self._rows[start:end], int(self._shared[start]), int(self._first[start])
        columns = np.arange(rows.shape[1])
        # Ancestors from before this chunk are ancestors of its first text. They get the first numbers in the chunk, and
        # the chunk's own nodes get the next numbers.
        path = np.where(self._path[start:end] >= base, self._path[start:end] - base + shared, columns)
        own = (columns >= self._shared[start:end, None]) & (columns < self._lengths[start:end, None])
        own[0, :shared] = True
        row, depth = np.nonzero(own)
        tiles = -(-len(row) // TILE)
        tile = -(-len(row) // tiles)
        nodes = np.minimum(np.arange(tiles * tile), len(row) - 1)
        row, depth = row[nodes], depth[nodes]

        grid = nodes.reshape(tiles, tile)
        before = depth[grid[:, 0]]  # the number of ancestors outside of each tile
        outside = columns[: int(before.max())]
        keys = np.hstack([path[row[grid[:, 0]]][:, : len(outside)], np.arange(tiles * tile).reshape(tiles, tile)])
        real = np.hstack([outside < before[:, None], np.arange(tiles * tile).reshape(tiles, tile) == grid])
        keys = np.where(real, keys, 0)
        on_path = path[row[grid][:, :, None], depth[keys][:, None, :]] == keys[:, None, :]
        seen = on_path & (depth[keys][:, None, :] <= depth[grid][:, :, None]) & real[:, None, :]
        ends = path[np.arange(end - start), self._lengths[start:end] - 1]
        return Chunk(rows[row, depth], depth, keys, seen, ends)
