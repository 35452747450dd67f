"""Measures templates on the shipped files, loaded the way any user loads them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor

from tools.embedded.tokens import CONTEXT

Hits = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Labelled picture features of one domain: float32 (n, dim) unit rows."""

    features: Tensor
    labels: npt.NDArray[np.int64]


class Shipped:
    """The embedded CLIP with the pictures' table, read from ``out``."""

    def __init__(self, out: Path) -> None:
        name = f"local-dir:{out / 'model'}"
        self._model, _, self._preprocess = open_clip.create_model_and_transforms(name)
        self._model.eval()
        self._tokenizer = open_clip.get_tokenizer(name)
        self._pictures = out / "pictures"
        self.table: dict[str, Any] = json.loads((out / "split.json").read_text("utf-8"))
        self.classes: list[str] = self.table["classes"]

    @torch.inference_mode()
    def part(self, domain: str, part: str) -> Part:
        """Features of one part ("train", "val" or "test") of one domain."""
        rows = self.table[part]
        images = [self._preprocess(Image.open(self._pictures / domain / row[0])) for row in rows]
        features = self._model.encode_image(torch.stack(images), normalize=True)
        return Part(features, np.array([row[1] for row in rows]))

    @torch.inference_mode()
    def texts(self, template: str) -> Tensor:
        """Class features of a template: float32 (classes, dim), unit rows."""
        texts = [template.replace("<CLASS>", name) for name in self.classes]
        features: Tensor = self._model.encode_text(self._tokenizer(texts), normalize=True)
        return features

    def fits(self, template: str) -> bool:
        """Whether no class pushes the template over the context (start and end included)."""
        stock = SimpleTokenizer(context_length=CONTEXT)
        longest = max(len(stock.encode(template.replace("<CLASS>", c))) for c in self.classes)
        return longest + 2 <= CONTEXT


def hits(part: Part, texts: list[Tensor], among: list[int] | None = None) -> Hits:
    """1 where a template names the right class: (templates, pictures).

    ``among`` restricts both classes and pictures, as in base-to-new reports.
    """
    allowed = np.arange(len(texts[0])) if among is None else np.array(among)
    keep = np.isin(part.labels, allowed)
    features, labels = part.features[torch.from_numpy(keep)], part.labels[keep]
    rows = [allowed[(features @ t[allowed].T).argmax(1).numpy()] == labels for t in texts]
    return np.array(rows, dtype=np.float64)


def clustered_se(values: Hits, labels: npt.NDArray[np.int64]) -> float:
    """Standard error of the mean of ``values``, clustered by class.

    Pictures of one class succeed and fail together, so counting them as independent
    would make the error far too small.
    """
    residual = values - values.mean()
    sums = np.array([residual[labels == label].sum() for label in np.unique(labels)])
    count = len(sums)
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values))


def first_shots(labels: npt.NDArray[np.int64], start: int, shots: int) -> npt.NDArray[np.bool_]:
    """Mask of pictures ``start .. start + shots - 1`` of every class."""
    seen: dict[int, int] = {}
    mask = []
    for label in labels.tolist():
        position = seen.get(label, 0)
        seen[label] = position + 1
        mask.append(start <= position < start + shots)
    return np.array(mask)


def rank_correlation(few: Hits, many: Hits) -> float:
    """Spearman correlation of two accuracies over the templates (both (templates, n))."""
    return float(spearmanr(few.mean(1), many.mean(1)).statistic)
