"""Rewards score templates on pictures. Here: the interface of every reward, and the base class for class embeddings.

A reward that compares pictures with class embeddings has one hook, `judge_embeddings`, which takes class embeddings and
returns the contribution of each unit. All scores go through this hook: those of scored and proposed templates, of
baselines and of the headroom. Each kind of task has a hook of its own: see `retrieval.py` and
`docs/your-own-reward.md`.
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
        value: the number to maximise, on the reward's scale. For classification it is the accuracy: the share of
            pictures whose true class has the highest logit; ties go to the lowest label.
        loss: the number that breaks ties and is shown beside the value; lower is better. For classification it is the
            mean cross-entropy in nats.
        hits: the contribution of each unit, (n,). Their mean is the value, so that two templates can be compared unit
            by unit. bool if a unit is right or wrong; else float64, and a single contribution may lie outside the
            scale.
        losses: the loss of each unit, float64 (n,).
        predictions: the predicted class of each unit, int64 (n,), among the classes of the units; for a query the first
            picture. Empty if a unit has no single answer.
        places: the place of each unit's own class among all classes ordered by logit, float64 (n,); 1 is the highest.
            None for a measure other than accuracy.
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
        """The number of units."""
        return len(self.hits)

    @property
    def rank(self) -> tuple[float, float]:
        """A key to order scores by: the value, then the loss. Higher is better."""
        return (self.value, -self.loss)

    @property
    def bits(self) -> str:
        """The hits as text for the journal, `1` for right and `0` for wrong. Only for units that are right or wrong."""
        return "".join("1" if hit else "0" for hit in self.hits)


@dataclass(frozen=True)
class Judged:
    """The result of one set of class embeddings on n units, unit by unit.

    Attributes:
        hits: the contribution of each unit, (n,); the value is their mean. For a measure that is no mean over units,
            use `pseudo_values`.
        losses: the loss of each unit, (n,), lower is better; None if nothing breaks ties.
        predictions: as in `Score`; None if a unit has no single answer.
        places: as in `Score`; a measure of your own leaves it None.
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

    These are the jackknife's pseudo-values (Tukey 1958), all shifted by the same number, so that their mean is the
    measure itself. The standard error of their mean is the standard error of the measure, to first order in 1/n. The
    measure is evaluated n + 1 times.

    Args:
        value_of: returns the measure on some of the units, given their numbers.
        n: the number of units, at least 2.

    >>> pseudo_values(lambda units: float(np.median(units)), 3).round(2).tolist()
    [0.0, 1.0, 2.0]
    """
    everything = np.arange(n)
    value = value_of(everything)
    without = np.array([value_of(np.delete(everything, i)) for i in range(n)], dtype=np.float64)
    return np.asarray(value + (n - 1) * (without.mean() - without))


class Units(Protocol):
    """What templates are scored on, in the form that the reward needs, with the groups and labels for the search."""

    @property
    def groups(self) -> Sequence[str] | None:
        """One name for each unit of the score, equal for units that are not independent; None if all are."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The class of each example's picture, for describers; None if a picture has no single class."""
        ...


