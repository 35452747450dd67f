"""open_clip's text tower with learned vectors in the place of a prompt's first words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import nn

from ipo_prompts.metrics.class_names import refuse_synonyms
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import check, fill
from ipo_prompts.metrics.text_pass import TextPass
from ipo_prompts.metrics.text_tower import text_path

TEMPLATE = "a photo of a <CLASS>."


class ContextTower:
    """Encodes `V1 … VM CLASS.`: the template `a photo of a <CLASS>.` with its words before the class replaced.

    Args:
        clip: the frozen encoder; its text tower has to be open_clip's causal one, which is checked as the fast text
            path is.

    Attributes:
        words: float32 (M, width), the embeddings of the words that are replaced.

    Raises:
        InputError: the tower has another structure.
    """

    def __init__(self, clip: Clip) -> None:
        path = text_path(clip.model)
        if not path.startswith("fast"):
            raise InputError(
                f"coop cannot put learned vectors into the text tower of {clip.name} ({path.removeprefix('plain: ')}); "
                "leave coop out for this CLIP."
            )
        self._clip = clip
        self._pass = TextPass(clip.model)
        self._tower = self._pass.tower
        self._replaced = clip.count(TEMPLATE.partition("<CLASS>")[0].strip()) - 2  # without start and end
        ids = self.tokens(["dog"])[0, 1 : 1 + self._replaced]
        self.words: torch.Tensor = self._tower.token_embedding(ids).detach().float()

    def tokens(self, class_names: Sequence[str]) -> torch.Tensor:
        """Return the tokens of the filled template, cut after the longest text: int64 (C, L).

        Raises:
            InputError: a class name is too long for the context.
        """
        refuse_synonyms(class_names, "coop learns with one name a class")
        check(TEMPLATE, class_names, self._clip)
        rows: torch.Tensor = self._clip.tokenizer([fill(TEMPLATE, name) for name in class_names])
        return rows[:, : int(self._pass.lengths(rows).max())].to(self._pass.device)

    def encode(self, context: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Encode texts with `context` in the place of the words; differentiable in `context`.

        Args:
            context: (M, width).
            tokens: int64 (C, L), as `tokens` returns them.

        Returns:
            float32 (C, D), unit rows.
        """
        tower, length = self._tower, tokens.shape[1]
        dtype = tower.transformer.get_cast_dtype()
        x = tower.token_embedding(tokens).to(dtype)
        learned = context.to(dtype).expand(len(tokens), -1, -1)
        x = torch.cat([x[:, :1], learned, x[:, 1 + self._replaced :]], dim=1)
        x = x + tower.positional_embedding[:length].to(dtype)
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length].to(dtype))
        ends = torch.from_numpy(self._pass.lengths(tokens.cpu())).to(x.device) - 1
        x = tower.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = tower.text_projection
        if projection is not None:
            x = projection(x) if isinstance(projection, nn.Module) else x @ projection
        return functional.normalize(x.float(), dim=-1)
