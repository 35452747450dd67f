"""Rewards score templates on pictures. Here: what every reward is, and the hook of those that use class embeddings.

A reward that compares pictures with class embeddings has one hook, `judge_embeddings`: class embeddings in, what each
unit contributes out. All that is scored goes through it: what a search looks at, what it proposes, baselines and
headroom. Each other kind of task has its own: see `retrieval.py` and `docs/your-own-reward.md`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, TextStore
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.metrics.template import problem, too_long
from ipo_prompts.metrics.text_tower import encode_ensemble, encode_templates, parts

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class Score:
    """The score of a template on n units: pictures to classify, queries of a retrieval, scenes to segment.

    Attributes:
        template: the template.
        value: what is maximised, on the reward's scale. For classification the accuracy: pictures whose highest logit
            is the true class; ties go to the lowest label.
        loss: breaks ties and is shown beside the value, lower is better; for classification the mean cross-entropy in
            nats.
        hits: (n,), what each unit contributes; their mean is the value, so that two templates can be compared unit
            by unit. bool where a unit is right or wrong; else float64, and a single one may lie outside the scale.
        losses: float64 (n,), the loss of each unit.
        predictions: int64 (n,), the predicted class of the units' own, for a query the first picture; empty where a
            unit has no one answer.
        places: float64 (n,), the place of each unit's own class when all are ordered by their logits, 1 for the
            highest; None where the measure is another than accuracy.
    """

    template: str
    value: float
    loss: float
    hits: npt.NDArray[Any]
    losses: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    places: Doubles | None = None

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.hits)

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: value, then lower loss."""
        return (self.value, -self.loss)

    @property
    def bits(self) -> str:
        """The hits as text, `1` for right, as the journal has them. Only for units that are right or wrong."""
        return "".join("1" if hit else "0" for hit in self.hits)


@dataclass(frozen=True)
class Judged:
    """What one set of class embeddings is worth on n units, unit by unit.

    Attributes:
        hits: (n,), what each unit contributes; the value is their mean. Of a measure that is no mean over units:
            `pseudo_values`.
        losses: (n,), lower is better; None where nothing breaks ties.
        predictions: as in `Score`; None where a unit has no one answer.
        places: as in `Score`, of which a measure of one's own says nothing.
    """

    hits: npt.NDArray[Any]
    losses: npt.NDArray[Any] | None = None
    predictions: npt.NDArray[np.int64] | None = None
    places: Doubles | None = None

    def score(self, name: str) -> Score:
        """Return it as the score of a template."""
        hits = np.asarray(self.hits)
        if hits.dtype != bool:
            hits = hits.astype(np.float64)
        losses = np.zeros(len(hits)) if self.losses is None else np.asarray(self.losses, dtype=np.float64)
        predictions = np.zeros(0, dtype=np.int64) if self.predictions is None else self.predictions
        return Score(name, float(hits.mean()), float(losses.mean()), hits, losses, predictions, self.places)


def pseudo_values(value_of: Callable[[npt.NDArray[np.int64]], float], n: int) -> Doubles:
    """Return what each unit contributes to a measure that is no mean over units: float64 (n,), their mean the value.

    They are the jackknife's (Tukey 1958), moved by one number for all, so that their mean is the value itself and the
    standard error of a mean over them is the measure's, to first order in 1/n. It takes n + 1 evaluations.

    Args:
        value_of: the measure on some of the units, by their numbers.
        n: how many units there are; two at least.

    >>> pseudo_values(lambda units: float(np.median(units)), 3).round(2).tolist()
    [0.0, 1.0, 2.0]
    """
    everything = np.arange(n)
    value = value_of(everything)
    without = np.array([value_of(np.delete(everything, i)) for i in range(n)], dtype=np.float64)
    return np.asarray(value + (n - 1) * (without.mean() - without))


