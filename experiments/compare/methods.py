"""Methods under test: IPO's variants, its controls, and the baselines that every claim is compared with.

All methods have one interface: `fit` sees a few images and returns a classifier for any classes. To add a method,
write a file and add a line to `METHODS`. The line names an instance. A method is imported when it is chosen.

The methods that ask a language model have the same budget: the lesson sets their steps, candidates per step and
retries, and they do not stop early. They score equally many templates unless a model runs out of new templates. The
number of retries that they use depends on the replies; each table shows the calls. `ipo-paper` and `ipo-code` differ
from `ipo-default` in the published settings of history, pinning, floor, requests, descriptions and selection. They do
not have their published steps and candidates by themselves: a grid can set these, for all methods or for these rows.
If a grid does not, the table says so.

Methods that try templates without a language model (`best-of-80`, `vocabulary`) propose no templates. Their templates
are scored only, and each table counts these separately.

Labelled images are the other budget, and each table shows their number, too. Methods that choose nothing on validation
images (`ipo-paper`, `ipo-code`) see no validation images, as published.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.run.plan import held_back_shots
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import Absent as Absent
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import Registry, blaming
from ipo_prompts.metrics.reward import Reward, by_embeddings, class_embeddings
from ipo_prompts.metrics.template import check_template

SUBJECTS = ("ipo", "ipo-default")
"""The methods that verdicts are about: the first of them that a table has."""

METHODS = Registry(
    "method",
    __package__,
    {
        "baseline": "text_methods:THE_BASELINE",
        "class-name": "text_methods:CLASS_NAME",
        "given": "text_methods:GIVEN",
        "hand-written": "text_methods:HAND_WRITTEN",
        "ensemble-80": "text_methods:ENSEMBLE_80",
        "best-of-80": "text_methods:BEST_OF_80",
        "vocabulary": "text_methods:VOCABULARY",
        "prototype": "image_methods:PROTOTYPE",
        "gda": "image_methods:GDA",
        "gda-text": "image_methods:GDA_TEXT",
        "phrases": "text_methods:PHRASES",
        "no-history": "text_methods:NO_HISTORY",
        "history": "text_methods:HISTORY",
        "ipo-paper": "text_methods:IPO_PAPER",
        "ipo-code": "text_methods:IPO_CODE",
        "ipo-default": "text_methods:IPO_DEFAULT",
        "text": "text_methods:TEXT",
        "ipo": "text_methods:IPO",
    },
    default="ipo",
    own="methods:own_method",
    word="methods",
)
"""Name in a grid → the method, in the order of a table."""

Logits = Callable[[Floats], Floats]
"""Takes features of images, float32 (n, D) in unit rows, and returns logits, float32 (n, C)."""


class Fitted:
    """A method's classifier after learning: either `FittedEmbeddings` or `FittedLogits`.

    Attributes:
        templates: the templates; None if the classifier is not made of text.
        gain: the gain of the choice on held-back images, see `Chosen`; None where nothing was chosen or held back.
        scored_only: how many templates were scored to choose from.
    """

    templates: tuple[str, ...] | None = None
    gain: float | None = None
    scored_only: int = 0


class FittedEmbeddings(Fitted, ABC):
    """A classifier for any classes: the more similar the embedding of a class, the higher the logit of the class."""

    @abstractmethod
    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Return the embedding of each class, float32 (C, D).

        Rows have length 1, or are shorter where the similarities of several texts are averaged.

        Raises:
            InputError: a class name makes a text that does not fit the encoder's context.
        """

    def embeddings_of(self, class_names: Sequence[str]) -> Floats:
        """Return `class_embeddings`, which are made once: several sets of images have the same classes."""
        key = tuple(class_names)
        if key not in self._made:
            self._made[key] = self.class_embeddings(class_names)
        return self._made[key]

    @cached_property
    def _made(self) -> dict[tuple[str, ...], Floats]:
        return {}


@dataclass(frozen=True)
class FittedLogits(Fitted):
    """Any other classifier of images. No text alone can replace the classifier, so `templates` is None.

    Attributes:
        logits: takes class names and returns their classifier; raises `Absent`, with the reason, if there is none.
    """

    logits: Callable[[Sequence[str]], Logits]


class Facts(Content):
    """What a table needs to know about the method of a row, under the settings of the row's cells; see `Method`.

    `shots` are the train images of each class; None if they are not known.
    """

    label: str
    depends_on_seed: bool = True
    shows: str = ""
    is_opponent: bool = True
    remark: str = ""
    labelled: int = 0
    differs: str = ""
    shots: int | None = None


class Method(ABC):
    """A method under test, with the facts that grids and tables need.

    Attributes:
        label: the method's name in a sentence.
        depends_on_seed: whether another seed can give another result; else one run stands for all seeds.
        shows: for a control, the claim that is shown if IPO beats it, as a clause: "the history helps". Else empty.
        uses_labels: whether the method sees as many labelled images as a search; else it sees none.
        unlike: how the method differs from its publication, as a clause for the notes of a table; empty if it does not.
        is_opponent: whether verdicts compare IPO with the method. Variants of IPO, and wordings that only have a row,
            are no opponents.
        remark: a remark for readers of the row, as a sentence without its full stop; or empty.
    """

    label: str
    depends_on_seed: bool = True
    uses_labels: bool = True
    unlike: str = ""
    shows: str = ""
    is_opponent: bool = True
    remark: str = ""

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return how many labelled images of each class the method sees under the settings of its cells."""
        return config.shots + held_back_shots(config) if self.uses_labels else 0

    def differs(self, config: RunConfig) -> str:
        """Return how the method differs from its publication, as a clause; by default `unlike`.

        `config` has the settings of the row's cells; the differences may depend on them.
        """
        return self.unlike

    def facts(self, config: RunConfig) -> Facts:
        """Return what a table needs to know about the method under the settings of its cells."""
        own = {name: getattr(self, name) for name in ("label", "depends_on_seed", "shows", "is_opponent", "remark")}
        return Facts(**own, labelled=self.labelled_per_class(config), differs=self.differs(config), shots=config.shots)

    @abstractmethod
    def fit(self, lesson: Prepared) -> Fitted:
        """Learn from the lesson's images; the same lesson gives the same result.

        Args:
            lesson: the settings that all methods share (`config`), the CLIP, the reward with the classes to learn, and
                the train and validation images. The test images have been taken out of everything here.

        Raises:
            Absent: the method does not exist for this data set.
            InputError: the lesson is unusable; the message says why.
        """


def own_method(made: Any, what: str) -> Method:
    """Return an instance of a method, a class of the user's own.

    Raises:
        InputError: the class is no method, or cannot be made.
    """
    if not (isinstance(made, type) and issubclass(made, Method)):
        raise InputError(f"{what} is no Method; see ipo docs grids.")
    with blaming(what):
        return made()


def classifying(reward: Reward) -> ClipReward:
    """Return the reward, after a check that it can score any classifier of images with its own measure.

    Raises:
        Absent: the reward cannot score any classifier of images.
    """
    if not isinstance(reward, ClipReward) or by_embeddings(reward) is None:
        raise Absent("it classifies images, and this reward asks for something else")
    return reward


@dataclass(frozen=True)
class Templates(FittedEmbeddings):
    """A classifier made of one template or of an ensemble of templates."""

    clip: Clip
    templates: tuple[str, ...]
    gain: float | None = None
    scored_only: int = 0

    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Return the mean of the templates' class embeddings; see `FittedEmbeddings`."""
        for template in self.templates:
            check_template(template, class_names, self.clip)
        return class_embeddings(self.clip, self.templates, class_names)
