"""CoOp (Zhou et al., IJCV 2022): learned context vectors, the gradient baseline that no one can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipo.experiments.compare.methods.base import NOTHING, Budget, Fitted, Job, Method, Weighted
from ipo.experiments.executors.base import computing_with

if TYPE_CHECKING:
    import torch

    from ipo.experiments.compare.methods.context_tower import ContextTower
    from ipo.experiments.run.config import RunConfig
    from ipo.metrics.arrays import Floats

BATCH = 32
RATE = 0.002
WARM_UP_RATE = 1e-5
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
CLASSES_AT_ONCE = 256


class CoOp(Method):
    """Learns M = 4 context vectors, started from the words `a photo of a` and shared by all classes.

    Start, optimiser and schedule are those of the published base-to-new and cross-dataset rows: SGD with momentum, one
    epoch of warm-up, cosine decay, batches of 32, 50 epochs for one shot, 100 up to four, 200 above, 50 on ImageNet;
    the last epoch counts. One thing differs: the published runs crop and flip each picture anew in every epoch; here a
    picture is encoded once, with the clean transform that all other methods see.

    Each step is a forward and backward pass of the text tower over all classes: seconds with the embedded CLIP, work
    for a GPU with a ViT-B/16.

    Args:
        epochs: instead of the published number; 0 keeps the starting words.
    """

    label = "CoOp (learned context)"

    def __init__(self, epochs: int | None = None) -> None:
        self._epochs = epochs

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return the search pictures: the last epoch counts, so that nothing is chosen on the others."""
        return config.shots

    def fit(self, job: Job) -> LearnedContext:
        """Train on the search pictures.

        Raises:
            InputError: vectors cannot be put into this CLIP's text tower.
        """
        from ipo.experiments.compare.methods.context_tower import ContextTower

        tower = ContextTower(job.clip)
        features = job.prepared.store.encode([item.picture for item in job.prepared.plan.drawn.search])
        # On one thread: a sum's rounding depends on how it is split, and training lets roundings grow.
        with computing_with(1):
            return LearnedContext(tower, self._learn(tower, job, features))

    def _learn(self, tower: ContextTower, job: Job, features: Floats) -> torch.Tensor:
        import torch
        import torch.nn.functional as functional

        config, tokens = job.config, tower.tokens(job.class_names)
        pictures = torch.from_numpy(features).to(tokens.device)
        labels = torch.tensor([item.label for item in job.prepared.plan.drawn.search], device=tokens.device)
        epochs = _published_epochs(config.data, config.shots) if self._epochs is None else self._epochs
        context = tower.words.clone().requires_grad_(True)
        optimizer = torch.optim.SGD([context], lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        shuffle = torch.Generator().manual_seed(config.seed)
        for epoch in range(epochs):
            rate = RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2 if epoch else WARM_UP_RATE
            optimizer.param_groups[0]["lr"] = rate
            order = torch.randperm(len(labels), generator=shuffle).to(tokens.device)
            for batch in torch.split(order, BATCH):
                logits = job.clip.logit_scale * pictures[batch] @ tower.encode(context, tokens).T
                optimizer.zero_grad()
                functional.cross_entropy(logits, labels[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return context.detach()


@dataclass(frozen=True)
class LearnedContext(Fitted):
    """Learned context vectors.

    Attributes:
        tower: the text tower they belong to.
        context: float32 (M, width).
    """

    tower: ContextTower
    context: torch.Tensor
    templates: tuple[Weighted, ...] | None = None
    choice: dict[str, Any] | None = None
    budget: Budget = NOTHING

    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Encode the vectors with each class name; see `Fitted`."""
        import torch

        tokens = self.tower.tokens(class_names)
        with torch.no_grad():
            rows = [self.tower.encode(self.context, some).cpu() for some in torch.split(tokens, CLASSES_AT_ONCE)]
        embeddings: Floats = torch.cat(rows).numpy()
        return embeddings


def _published_epochs(data: str, shots: int) -> int:
    if shots == 1 or data.partition(":")[0] == "imagenet":
        return 50
    return 100 if shots <= 4 else 200