class Reward(Protocol):
    """Scores templates: all that a search needs to know of a task. A reward may have a `scale`; see `scale_of`.

    The same template on the same units must give the same score, because a resumed run scores templates again instead
    of reading their scores back.
    """

    @property
    def class_names(self) -> Sequence[str]:
        """The texts that fill the slot: class names or captions. Strategies keep them out of templates."""
        ...

    def problem(self, template: str, /) -> str | None:
        """Return why a template cannot be scored, as part of a sentence, or None. Check at least `template.problem`."""
        ...

    def examples(self, examples: Sequence[Any], /) -> Units:
        """Check DSPy examples and encode them once, for any number of `score` calls. Their `image` is a `Picture`.

        Raises:
            InputError: an example lacks a field; the message names it.
        """
        ...

    def score(self, templates: Sequence[str], units: Any, /) -> list[Score]:
        """Score templates, in the order given, on what `examples` returned."""
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
    """Compares the class embeddings of a CLIP with the pictures. Subclasses override the hook `judge_embeddings`.

    If a subclass overrides `score` instead, that method alone scores, one template after the other. Everything that
    needs class embeddings (baselines, headroom) is then refused or left out, by name. See `by_embeddings`.

    Args:
        clip: the encoder.
        class_names: the classes that compete, in the order of their labels.
        store: the store of picture features, with the class embeddings beside it; in the user's cache if None.
        also_fit: the names of classes that are only used later (the new classes). Templates must be short enough for
            them too; they are used for nothing else.
    """

    scale: Scale = FRACTION
    keeps_pictures: ClassVar[bool] = False
    """Whether the reward keeps the features of whole pictures in its store."""

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
        """Judge many candidates. Return one `Judged` for each.

        The same embeddings on the same units must give the same numbers, whatever is judged beside them.

        Args:
            classes: the class embeddings of each candidate, float32 (C, D), unit rows, in the order of `names_in`.
            units: what `examples` returned.
        """

    def names_in(self, units: Any) -> Sequence[str]:
        """Return the texts that fill the slot for these units; they may be fewer than the reward's class names."""
        classes = getattr(units, "classes", None)
        return self.class_names if classes is None else [self.class_names[i] for i in classes]

    def problem(self, template: str) -> str | None:
        """Return why a template cannot be scored, or None; see `template.problem` and `template.too_long`."""
        return problem(template) or too_long(template, (*self.class_names, *self.also_fit), self.clip)

    def score(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Score templates that are encoded one by one, so that the same template and units give the same bits."""
        return self.score_embeddings(templates, self.texts.encode(templates, self.names_in(units)), units)

    def score_batch(self, templates: Sequence[str], units: Any) -> list[Score]:
        """Score templates that are encoded together, shared beginnings once; the last bits depend on the others."""
        names, found = self.names_in(units), list[Score]()
        for part in parts(templates, names):
            with self.clip.timed("text"):
                embeddings = encode_templates(self.clip.model, self.clip.tokenizer, part, names)
            found += self.score_embeddings(part, list(embeddings), units)
        return found

    def score_embeddings(self, names: Sequence[str], classes: Sequence[Floats], units: Any) -> list[Score]:
        """Score class embeddings, each float32 (C, D) with unit rows; `names` are the templates of the results.

        Raises:
            InputError: `judge_embeddings` did not return one `Judged` for each set of class embeddings.
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
    """Return a reward as one that scores class embeddings; None if the reward has a `score` of its own.

    >>> from ipo_prompts.metrics.classification import ClipReward
    >>> class Harsher(ClipReward):
    ...     def score(self, templates, pictures):
    ...         return super().score(templates, pictures)
    >>> by_embeddings(object.__new__(Harsher)) is None
    True
    """
    return cast("EmbeddingReward", reward) if keeps(reward, EmbeddingReward, WAYS) else None


WAYS = ("score", "score_batch")
"""The methods of an `EmbeddingReward` that score templates. One that a subclass overrides alone decides the scores."""


def keeps(reward: object, base: type, members: Sequence[str]) -> bool:
    """Whether a reward, an object or a class, derives from `base` and overrides none of `members`.

    Callers ask it of the class before a reward is made, and of the object once there is one.
    """
    made = reward if isinstance(reward, type) else type(reward)
    if not issubclass(made, base) or not (made is reward or vars(reward).keys().isdisjoint(members)):
        return False
    return all(getattr(made, name) is getattr(base, name) for name in members)


def check_fields(examples: Sequence[Any], **fields: str) -> None:
    """Refuse examples that lack a field. `fields` maps each field to its name in messages."""
    if any(name not in example for example in examples for name in fields):
        raise InputError(f"every example needs {' and '.join(fields.values())}.")


def indices(names: Sequence[str], known: Sequence[str], what: str, of: str) -> list[int]:
    """Return the index of each name among the known names; refuse an unknown name."""
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


def class_embeddings(clip: Clip, weighted: Sequence[tuple[str, float]], class_names: Sequence[str]) -> Floats:
    """Return the class embeddings of a weighted ensemble of templates: float32 (C, D), unit rows."""
    if len(weighted) == 1:  # the same bits as in `ClipReward.score`
        return np.asarray(encode_templates(clip.model, clip.tokenizer, [weighted[0][0]], class_names)[0])
    return encode_ensemble(clip.model, clip.tokenizer, weighted, class_names)
