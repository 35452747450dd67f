"""A compact vocabulary for training, spread over the stock one on export.

Some 26,000 of the 49,408 stock tokens occur in the words that are taught. All others share one row that is trained as
"some word of no language", so that such words disturb a template little and alike.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from tools.embedded.captions import UNKNOWN
from tools.embedded.vocabulary import phrases

STOCK_SIZE: Final = 49408
CONTEXT: Final = 48
UNKNOWN_ROW: Final = 0
GLUE: Final = "a an the of in on one my showing style type this . , : it is with - ’ 's"


class CompactTokenizer:
    """Stock BPE, with ids renumbered to the rows that captions use.

    Row 0 is the shared unknown word; start and end keep the two highest rows because
    open_clip finds the end of a text as its highest id.

    Args:
        words: names and other words that texts can hold besides what captions say.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._stock = SimpleTokenizer(context_length=CONTEXT)
        self._words: dict[str, list[int]] = {}
        used = {i for text in (*words, *phrases(), GLUE) for i in self._stock.encode(text)}
        self.stock_ids = [*sorted(used), STOCK_SIZE - 2, STOCK_SIZE - 1]
        self._row = {stock: row + 1 for row, stock in enumerate(self.stock_ids)}

    @property
    def size(self) -> int:
        """The number of rows of the compact embedding table."""
        return len(self.stock_ids) + 1

    def __call__(self, texts: list[str]) -> Tensor:
        """Return int64 (n, longest text): no padding to the full context, which halves the work."""
        return self.padded([self.encode(text) for text in texts])

    @staticmethod
    def padded(rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the rows of `encode` as int64 (n, longest row)."""
        longest = max(map(len, rows))
        return torch.tensor([[*row, *[UNKNOWN_ROW] * (longest - len(row))] for row in rows])

    def spread(self, table: Tensor) -> Tensor:
        """Return the stock embedding table (49408, width) of a compact one (size, width)."""
        full = table[UNKNOWN_ROW].expand(STOCK_SIZE, -1).clone()
        full[self.stock_ids] = table[1:]
        return full

    def gathered(self, full: Tensor) -> Tensor:
        """Return the compact embedding table (size, width) of a stock one, the reverse of `spread`.

        The row of unknown words is taken from a token that no text of ours holds.
        """
        unknown = next(i for i in range(STOCK_SIZE) if i not in self._row)
        return full[[unknown, *self.stock_ids]].clone()

    def knows(self, text: str) -> bool:
        """Whether every token of ``text`` has a row of its own."""
        return all(i in self._row for i in self._stock.encode(text))

    def encode(self, text: str) -> list[int]:
        """Return the rows of a text with start and end, cut to the context."""
        rows = [self._row[STOCK_SIZE - 2]]
        for word in text.split():
            if word.startswith(UNKNOWN):
                rows.append(UNKNOWN_ROW)
                word = word.removeprefix(UNKNOWN)
            if word not in self._words:
                self._words[word] = [self._row.get(i, UNKNOWN_ROW) for i in self._stock.encode(word)]
            rows += self._words[word]
        return [*rows[: CONTEXT - 1], self._row[STOCK_SIZE - 1]]