class Units(Protocol):
    """What templates are scored on, in the form that the reward needs, with what a search must know of it."""

    @property
    def groups(self) -> Sequence[str] | None:
        """One name per unit of the score, equal for units that are not independent; None when all are."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The class of each example's picture, for describers; None where a picture has no single class."""
        ...


class Reward(Protocol):
    """Scores templates: all that a search needs to know of a task. It may have a `scale`; without, see `FRACTION`.

    The same template on the same units must give the same score: a resumed run scores again instead of reading
    old scores back.
    """

    @property
    def class_names(self) -> Sequence[str]:
        """The texts that fill the slot: class names, captions. Strategies keep them out of templates."""
        ...

    def problem(self, template: str, /) -> str | None:
        """Say why a template cannot be scored, in part of a sentence, or None; checks at least `template.problem`."""
        ...

    def examples(self, examples: Sequence[Any], /) -> Units:
        """Check DSPy examples and encode them once, for any number of `score` calls; `image` is a `Picture`.

        Raises:
            InputError: an example lacks something; it is named.
        """
        ...

    def score(self, templates: Sequence[str], units: Any, /) -> list[Score]:
        """Score templates, in the order given, on what `examples` returned."""
        ...


def scale_of(reward: object) -> Scale:
    """Return the scale of a reward; fractions where it names none.

    Raises:
        InputError: its `scale` is none.
    """
    scale = getattr(reward, "scale", FRACTION)
    if not isinstance(scale, Scale):
        raise InputError(f"scale of the reward {type(reward).__name__} is {type(scale).__name__} and no Scale.")
    return scale


