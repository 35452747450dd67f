"""`IPOClassifier`: a search and its result as an estimator of scikit-learn (ipo docs scikit-learn).

Scikit-learn is an extra of the package. The estimator learns from images in any form that `to_image` takes, or from
the features of images. Images are first encoded to features. The features of a row, not its position, decide
whether it is held back and when the search reads it. So the same rows in another order give the same estimator.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ipo_prompts.experiments.data.dataset import default_task
from ipo_prompts.experiments.data.draw import cut
from ipo_prompts.experiments.data.names import checked_names
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import EncodedImages
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.errors import InputError, reason, several, silent, to_install
from ipo_prompts.metrics.features import FeatureStore, as_features
from ipo_prompts.metrics.template import named, tidy
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.optimizer import IPO
from ipo_prompts.programs.running import calibrate_words
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d
except ImportError as error:
    raise InputError(f"IPOClassifier needs scikit-learn: {to_install('sklearn')}.") from error

if TYPE_CHECKING:
    from typing import Self

logger = logging.getLogger(__name__)

Anything = npt.NDArray[Any]


class IPOClassifier(ClassifierMixin, BaseEstimator):
    """Classifies images with a frozen CLIP and the template that a search finds on labelled images.

    Each `fit` is a search, so each fold of a cross-validation is a search. `fit` holds back a fifth of the images of
    each class. With them it chooses the winner. Both parts fit the temperature of the probabilities.

    Args:
        clip: the name of a CLIP, as `ipo optimize` takes it, or a loaded CLIP. Other processes (`n_jobs`) load the CLIP
            by name.
        class_names: the class names. A mapping gives each label its class name, or a list of its class name and
            synonyms. A list of names is for labels that are these names, or that are the positions 0, 1, … in the list.
            Some tools, such as `cross_val_predict`, number the labels themselves: give them `sorted(set(y))`. None: the
            labels are the class names.
        lm: the language model that the strategy asks: a `dspy.LM`, or a name as `ipo optimize --lm` takes it.
        strategy: how new templates are found; see `IPO`.
        steps: the number of steps. In each step the strategy is asked for new templates.
        settings: further arguments of `IPO`, such as `{"budget_usd": 1.5}` or `{"classifier": "text"}`.
        random_state: a whole number from 0: the seed of the search and of the choice of held-back images. The same
            seed gives the same estimator.

    Attributes:
        classes_: the labels in `y`, sorted.
        template_: the chosen template.
        search_seconds_: how long the search took, in seconds. The time for encoding the images is not included.
        program_: the `TemplateClassifier`; `program_.save("program.json")` writes a file for others and `ipo predict`.
    """

    def __init__(
        self,
        clip: str | Clip = "embedded",
        class_names: Mapping[Any, str | list[str]] | Sequence[str] | None = None,
        *,
        lm: Any = "none",
        strategy: Any = STRATEGIES.default,
        steps: int = SearchSettings().steps,
        settings: Mapping[str, Any] | None = None,
        random_state: int = 0,
    ) -> None:
        self.clip = clip
        self.class_names = class_names
        self.lm = lm
        self.strategy = strategy
        self.steps = steps
        self.settings = settings
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Search for the template that classifies these images best.

        Args:
            X: n images, in any form that `to_image` takes; or the features of n images by this CLIP, an array
                (n, D). Its rows are normalised to length 1.
            y: n labels, texts or integers.
            groups: n names of groups. Images that are not independent, such as variants of one image or frames of
                one film, have the same name, and are held back together. None: all images are independent.

        Raises:
            InputError: X, y and groups differ in length, there are fewer than two classes, a label has no class name,
                or the search does not take a setting.
        """
        clip = self._loaded()
        features = _features(clip, X)
        labels = _checked(y, groups, len(features))
        classes = np.unique(labels)
        if len(classes) < 2:
            raise InputError(f"y has the one label {classes.tolist()[0]!r}; a classifier needs two at least.")
        names = _names(classes, self.class_names)
        digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in features]
        keys = digests if groups is None else _joined([*map(str, groups)], digests)
        numbers = np.searchsorted(classes, labels)
        search, held_back = _parts(digests, keys, numbers, self.random_state)

        def examples(rows: Sequence[int]) -> list[dspy.Example]:
            label = [str(names[numbers[row]]) for row in rows]
            return [
                dspy.Example(features=features[row], label=one, group=keys[row])
                for row, one in zip(rows, label, strict=True)
            ]

        student = TemplateClassifier(clip, names)
        ipo = IPO(
            lm=self.lm,
            strategy=self.strategy,
            task=default_task(names),
            **{"seed": self.random_state, "steps": self.steps, **(self.settings or {})},
        )
        started = time.monotonic()
        with silent("dspy"):  # DSPy would log a line for each step of each fold
            program = ipo.compile(student, trainset=examples(search), valset=examples(held_back))
        self.search_seconds_ = time.monotonic() - started
        found: Any = program
        calibrate_words(program, student, found.search.choice.gain, found.named, [EncodedImages(features, numbers)])
        # The program is stored in its JSON form. So a pickle of the estimator has texts and numbers, but no CLIP.
        self._state, self._labels = program.dump_state(), program.labels
        self.__dict__.pop("program_", None)  # it would be the program of an earlier fit
        self.classes_, self.template_ = classes, program.template
        logger.info("a search on %d images took %.1f s: %s", len(search), self.search_seconds_, self.template_)
        return self

    @cached_property
    def program_(self) -> TemplateClassifier:
        """The fitted `TemplateClassifier`. In a process other than that of `fit`, this loads the CLIP.

        Raises:
            InputError: the CLIP with this name has changed since `fit`.
        """
        check_is_fitted(self, "classes_")
        program = TemplateClassifier(self._loaded(), self._labels)
        program.load_state(self._state)
        return program

    def predict(self, X: Any) -> Anything:
        """Return the most probable label of each image, (n,). If labels are equally probable, the first counts."""
        logits = self._logits(X)
        found: Anything = self.classes_[logits.argmax(axis=1)]
        return found

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, float32 (n, C), in the order of `classes_`; rows sum to 1."""
        program = self.program_
        return program.head().probabilities(_features(program.clip, X))

    def decision_function(self, X: Any) -> Floats:
        """Return the logits, float32 (n, C). For two classes, return the second logit minus the first, (n,)."""
        logits = self._logits(X)
        return logits if logits.shape[1] > 2 else logits[:, 1] - logits[:, 0]

    def _logits(self, X: Any) -> Floats:
        program = self.program_
        return program.logits(_features(program.clip, X))

    def _loaded(self) -> Clip:
        if not isinstance(self.clip, (str, Clip)):
            raise InputError(
                f"clip= takes the name of a CLIP, such as 'ViT-B-16/openai', not {type(self.clip).__name__}."
            )
        return _load(self.clip) if isinstance(self.clip, str) else self.clip

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "program_"}


@lru_cache(maxsize=2)
def _load(name: str) -> Clip:
    """Load the CLIP with this name. All folds in a process share the loaded CLIP."""
    return load_clip(name)


def _features(clip: Clip, given: Any) -> Floats:
    """Return features with rows of length 1, float32 (n, D).

    Args:
        clip: the CLIP that encodes images.
        given: n images in any form that `to_image` takes, or the features of n images.

    Raises:
        InputError: `given` is empty, or has neither images nor features.
    """
    if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
        raise InputError(f"X is {type(given).__name__} and no list of images; write [image] for one image.")
    if len(given) == 0:
        raise InputError("X is empty; give at least one image.")
    if not isinstance(given, (list, tuple)):  # an array, a frame, a series
        given = np.asarray(given)
        given = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 and given.dtype == object else given
    if isinstance(given[0], (list, tuple, np.ndarray, np.number)) and np.ndim(given[0]) < 3:
        return as_features(given, clip.width, "X")
    return FeatureStore(clip).encode(given)


def _checked(y: Any, groups: Any, n: int) -> Anything:
    """Return the labels as an array of texts or of integers, (n,).

    Raises:
        InputError: the labels are neither texts nor integers, or the number of labels or of groups is not n.
    """
    try:
        labels = column_or_1d(y)
        check_consistent_length(range(n), labels, groups)
        if labels.dtype == object and not all(isinstance(one, str) for one in labels):
            raise ValueError("labels are texts for all, or integers for all")
        check_classification_targets(labels)
    except (TypeError, ValueError) as error:
        raise InputError(f"y and groups are a label and a group for each of {n} images: {reason(error)}.") from error
    found: Anything = labels.astype({"O": str, "f": np.int64}.get(labels.dtype.kind, labels.dtype))
    return found


def _joined(groups: Sequence[str], digests: Sequence[str]) -> list[str]:
    """Return the name of the group of each row. Groups that share an image are joined, and get their smallest name.

    >>> _joined(["b", "a", "b", "c"], ["1", "2", "2", "3"])
    ['a', 'a', 'a', 'c']
    """
    names, group = np.unique(groups, return_inverse=True)
    image = np.unique(digests, return_inverse=True)[1] + len(names)
    size = image.max() + 1
    shared = csr_array((np.ones(len(group)), (group, image)), shape=(size, size))
    joined = connected_components(shared, directed=False)[1]
    first = np.unique(joined[: len(names)], return_index=True)[1]  # the names are sorted, so the first is the smallest
    return [str(name) for name in names[first[joined[group]]]]


def _names(classes: Anything, given: Any) -> tuple[str, ...]:
    """Return the class name for each label in `classes`, in the same order.

    Raises:
        InputError: a label has no name, or a name that cannot be used.
    """
    labels = classes.tolist()
    if given is None:
        if classes.dtype.kind not in "U":
            raise InputError(
                f"the labels are {several([str(label) for label in labels], 3)}, but a CLIP reads names; give "
                "class_names={label: name}, or a list of names for the labels 0, 1, … (sorted(set(y)) where "
                "scikit-learn numbers names itself)."
            )
        return tuple(map(tidy, labels))
    if isinstance(given, str):
        raise InputError("class_names= takes label → name, such as {0: 'cat', 1: 'dog'}, or a list of names.")
    if not isinstance(given, Mapping):
        given = {name: name for name in given} if classes.dtype.kind == "U" else dict(enumerate(given))
    missing = [repr(label) for label in labels if label not in given]
    if missing:
        raise InputError(f"class_names= has no name for the labels {several(missing)}; add them.")
    found = (checked_names(given[label], f"class_names: {label!r}", str(label)) for label in labels)
    return tuple(named(names) for names in found)


def _parts(
    digests: Sequence[str], keys: Sequence[str], numbers: npt.NDArray[np.int64], seed: int
) -> tuple[list[int], list[int]]:
    """Return the numbers of the rows to search on, and the numbers of the held-back rows.

    Both lists name the same images in the same order, whatever the order of the rows.

    Args:
        digests: for each row, the digest of its features.
        keys: for each row, the name of its group.
        numbers: for each row, the number of its class, int64 (n,).
        seed: the seed of the choice.

    Raises:
        InputError: the seed is not a whole number from 0.
    """
    if type(seed) is not int or seed < 0:
        raise InputError(f"random_state= is a whole number from 0, such as 0, not {seed!r}.")
    groups: dict[int, set[str]] = defaultdict(set)
    for key, number in zip(keys, numbers.tolist(), strict=True):
        groups[number].add(key)
    place = cut(groups, seed, test=False)
    order = sorted(range(len(digests)), key=lambda row: (numbers[row], digests[row]))
    search = [row for row in order if place[keys[row]] == "train"]
    return search, [row for row in order if place[keys[row]] != "train"]
