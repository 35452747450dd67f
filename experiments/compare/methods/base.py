"""The interface of methods under test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import Fitted as FittedOffsets
from ipo_prompts.metrics.registry import blaming
from ipo_prompts.metrics.reward import Reward, by_embeddings, class_embeddings
from ipo_prompts.metrics.template import check_template
from ipo_prompts.programs.record.journal import Event
from ipo_prompts.programs.search import SearchResult

Weighted = tuple[str, float]
Logits = Callable[[Floats], Floats]
"""From features of pictures, float32 (n, D), unit rows, to logits, float32 (n, C)."""


@dataclass(frozen=True)
class Lesson:
    """What a method may learn from.

    Attributes:
        prepared: the settings that all methods share, the reward with the classes to learn, and the search and
            selection pictures. The test pictures have been taken out of everything that is here.
        settings: those of the grid for all methods, as they are written there.
        hand_written: the data set's own template, if people have written one.
        folder: where the method may keep what it needs to resume after a crash.
    """

    prepared: Prepared
    settings: Mapping[str, Any]
    hand_written: str | None
    folder: Path

    @property
    def config(self) -> RunConfig:
        """The settings that all methods share."""
        return self.prepared.config

    @property
    def clip(self) -> Clip:
        """The frozen encoder."""
        return self.prepared.clip

    @property
    def class_names(self) -> Sequence[str]:
        """The classes to learn, in label order."""
        return self.prepared.reward.class_names


@dataclass(frozen=True)
class Budget:
    """What a method used.

    Attributes:
        proposals: templates that a search's strategy proposed and that were scored, besides the initial one.
        scored_only: templates that were scored without being proposed: those of a list or of a vocabulary of
            phrases, and what a strategy only looked at.
        calls: replies of language models, to the optimizer and the describer together.
        tokens_in, tokens_out: tokens of these replies, and the most that lost ones can have had.
        usd: what they cost in US dollars; None when a price is not known. Replies that the cache of earlier runs gave
            for nothing count in full: methods are compared by what they need.
    """

    proposals: int = 0
    scored_only: int = 0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = 0.0


NOTHING = Budget()


class Fitted:
    """What a method has learnt; either `FittedEmbeddings` or `FittedLogits`.

    Attributes:
        templates: the weighted templates; None for what is no text.
        choice: how the winner was chosen, as in `result.json`; None where nothing was chosen.
        budget: what it took.
        shortened: what was done to descriptions that did not fit into a question, in words.
    """

    templates: tuple[Weighted, ...] | None = None
    choice: dict[str, Any] | None = None
    budget: Budget = NOTHING
    shortened: str = ""


class FittedEmbeddings(Fitted, ABC):
    """A classifier for any classes: the more similar a class's embedding, the higher its logit."""

    @abstractmethod
    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Return float32 (C, D): unit rows, or shorter ones where the similarities of several texts are averaged.

        Raises:
            InputError: a class name makes a text that does not fit the encoder's context.
        """


@dataclass(frozen=True)
class FittedLogits(Fitted):
    """Any other classifier of pictures. No text alone can stand for it, so that `templates` is None.

    Attributes:
        logits: from class names to their classifier; raises `Absent`, with the reason, where it cannot classify them.
    """

    logits: Callable[[Sequence[str]], Logits]


def labels_of_a_search(config: RunConfig) -> int:
    """Return the labelled pictures of each class that a search sees: those searched on, and those that choose."""
    return config.shots + (config.selection_shots if config.selection == "held-back" else 0)


class Method(ABC):
    """A method under test, with what grids and tables need to know of it.

    Attributes:
        label: its name in a sentence.
        depends_on_seed: whether another seed can give another result; else one run stands for all seeds.
        uses_lm: whether it asks a language model, and so needs one and costs money.
        shows: of a control, what is shown by beating it, as a clause: "the history helps". Else empty.
        uses_labels: whether it sees as many labelled pictures as a search, else none.
        unlike: where it is not as it was published, as a clause for the notes of a table; empty for nowhere.
        is_opponent: whether verdicts hold IPO against it. Variants of IPO, and wordings that just have a row, are none.
        remark: what a reader of its row has to know, as a sentence without its full stop; empty for nothing.
        settles: whether names of classes and offsets can be settled at its end, as at that of a search.
    """

    label: str
    depends_on_seed: bool = True
    settles: bool = False
    uses_lm: bool = False
    uses_labels: bool = True
    unlike: str = ""
    shows: str = ""
    is_opponent: bool = True
    remark: str = ""

    @property
    def is_control(self) -> bool:
        """Whether it is IPO without one of its parts."""
        return bool(self.shows)

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return how many labelled pictures of each class it sees under the settings that all methods share."""
        return labels_of_a_search(config) if self.uses_labels else 0

    def differs(self, config: RunConfig) -> str:
        """Return `unlike`, or what that is under the settings that all methods of the row share."""
        return self.unlike

    def run_config(self, shared: RunConfig, settings: Mapping[str, Any] | None = None) -> RunConfig | None:
        """Return the configuration of the search that it makes with a language model; None when it makes none.

        Args:
            shared: what all methods of the row share.
            settings: the same as the grid has it: what it leaves out is the method's to say. None takes what was set.

        Raises:
            InputError: a setting is wrong.
        """
        return None

    @abstractmethod
    def fit(self, lesson: Lesson) -> Fitted:
        """Learn from the lesson's pictures; the same lesson gives the same result.

        Raises:
            Absent: the method does not exist for this data set.
            InputError: what is wrong with the lesson.
        """