class EmbeddingReward(ABC):
    """A reward that compares class embeddings of a CLIP with something of the pictures. Its hook is `judge_embeddings`.

    Whoever overrides `score` instead has said all: then it alone scores, one template after the other, and what needs
    class embeddings (baselines, headroom) is refused or left out, by name. See `by_embeddings`.

    Args:
        clip: the encoder.
        class_names: the classes that compete, in label order.
        store: keeps picture features, and class embeddings beside them; in the user's cache when None.
        also_fit: names of classes that are only used later (the new classes); templates must be short enough for them
            too. They are used for nothing else.
    """

    scale: Scale = FRACTION
    keeps_pictures: ClassVar[bool] = False
    """Whether it keeps the features of whole pictures in its store."""

    def __init__(
        self,
        clip: Clip,
        class_names: Sequence[str],
        store: FeatureStore | None = None,
        also_fit: Sequence[str] = (),
    ) -> None:
        self.clip = clip
        self.class_names = tuple(class_names)
        self.also_fit = tuple(also_fit)
        self.store = store or FeatureStore(clip)
        self.texts = TextStore(clip, self.store.path.with_suffix(".texts.sqlite"))

    def renamed(self, class_names: Sequence[str]) -> Self:
        """Return the same reward for the same classes under other names, in the same order."""
        other = copy.copy(self)
        other.class_names = tuple(class_names)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> EmbeddingReward:
        return self

    @abstractmethod
    def examples(self, examples: Sequence[Any]) -> Any:
        """Check DSPy examples and encode them once; see `Reward`."""

    @abstractmethod
    def judge_embeddings(self, classes: Sequence[Floats], units: Any) -> Iterable[Judged]:
        """Judge many candidates: the class embeddings of each, float32 (C, D), unit rows, in the order of `names_in`.

        The same embeddings on the same units must give the same numbers, whatever is judged beside them.
        """

    def names_in(self, units: Any) -> Sequence[str]:
        """Return the texts that fill the slot for these units, which may be fewer than the reward's."""
        classes = getattr(units, "classes", None)
        return self.class_names if classes is None else [self.class_names[i] for i in classes]

    def problem(self, template: str) -> str | None:
        """Say why a template cannot be scored, or None; see `template.problem` and `template.too_long`."""
        return problem(template) or too_long(template, (*self.class_names, *self.also_fit), self.clip)

    def score(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Score templates encoded one by one: the same template and units give the same bits."""
        return self.score_embeddings(templates, self.texts.encode(templates, self.names_in(units)), units)

    def score_batch(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Score templates encoded together, which shares what they share; the last bits depend on the others."""
        names, found = self.names_in(units), list[Score]()
        for part in parts(templates, names):
            with self.clip.timed("text"):
                embeddings = encode_templates(self.clip.model, self.clip.tokenizer, part, names)
            found += self.score_embeddings(part, list(embeddings), units)
        return found

    def score_embeddings(self, names: Sequence[str], classes: Sequence[Floats], units: Any) -> list[Score]:
        """Score class embeddings, each float32 (C, D) with unit rows; `names` are the templates of the results.

        Raises:
            InputError: its own `judge_embeddings` gave something else than it should.
        """
        judged = list(self.judge_embeddings(classes, units))
        if len(judged) != len(names) or not all(isinstance(one, Judged) for one in judged):
            kinds = ", ".join(sorted({type(one).__name__ for one in judged})) or "nothing"
            raise InputError(
                f"judge_embeddings() of the reward {type(self).__name__} gave {kinds} ({len(judged)}) for {len(names)} "
                "sets of class embeddings; it gives one Judged for each."
            )
        return [one.score(name) for name, one in zip(names, judged, strict=True)]


def by_embeddings(reward: object) -> EmbeddingReward | None:
    """Return a reward as one that scores class embeddings; None where a `score` of its own decides.

    >>> from ipo_prompts.metrics.classification import ClipReward
    >>> class Harsher(ClipReward):
    ...     def score(self, templates, pictures):
    ...         return super().score(templates, pictures)
    >>> by_embeddings(object.__new__(Harsher)) is None
    True
    """
    return cast("EmbeddingReward", reward) if keeps(reward, EmbeddingReward, WAYS) else None


WAYS = ("score", "score_batch")
"""What of an `EmbeddingReward` scores templates; whoever overrides one has said all."""


def keeps(reward: object, base: type, members: Sequence[str]) -> bool:
    """Whether a reward, or each one of a class, is a `base` with these members as they are there.

    What a reward can is asked of its class before any is made, and of the object where there is one.
    """
    made = reward if isinstance(reward, type) else type(reward)
    if not issubclass(made, base) or not (made is reward or vars(reward).keys().isdisjoint(members)):
        return False
    return all(getattr(made, name) is getattr(base, name) for name in members)


def check_fields(examples: Sequence[Any], **fields: str) -> None:
    """Refuse examples that lack a field; `fields` has a name for messages for each."""
    if any(name not in example for example in examples for name in fields):
        raise InputError(f"every example needs {' and '.join(fields.values())}.")


def indices(names: Sequence[str], known: Sequence[str], what: str, of: str) -> list[int]:
    """Return the index of each name among the known ones; refuse an unknown name."""
    position = {name: i for i, name in enumerate(known)}
    for name in names:
        if not isinstance(name, str) or name not in position:
            raise InputError(f"an example has the {what} {name!r}, which is not one of the reward's {of}.")
    return [position[name] for name in names]


def groups_of(examples: Sequence[Any]) -> tuple[str, ...] | None:
    """Return the `group` of each example, or None where they have none.

    Raises:
        InputError: some have one and others not.
    """
    having = ["group" in example for example in examples]
    if any(having) and not all(having):
        raise InputError(
            f"{sum(having)} of {len(having)} examples have a group; give every one a group (a name of its own where "
            "it is no variant of another), or none."
        )
    return tuple(example.group for example in examples) if any(having) else None


def class_embeddings(clip: Clip, weighted: Sequence[tuple[str, float]], class_names: Sequence[str]) -> Floats:
    """Return the class embeddings of a weighted ensemble of templates: float32 (C, D), unit rows."""
    if len(weighted) == 1:  # the same bits as in `ClipReward.score`
        return np.asarray(encode_templates(clip.model, clip.tokenizer, [weighted[0][0]], class_names)[0])
    return encode_ensemble(clip.model, clip.tokenizer, weighted, class_names)
