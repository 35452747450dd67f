"""Measures templates on the shipped files, loaded the way any user loads them."""

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from ipo_prompts.experiments.embedded import CLEAN_DOMAIN
from ipo_prompts.experiments.embedded.shifts import shifted
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.sampling import Sampling

Hits = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Labelled image features of one domain: float32 (n, dim) unit rows and int (n,) labels."""

    features: Floats
    labels: npt.NDArray[np.int64]


class Shipped:
    """The demo CLIP with the table of the images, read from ``out``."""

    def __init__(self, out: Path) -> None:
        self._clip = load_clip(f"local-dir:{out / 'model'}", "cpu")
        self._images = out / "images"
        self.table: dict[str, Any] = json.loads((out / "split.json").read_text("utf-8"))
        self.classes: list[str] = self.table["classes"]

    def encode(self, images: Sequence[LazyImage]) -> Floats:
        """Return features of images: float32 (n, dim), unit rows."""
        return self._clip.encode_images(images)

    def named(self, template: str, names: Sequence[str]) -> Floats:
        """Return text features of a template filled with names: float32 (names, dim), unit rows."""
        return self._clip.encode_texts([template.replace("<CLASS>", name) for name in names])

    def part(self, domain: str, part: str) -> Part:
        """Return features of one part ("train", "val" or "test") of one domain."""
        rows = self.table[part]
        images = [LazyImage.from_path(self._images / domain / row[0]) for row in rows]
        return Part(self.encode(images), np.array([row[1] for row in rows]))

    def shifted(self, transformations: Collection[str], part: str) -> Part:
        """Return features of the clean images of a part under transformations, as `embedded:OP+OP` renders them."""
        rows = self.table[part]
        folder = self._images / CLEAN_DOMAIN
        images = [shifted(LazyImage.from_path(folder / row[0]), row[0], transformations) for row in rows]
        return Part(self.encode(images), np.array([row[1] for row in rows]))

    def texts(self, templates: Sequence[str]) -> Floats:
        """Return class features of templates: float32 (templates, classes, dim), unit rows."""
        texts = [text for template in templates for text in self._filled(template)]
        return self._clip.encode_texts(texts).reshape(len(templates), len(self.classes), -1)

    def fits(self, template: str) -> bool:
        """Whether no class pushes the template over the context (start and end included)."""
        return max(map(self._clip.count, self._filled(template))) <= self._clip.context_length

    def _filled(self, template: str) -> list[str]:
        return [template.replace("<CLASS>", name) for name in self.classes]


def hits(part: Part, texts: Floats, among: Sequence[int] | None = None) -> Hits:
    """Return 1 where a template names the right class: (templates, images).

    ``among`` restricts both classes and images, as in base-to-new reports.
    """
    allowed = np.arange(texts.shape[1]) if among is None else np.array(among)
    keep = np.isin(part.labels, allowed)
    named = allowed[(part.features[keep] @ texts[:, allowed].swapaxes(1, 2)).argmax(2)]
    right: Hits = (named == part.labels[keep]).astype(np.float64)
    return right


def standard_error(values: Hits, part: Part) -> float:
    """Return the standard error of a mean over the images of a part, to four digits; a class counts as one draw."""
    return round(math.sqrt(Sampling.of(len(values), draws=part.labels).these(values).value), 4)


def first_shots(labels: npt.NDArray[np.int64], start: int, shots: int) -> npt.NDArray[np.bool_]:
    """Return the mask of images ``start .. start + shots - 1`` of every class."""
    seen: Counter[int] = Counter()
    mask = []
    for label in labels.tolist():
        mask.append(start <= seen[label] < start + shots)
        seen[label] += 1
    return np.array(mask)


def rank_correlation(few: Hits, many: Hits) -> float:
    """Return the Spearman correlation of two accuracies over the templates (both (templates, n))."""
    return float(spearmanr(few.mean(1), many.mean(1)).statistic)
