"""Rewards score templates on images.

This file has the interface of every reward, `Reward`. It also has the base class of rewards that compare images with
class embeddings, `EmbeddingReward`. A subclass overrides one method, the hook `judge_embeddings`, which takes class
embeddings and returns the contribution of each unit. All scores come from this hook: those of scored and proposed
templates, and of baselines. See `retrieval.py` and `ipo docs own-reward` for other kinds of task.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError, one_line
from ipo_prompts.metrics.features import FeatureStore, TextStore
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.metrics.template import problem, too_long
from ipo_prompts.metrics.text_tower import encode_ensemble, encode_templates, parts

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class Score:
    """The score of a template on n units. A unit is an image to classify, a query of a retrieval, a scene to segment.

    Attributes:
        template: the template.
        value: the number to maximise, on the reward's scale. For classification it is the accuracy: the share of
            images whose true class has the highest logit; ties go to the lowest label.
        loss: the number that breaks ties and is shown beside the value; lower is better. For classification it is the
            mean cross-entropy in nats.
        hits: the contribution of each unit, (n,). The mean of the contributions is the value, so two templates can be
            compared unit by unit. The type is bool if a unit is right or wrong; else it is float64, and a single
            contribution may lie outside the scale.
        losses: the loss of each unit, float64 (n,).
        predictions: the predicted class of each unit, int64 (n,), as an index into the classes of the units. For a
            query it is the index of the first image. Empty if a unit has no single answer.
        places: the place of each unit's true class if all classes are ordered by logit, float64 (n,). Place 1 has the
            highest logit. None for a measure other than accuracy.
    """

    template: str
    value: float
    loss: float
    hits: npt.NDArray[Any]
    losses: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    places: Doubles | None = None

    def __repr__(self) -> str:
        # The values of single units are left out, and a long template is cut, so that the numbers stay.
        return f"Score({one_line(repr(self.template), 60)}, value={self.value:.4g}, loss={self.loss:.4g}, n={self.n})"

    @property
    def n(self) -> int:
        """The number of units."""
        return len(self.hits)

    @property
    def rank(self) -> tuple[float, float]:
        """A key to order scores by: the value, then the loss. Higher is better."""
        return (self.value, -self.loss)

    @property
    def bits(self) -> str:
        """The hits as text for the journal: `1` if a unit is right, `0` if it is wrong. It needs hits that are bool."""
        return "".join("1" if hit else "0" for hit in self.hits)


@dataclass(frozen=True)
class Judged:
    """The result of one candidate (the class embeddings of a template) on each of n units.

    Attributes:
        hits: the contribution of each unit, (n,). The value is the mean of the contributions. For a measure that is no
            mean over units, use `pseudo_values`.
        losses: the loss of each unit, (n,), to break ties; lower is better. None if nothing breaks ties.
        predictions: as in `Score`; None if a unit has no single answer.
        places: as in `Score`; leave it None for a measure of your own.
    """

    hits: npt.NDArray[Any]
    losses: npt.NDArray[Any] | None = None
    predictions: npt.NDArray[np.int64] | None = None
    places: Doubles | None = None

    def score(self, name: str) -> Score:
        """Return the result as the score of the template `name`."""
        hits = np.asarray(self.hits)
        if hits.dtype != bool:
            hits = hits.astype(np.float64)
        losses = np.zeros(len(hits)) if self.losses is None else np.asarray(self.losses, dtype=np.float64)
        predictions = np.zeros(0, dtype=np.int64) if self.predictions is None else self.predictions
        return Score(name, float(hits.mean()), float(losses.mean()), hits, losses, predictions, self.places)


def pseudo_values(value_of: Callable[[npt.NDArray[np.int64]], float], n: int) -> Doubles:
    """Return the contribution of each unit to a measure that is no mean over units: float64 (n,).

    The contributions are the pseudo-values of the jackknife (Tukey 1958), all shifted by the same number so that their
    mean is the measure on all units. The standard error of this mean is the standard error of the measure, to first
    order in 1/n. The measure is evaluated n + 1 times.

    Args:
        value_of: a function that takes the numbers of some units, int64, and returns the measure on these units.
        n: the number of units, at least 2.

    >>> pseudo_values(lambda units: float(np.median(units)), 3).round(2).tolist()
    [0.0, 1.0, 2.0]
    """
    everything = np.arange(n)
    value = value_of(everything)
    without = np.array([value_of(np.delete(everything, i)) for i in range(n)], dtype=np.float64)
    return np.asarray(value + (n - 1) * (without.mean() - without))


class Units(Protocol):
    """The units that templates are scored on, in the form that the reward needs.

    The search reads only their groups and labels.
    """

    @property
    def groups(self) -> Sequence[str] | None:
        """A name for each unit, equal for units that are not independent; None if all units are independent."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The class of each example's image, for describers; None if an image has no single class."""
        ...


