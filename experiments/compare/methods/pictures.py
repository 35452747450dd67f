"""Methods that learn from pictures what no text says: a mean to take off, and the nearest class mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ipo_prompts.experiments.compare.methods.base import (
    Absent,
    FittedLogits,
    Job,
    Logits,
    Method,
    Templates,
    classifying,
    labels_of_a_search,
)
from ipo_prompts.metrics.offsets import MeanOffsets
from ipo_prompts.metrics.template import ANCHOR

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.metrics.arrays import Doubles, Floats
    from ipo_prompts.metrics.clip import Clip


class Centred(Method):
    """The anchor with `mean` offsets: what undoing a bias gains. See `metrics/offsets.py`."""

    label = "the centred anchor"
    remark = (
        "each class's mean score over the search and selection pictures is taken off the anchor's scores; no label is "
        "used, but there are equally many of these pictures in each class, which helps it"
    )

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return 0: labels are not used."""
        return 0

    def fit(self, job: Job) -> CentredAnchor:
        """Take the mean of the pictures' features."""
        from ipo_prompts.metrics.classification import features_of

        classifying(job.prepared.reward)
        return CentredAnchor(job.clip, MeanOffsets.from_pictures(features_of(*job.prepared.shown)))


@dataclass(frozen=True)
class CentredAnchor(FittedLogits):
    """The anchor with the mean of some features to take off."""

    clip: Clip
    offsets: MeanOffsets

    def logits(self, class_names: Sequence[str]) -> Logits:
        """See `FittedLogits`; any classes."""
        from ipo_prompts.metrics.classification import logits_of

        classes = Templates(self.clip, ((ANCHOR, 1.0),)).class_embeddings(class_names)
        offsets = self.offsets.of(self.clip, classes)
        return lambda features: logits_of(self.clip, features, classes, offsets)


class ClassMean(Method):
    """The class whose pictures are nearest on average, by cosine: no word is used."""

    label = "the nearest class mean"

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return those of a search."""
        return labels_of_a_search(config)

    def fit(self, job: Job) -> NearestMean:
        """Average the unit features of each class's pictures."""
        from ipo_prompts.metrics.classification import class_means

        pictures = seen(job)
        check_every_class(pictures, job)
        means = class_means(*pictures, len(job.class_names))
        return NearestMean(job.clip, tuple(job.class_names), means)


@dataclass(frozen=True)
class NearestMean(FittedLogits):
    """Unit class means, float32 (C, D), of some classes."""

    clip: Clip
    class_names: tuple[str, ...]
    means: Floats

    def logits(self, class_names: Sequence[str]) -> Logits:
        """See `FittedLogits`; only these classes, or some of them."""
        from ipo_prompts.metrics.classification import logits_of

        means = self.means[places(class_names, self.class_names)]
        return lambda features: logits_of(self.clip, features, means)


class Labelled(NamedTuple):
    """Unit features, float64 (n, D), with labels, int64 (n,)."""

    features: Doubles
    labels: npt.NDArray[np.int64]


def searched_and_selected(job: Job) -> tuple[Labelled, Labelled]:
    """Return the search and the selection pictures; none of the latter where nothing is held back.

    Raises:
        Absent: the job's reward does not ask for the class of a picture.
    """
    import numpy as np

    classifying(job.prepared.reward)
    parts = []
    for part in (job.prepared.search, job.prepared.selection):
        units: Any = part.units if part else None
        width, none = job.clip.width, np.zeros(0, dtype=np.int64)
        parts.append(
            Labelled(units.features.astype(np.float64), units.labels) if part else Labelled(np.zeros((0, width)), none)
        )
    return parts[0], parts[1]


def seen(job: Job) -> Labelled:
    """Return the search and selection pictures together; see `searched_and_selected`."""
    import numpy as np

    parts = searched_and_selected(job)
    return Labelled(np.concatenate([one.features for one in parts]), np.concatenate([one.labels for one in parts]))


def check_every_class(pictures: Labelled, job: Job) -> None:
    """Refuse pictures that leave a class of the job out.

    Raises:
        Absent: they do.
    """
    if len(set(pictures.labels.tolist())) < len(job.class_names):
        raise Absent("a class has no picture that it could learn from")


def places(class_names: Sequence[str], learnt: Sequence[str]) -> list[int]:
    """Return where each class stands among those that pictures were seen of.

    Raises:
        Absent: one is not among them.
    """
    if tuple(class_names) == tuple(learnt):  # two classes may share a name
        return list(range(len(learnt)))
    place = {_plain(name): i for i, name in enumerate(learnt)}
    if any(_plain(name) not in place for name in class_names):
        raise Absent("it knows only the classes that it has seen pictures of")
    return [place[_plain(name)] for name in class_names]


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()