@dataclass(frozen=True, kw_only=True)
class Recorded(Method):
    """A class of somebody's own as a file of cells tells of it: no table needs more, and no code is imported for it.

    Attributes:
        labelled, unlike: see `Method.labelled_per_class` and `differs`, under the settings of its row.
    """

    label: str
    depends_on_seed: bool
    shows: str
    is_opponent: bool
    remark: str
    labelled: int
    unlike: str

    @classmethod
    def of(cls, method: Method, config: RunConfig) -> Recorded:
        """Tell of a method under the settings that all methods of the row share."""
        about = {one.name: getattr(method, one.name) for one in fields(cls) if one.name not in ("labelled", "unlike")}
        return cls(**about, labelled=method.labelled_per_class(config), unlike=method.differs(config))

    def labelled_per_class(self, config: RunConfig) -> int:
        """See `Method`."""
        return self.labelled

    def fit(self, lesson: Lesson) -> Fitted:
        """It was recorded elsewhere, and there is nothing here to learn with."""
        raise Absent("its code is not here")


def own_method(made: Any, what: str) -> Method:
    """Return a method, listed or of a class of the user's own.

    Raises:
        InputError: it is none, or cannot be made.
    """
    if isinstance(made, Method):
        return made
    if not issubclass(made, Method):
        raise InputError(f"{what} is no Method; see docs/reproduce.md.")
    with blaming(what):
        found: Method = made()
        return found


class Absent(Exception):
    """A method has nothing for a data set or a test set; `str(error)` says why. No failure: a gap in the table."""


def classifying(reward: Reward) -> ClipReward:
    """Return a reward that can score any classifier of pictures, by its own measure.

    Raises:
        Absent: it cannot.
    """
    if not isinstance(reward, ClipReward) or by_embeddings(reward) is None:
        raise Absent("it classifies pictures, and this reward asks for something else")
    return reward


class SearchEnd(NamedTuple):
    """What a search leaves behind.

    Attributes:
        prepared: what was searched on, with the settings of the search.
        found: its result.
        events: of its journal; none where it tried a given list.
    """

    prepared: Prepared
    found: SearchResult
    events: Sequence[Event] = ()


@dataclass(frozen=True)
class Templates(FittedEmbeddings):
    """One template or an ensemble.

    Attributes:
        search: what the search that found them leaves behind; None where none was made.
        names: class → what a search for names found that it is best called.
        classes, offsets: those that were learnt, and what is added to their logits, see `metrics.offsets`.
    """

    clip: Clip
    templates: tuple[Weighted, ...]
    choice: dict[str, Any] | None = None
    budget: Budget = NOTHING
    shortened: str = ""
    search: SearchEnd | None = field(default=None, compare=False)
    names: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    offsets: FittedOffsets | None = None

    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Return the weighted mean of the templates' class embeddings; see `FittedEmbeddings`."""
        class_names = [self.names.get(name, name) for name in class_names]
        for template, _ in self.templates:
            check_template(template, class_names, self.clip)
        with self.clip.timed("text"):
            return class_embeddings(self.clip, self.templates, class_names)