class Reward(Protocol):
    """Scores templates. A search needs nothing else of a task. A reward may also have a `scale`; see `scale_of`.

    The same template on the same units must give the same score, because a resumed run scores templates again instead
    of reading their scores back.
    """

    @property
    def class_names(self) -> Sequence[str]:
        """The texts that fill the slot: class names or captions. Strategies keep them out of templates."""
        ...

    def problem(self, template: str, /) -> str | None:
        """Return why a template cannot be scored, as part of a sentence; None if it can. Include `template.problem`."""
        ...

    def examples(self, examples: Sequence[Any], /) -> Units:
        """Check DSPy examples, and encode them once for any number of `score` calls.

        The `image` of an example is a `LazyImage`.

        Raises:
            InputError: an example lacks a field; the message names it.
        """
        ...

    def score(self, templates: Sequence[str], units: Any, /) -> list[Score]:
        """Return the score of each template, in the order given. `units` is what `examples` returned."""
        ...


def scale_of(reward: object) -> Scale:
    """Return the scale of a reward; `FRACTION` if it has none.

    Raises:
        InputError: the reward's `scale` is not a `Scale`.
    """
    scale = getattr(reward, "scale", FRACTION)
    if not isinstance(scale, Scale):
        raise InputError(f"scale of the reward {type(reward).__name__} is {type(scale).__name__} and no Scale.")
    return scale


