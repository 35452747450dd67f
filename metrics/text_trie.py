"""Texts as a token trie: a beginning that several texts share is one path of nodes, so it is encoded once.

Nodes are numbered depth first, so a subtree is a range of numbers. This is how attention is packed: for any
range of nodes, all ancestors outside of it are on the path to its first node. A *tile* of neighbouring nodes therefore
attends to itself and to one path, and small dense tiles cover the attention of the whole trie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]

TILE = 64
"""Nodes per attention tile. Keys that a node does not see cost time too: (TILE + depth) / (12 · width) of the rest."""


@dataclass(frozen=True)
class Chunk:
    """Nodes that go through the tower together: those of some texts, and the path to the first of them once more.

    The arrays hold tiles · tile nodes; the last node is repeated up to there.

    Attributes:
        texts: which distinct texts end here, a range.
        tokens: (n,) token of each node.
        depths: (n,) position of each node in its texts.
        keys: (tiles, k) nodes that the nodes of a tile may attend to.
        seen: bool (tiles, tile, k), whether a node attends to a key: its ancestors and itself.
        ends: (texts,) node of each text that is pooled.
    """

    texts: range
    tokens: Ints
    depths: Ints
    keys: Ints
    seen: npt.NDArray[np.bool_]
    ends: Ints


class Trie:
    """The trie of token rows.

    Args:
        rows: (n, L) token ids.
        lengths: (n,) how many tokens of each row count; the last of them is pooled.

    Attributes:
        text_of: (n,) the distinct text that each row is; these are numbered from 0 in the order of their tokens.
        texts: number of distinct texts.
        nodes: number of nodes: the tokens of all texts, shared ones counted once.
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
        # Tokens that a text shares with the text before it: in this order, no earlier text shares more.
        same = np.logical_and.accumulate(self._rows[1:] == self._rows[:-1], axis=1).sum(axis=1)
        self._shared = np.append(0, np.minimum(same, self._lengths[:-1])).astype(np.int64)
        own = (columns >= self._shared[:, None]) & (columns < self._lengths[:, None])
        numbers = np.cumsum(own).reshape(own.shape) - 1
        self._path = np.maximum.accumulate(np.where(own, numbers, 0), axis=0)  # (texts, L) node at each position
        self._first = np.append(0, np.cumsum(self._lengths - self._shared))  # (texts + 1,) first own node of each text
        self.texts, self.nodes = len(self._rows), int(self._first[-1])

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Cut the trie between texts into parts of about equal, at most about `size` nodes."""
        count = -(-self.nodes // size)
        cuts = np.searchsorted(self._first, np.arange(count + 1) * self.nodes // count)
        for start, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            if end > start:
                yield self._chunk(start, end)

    def _chunk(self, start: int, end: int) -> Chunk:
        rows, shared, base = self._rows[start:end], int(self._shared[start]), int(self._first[start])
        columns = np.arange(rows.shape[1])
        # Ancestors from before this chunk are the first text's; they come first, then the chunk's own nodes.
        path = np.where(self._path[start:end] >= base, self._path[start:end] - base + shared, columns)
        own = (columns >= self._shared[start:end, None]) & (columns < self._lengths[start:end, None])
        own[0, :shared] = True
        row, depth = np.nonzero(own)
        tiles = -(-len(row) // TILE)
        tile = -(-len(row) // tiles)
        nodes = np.minimum(np.arange(tiles * tile), len(row) - 1)
        row, depth = row[nodes], depth[nodes]

        grid = nodes.reshape(tiles, tile)
        before = depth[grid[:, 0]]  # ancestors outside of each tile
        outside = columns[: int(before.max())]
        keys = np.hstack([path[row[grid[:, 0]]][:, : len(outside)], np.arange(tiles * tile).reshape(tiles, tile)])
        real = np.hstack([outside < before[:, None], np.arange(tiles * tile).reshape(tiles, tile) == grid])
        keys = np.where(real, keys, 0)
        on_path = path[row[grid][:, :, None], depth[keys][:, None, :]] == keys[:, None, :]
        seen = on_path & (depth[keys][:, None, :] <= depth[grid][:, :, None]) & real[:, None, :]
        ends = path[np.arange(end - start), self._lengths[start:end] - 1]
        return Chunk(range(start, end), rows[row, depth], depth, keys, seen, ends)
