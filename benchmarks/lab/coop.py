"""CoOp (Zhou et al., IJCV 2022): learned context vectors, for `methods=benchmarks.lab.coop:CoOp`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipo_prompts.experiments.compare.executors import computing_with
from ipo_prompts.experiments.compare.methods import (
    FittedEmbeddings,
    Method,
)
from ipo_prompts.experiments.data import Item
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import check_template, fill, refuse_synonyms
from ipo_prompts.metrics.text_pass import TextPass
from ipo_prompts.metrics.text_tower import text_path

if TYPE_CHECKING:
    import torch

BATCH = 32
RATE = 0.002
WARM_UP_RATE = 1e-5
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
CLASSES_AT_ONCE = 256


class CoOp(Method):
    """Learns M = 4 context vectors, which start from the words `a photo of a` and which all classes share.

    The start, optimiser, schedule and batches are those of the published base-to-new and cross-dataset rows, which were
    made with Dassl (Zhou et al., https://github.com/KaiyangZhou/CoOp): SGD with momentum, 50 epochs for one shot, 100
    up to four, 200 above, 50 on ImageNet; see `learning_rates` and `batches_of_an_epoch`. The vectors after the last
    epoch are used. `differs` lists the differences from the publication.

    Each step is a forward and backward pass of the text tower over all classes. That takes seconds with the demo CLIP;
    a ViT-B/16 needs a GPU.

    Args:
        epochs: the number of epochs; None takes the published number, 0 keeps the starting words.
    """

    label = "CoOp (learned context)"
    same_labels = False
    """Whether to train on the validation images, too. The published rows do not: they have nothing to choose."""
    unlike = (
        "an image is encoded once, with the clean transform that all methods see, where the published runs crop and "
        "flip it at random in every epoch; arithmetic is in 32 bits, where theirs is in 16"
    )

    def __init__(self, epochs: int | None = None) -> None:
        self._epochs = epochs

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return how many images of each class CoOp is trained on."""
        return super().labelled_per_class(config) if self.same_labels else config.shots

    def fit(self, lesson: Prepared) -> LearnedContext:
        """Train the context vectors.

        Raises:
            InputError: learned vectors cannot be put into this CLIP's text tower.
        """
        tower = ContextTower(lesson.clip)
        drawn = lesson.plan.drawn
        items = (*drawn.train, *drawn.val) if self.same_labels else drawn.train
        # Use one thread: the rounding of a sum depends on how threads split it, and training amplifies roundings.
        with computing_with(1):
            return LearnedContext(tower, self._learn(tower, lesson, items))

    def _learn(self, tower: ContextTower, lesson: Prepared, items: Sequence[Item]) -> torch.Tensor:
        import torch
        from torch.nn.functional import cross_entropy

        config, tokens = lesson.config, tower.tokens(lesson.reward.class_names)
        features = lesson.store.encode([item.image for item in items])
        images = torch.from_numpy(features).to(tokens.device)
        labels = torch.tensor([item.label for item in items], device=tokens.device)
        shots = self.labelled_per_class(config)
        epochs = _published_epochs(config.data, shots) if self._epochs is None else self._epochs
        context = tower.words.clone().requires_grad_(True)
        optimizer = torch.optim.SGD([context], lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        shuffle = torch.Generator().manual_seed(config.seed)
        for rate in learning_rates(epochs):
            optimizer.param_groups[0]["lr"] = rate
            order = torch.randperm(len(labels), generator=shuffle).to(tokens.device)
            for batch in torch.split(order, BATCH)[: batches_of_an_epoch(len(labels))]:
                logits = lesson.clip.logit_scale * images[batch] @ tower.encode(context, tokens).T
                optimizer.zero_grad()
                cross_entropy(logits, labels[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return context.detach()


class SameLabels(CoOp):
    """CoOp that sees as many labels as IPO."""

    label = "CoOp trained on the validation images, too"
    same_labels = True


@dataclass(frozen=True)
class LearnedContext(FittedEmbeddings):
    """Learned context vectors.

    Attributes:
        tower: the text tower that the vectors belong to.
        context: the vectors, float32 (M, width).
    """

    tower: ContextTower
    context: torch.Tensor

    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Return the embedding of each class: the vectors followed by the class name; see `FittedEmbeddings`."""
        import torch

        tokens = self.tower.tokens(class_names)
        with torch.no_grad():
            rows = [self.tower.encode(self.context, some).cpu() for some in torch.split(tokens, CLASSES_AT_ONCE)]
        embeddings: Floats = torch.cat(rows).numpy()
        return embeddings


def learning_rates(epochs: int) -> Iterator[float]:
    """Yield the learning rate of each epoch, as in Dassl: the warm-up rate in the first epoch, then a cosine.

    The cosine spans `epochs` epochs and begins after the warm-up. So training ends one epoch before the cosine does.

    >>> [round(rate, 6) for rate in learning_rates(50)][:3]
    [1e-05, 0.002, 0.001998]
    """
    for epoch in range(epochs):
        yield RATE * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2 if epoch else WARM_UP_RATE


def batches_of_an_epoch(images: int) -> int:
    """Return the number of steps of an epoch. As in Dassl, an incomplete batch is used only if it is the only batch.

    >>> [batches_of_an_epoch(images) for images in (5, 32, 63, 64)]
    [1, 1, 1, 2]
    """
    return max(1, images // BATCH)


def _published_epochs(data: str, shots: int) -> int:
    if shots == 1 or data.partition(":")[0] == "imagenet":
        return 50
    return 100 if shots <= 4 else 200


TEMPLATE = "a photo of a <CLASS>."


class ContextTower:
    """Encodes `V1 … VM CLASS.`: the template `a photo of a <CLASS>.` with the words before the class replaced.

    Args:
        clip: the frozen CLIP. Its text tower has to be open_clip's causal text tower; the check is that of the fast
            text path.

    Attributes:
        words: the token embeddings of the words that are replaced, float32 (M, width).

    Raises:
        InputError: the text tower has another structure.
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
        """Return the tokens of the filled template, cut to the length of the longest text: int64 (C, L).

        Raises:
            InputError: a class name is too long for the context.
        """
        refuse_synonyms(class_names, "coop learns with one name a class")
        check_template(TEMPLATE, class_names, self._clip)
        rows: torch.Tensor = self._clip.tokenizer([fill(TEMPLATE, name) for name in class_names])
        return rows[:, : int(self._pass.lengths(rows).max())].to(self._pass.device)

    def encode(self, context: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Encode texts with `context` in place of the replaced words; the result is differentiable in `context`.

        Args:
            context: the context vectors, (M, width).
            tokens: the tokens of the texts, int64 (C, L), as the method `tokens` returns them.

        Returns:
            The embeddings of the texts, float32 (C, D), in unit rows.
        """
        import torch
        from torch import nn
        from torch.nn.functional import normalize

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
        return normalize(x.float(), dim=-1)