class EmbeddingReward(ABC):
    """The base class of rewards that compare images with class embeddings. Override the hook `judge_embeddings`.

    If a subclass overrides `score` instead, only its `score` is used, for one template after the other. Parts that need
    class embeddings (baselines) are then refused or left out, with a message. See `by_embeddings`.

    Args:
        clip: the encoder.
        class_names: the classes that compete, in the order of their labels.
        store: the store of image features; None for the store in the user's cache.
        also_fit: the names of classes that are only used later (the new classes). Templates must be short enough for
            these names too.
    """

    scale: Scale = FRACTION
    keeps_images: ClassVar[bool] = False
    """Whether the reward keeps the features of whole images in its store."""

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
        self.texts = TextStore(clip)

    def renamed(self, class_names: Sequence[str]) -> Self:
        """Return a copy of the reward with other names for the same classes, in the same order."""
        other = copy.copy(self)
        other.class_names = tuple(class_names)
        return other

    def __repr__(self) -> str:
        return one_line(f"{type(self).__name__}({self.clip!r}, {len(self.class_names)} class names)")

    def __deepcopy__(self, memo: dict[int, Any]) -> EmbeddingReward:
        return self

    @abstractmethod
    def examples(self, examples: Sequence[Any]) -> Any:
        """Check DSPy examples and encode them once; see `Reward`."""

    @abstractmethod
    def judge_embeddings(self, classes: Sequence[Floats], units: Any) -> Iterable[Judged]:
        """Judge many candidates. Return one `Judged` for each candidate, in the order given.

        The result of a candidate must not depend on the other candidates.

        Args:
            classes: the class embeddings of each candidate, float32 (C, D), unit rows, in the order of `names_in`.
            units: what `examples` returned.
        """

    def names_in(self, units: Any) -> Sequence[str]:
        """Return the texts that fill the slot for these units: all class names of the reward, or some of them."""
        classes = getattr(units, "classes", None)
        return self.class_names if classes is None else [self.class_names[i] for i in classes]

    def problem(self, template: str) -> str | None:
        """Return why a template cannot be scored; None if it can. See `template.problem` and `template.too_long`."""
        return problem(template) or too_long(template, (*self.class_names, *self.also_fit), self.clip)

    def score(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Return the score of each template. Templates are encoded one by one, so no score depends on the others."""
        return self.score_embeddings(templates, self.texts.encode(templates, self.names_in(units)), units)

    def score_batch(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Return the score of each template, faster than `score`; see `encode_batch`."""
        encoded = self.encode_batch(templates, units)
        return [one for part, embeddings in encoded for one in self.score_embeddings(part, list(embeddings), units)]

    def encode_batch(
        self, templates: Sequence[str], units: Any, names: Sequence[str] | None = None
    ) -> Iterator[tuple[Sequence[str], Floats]]:
        """Yield parts of the templates with their class embeddings, float32 (t, C, D), unit rows.

        The templates of a part are encoded together, and a beginning that several share is encoded once. So the last
        bits of an embedding may depend on the other templates. `names` has the texts that fill the slot; by default
        they are `names_in(units)`.
        """
        names = self.names_in(units) if names is None else names
        for part in parts(templates, names):
            with self.clip.timed("text"):
                embeddings = encode_templates(self.clip.model, self.clip.tokenizer, part, names)
            yield part, embeddings

    def score_embeddings(self, names: Sequence[str], classes: Sequence[Floats], units: Any) -> list[Score]:
        """Return the score of each candidate.

        Args:
            names: the template of each candidate, for the scores.
            classes: the class embeddings of each candidate, float32 (C, D), unit rows.
            units: what `examples` returned.

        Raises:
            InputError: `judge_embeddings` did not return one `Judged` for each candidate.
        """
        judged = list(self.judge_embeddings(classes, units))
        if len(judged) != len(names) or not all(isinstance(one, Judged) for one in judged):
            kinds = ", ".join(sorted({type(one).__name__ for one in judged})) or "nothing"
            raise InputError(
                f"judge_embeddings() of the reward {type(self).__name__} gave {kinds} ({len(judged)}) for {len(names)} "
                "sets of class embeddings; it must give one Judged for each."
            )
        return [one.score(name) for name, one in zip(names, judged, strict=True)]


def by_embeddings(reward: object) -> EmbeddingReward | None:
    """Return the reward if it scores templates by class embeddings.

    Return None if it is no `EmbeddingReward`, or overrides one of `WAYS`.

    >>> from ipo_prompts.metrics.classification import ClipReward
    >>> class Harsher(ClipReward):
    ...     def score(self, templates, images):
    ...         return super().score(templates, images)
    >>> by_embeddings(object.__new__(Harsher)) is None
    True
    """
    return cast("EmbeddingReward", reward) if keeps(reward, EmbeddingReward, WAYS) else None


WAYS = ("score", "score_batch")
"""The methods of an `EmbeddingReward` that score templates. If a subclass overrides one, `by_embeddings` is None."""


def keeps(reward: object, base: type, members: Sequence[str]) -> bool:
    """Whether a reward derives from `base` and overrides none of `members`.

    `reward` is an object, or a class of which no object has been made yet.
    """
    made = reward if isinstance(reward, type) else type(reward)
    if not issubclass(made, base) or not (made is reward or vars(reward).keys().isdisjoint(members)):
        return False
    return all(getattr(made, name) is getattr(base, name) for name in members)


def check_fields(examples: Sequence[Any], **fields: str) -> None:
    """Refuse examples that lack a field. `fields` maps each field to its description in the message.

    Raises:
        InputError: an example lacks a field; the message lists all fields that are needed.
    """
    if any(name not in example for example in examples for name in fields):
        raise InputError(f"every example needs {' and '.join(fields.values())}.")


def indices(names: Sequence[str], known: Sequence[str], what: str, of: str) -> list[int]:
    """Return the index of each name in the known names.

    Args:
        names: the names to look up.
        known: the known names.
        what: the word for a name in the message, such as "caption".
        of: the word for the known names in the message, such as "captions".

    Raises:
        InputError: a name is not known.
    """
    position = {name: i for i, name in enumerate(known)}
    for name in names:
        if not isinstance(name, str) or name not in position:
            raise InputError(f"an example has the {what} {name!r}, which is not one of the reward's {of}.")
    return [position[name] for name in names]


def groups_of(examples: Sequence[Any]) -> tuple[str, ...] | None:
    """Return the `group` of each example; None if no example has a group.

    Raises:
        InputError: some examples have a group and others have none.
    """
    having = ["group" in example for example in examples]
    if any(having) and not all(having):
        raise InputError(
            f"{sum(having)} of {len(having)} examples have a group; give a group to every example (a name of its own "
            "if it is no variant of another), or to none."
        )
    return tuple(example.group for example in examples) if any(having) else None


def class_embeddings(clip: Clip, templates: Sequence[str], class_names: Sequence[str]) -> Floats:
    """Return the class embeddings of a template, or of an ensemble of templates: float32 (C, D), unit rows."""
    with clip.timed("text"):
        if len(templates) == 1:  # the same bits as in `ClipReward.score`
            return np.asarray(encode_templates(clip.model, clip.tokenizer, templates, class_names)[0])
        return encode_ensemble(clip.model, clip.tokenizer, templates, class_names)
