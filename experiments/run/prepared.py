"""Make a run ready: encode its train and validation images, load its models, and record the drawn images.

`plan.py` plans which images and models the run uses.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ipo_prompts.experiments.data import Draw, Item, fresh
from ipo_prompts.experiments.data.check import faults
from ipo_prompts.experiments.data.draw import cut_to
from ipo_prompts.experiments.data.load import cannot_be_read
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import Content, event_as
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import Plan
from ipo_prompts.experiments.run.tested_before import DIGITS
from ipo_prompts.experiments.tasks import Encoded, check_fractions
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.device import Precision, Unreachable
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, contents
from ipo_prompts.metrics.images import Exchanged, in_threads
from ipo_prompts.metrics.reward import Reward, Units, scale_of
from ipo_prompts.metrics.template import check_template, written
from ipo_prompts.programs.journal import Journal, last

SHOWN, HELD_OUT = ("train", "val"), ("test", "new_test")
"""The names of the parts of a draw that are used to search and choose, and of the parts that stay held out."""


EVENT = "drawn"
"""The type of the journal event that records the drawn images."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to search: its train and validation images are encoded, and its models are loaded.

    It holds no units of test images.

    Attributes:
        plan: the plan of the run.
        clip, store: the frozen CLIP, and the store of its features.
        reward: the reward for the classes of the search.
        train, val: the encoded train and validation images; `val` is None if none are held back.
        lm_seconds: how long it took to load language models into this process, in seconds.
    """

    plan: Plan
    clip: Clip
    store: FeatureStore
    reward: Reward
    train: Encoded
    val: Encoded | None
    lm_seconds: float

    @property
    def config(self) -> RunConfig:
        """The configuration."""
        return self.plan.config

    def contents(self, *parts: str) -> list[str]:
        """Return the digest of the bytes of each image in the named parts of the draw.

        Raises:
            InputError: an image is gone, or has changed since it was encoded.
        """
        return contents([item.image for part in parts for item in getattr(self.plan.drawn, part)])

    def digest(self, *parts: str) -> str:
        """Return one digest of the named parts of the draw; see `digest_of`."""
        return digest_of(self.plan.drawn, *(getattr(self.plan.drawn, part) for part in parts))

    @property
    def shown(self) -> list[Units]:
        """The units of the train images and, if there are any, of the validation images."""
        return [part.units for part in (self.train, self.val) if part]


def prepare(planned: Plan, ui: Ui) -> Prepared:
    """Load and check everything that a search needs; nothing is written but features, to the cache.

    Args:
        planned: the plan.
        ui: shows the progress.

    Raises:
        InputError: something is wrong with the images or the models.
    """
    config, drawn = planned.config, planned.drawn
    ui.passing(f"loading the CLIP {config.clip}")
    clip = copy(loaded(config.clip, config.device, config.precision))  # another run may encode at the same time
    store = FeatureStore(clip)
    met_later = (*drawn.new_class_names, *planned.also_fit)
    reward = planned.task.reward(clip, drawn.class_names, store, met_later)
    check_fractions(scale_of(reward), f"reward={config.reward['name']}")
    check_template(config.initial_template, (*drawn.class_names, *met_later), clip)
    encode = partial(planned.task.encode, reward, seed=config.seed)
    with naming_unreadable(planned):
        train = encode(drawn.train, progress=ui.images("train"))
        val = encode(drawn.val, progress=ui.images("val")) if drawn.val else None
    started = time.monotonic()
    for backend in filter(None, (planned.optimizer, planned.describer)):
        backend.load(ui.passing)
    return Prepared(planned, clip, store, reward, train, val, time.monotonic() - started)


@lru_cache(maxsize=4)
def loaded(name: str, device: str, precision: Precision = "fp32") -> Clip:
    """Return a frozen CLIP, which a process loads once for all its runs; see `load_clip`."""
    with offering_demo():
        return load_clip(name, device, precision)


@contextmanager
def naming_unreadable(planned: Plan) -> Iterator[None]:
    """If the block fails because an image cannot be read, raise an InputError that names all unreadable images."""
    try:
        yield
    except Exchanged:
        raise
    except InputError as error:
        drawn, config = planned.drawn, planned.config
        left = fresh(planned.data, drawn, config.seed)
        images = [item.image for item in (*drawn.train, *drawn.val, *drawn.test, *drawn.new_test, *left)]
        found = {one.name: fault for one, fault in zip(images, faults(images), strict=True) if fault}
        if not found:
            raise
        raise cannot_be_read(list(found), next(iter(found.values())), config.check_command) from error


@contextmanager
def offering_demo() -> Iterator[None]:
    """If a CLIP cannot be fetched in the block, because there is no network, also say that the demo CLIP needs none."""
    try:
        yield
    except Unreachable as error:
        said = str(error).removesuffix(".")
        raise InputError(f"{said}, or type --clip embedded, the demo CLIP that ships with IPO (for trials).") from error


def labelled_contents(items: Sequence[Item]) -> list[tuple[str, int]]:
    """Return, for each image in order, the digest of its bytes and its label."""
    digests = contents([item.image for item in items])
    return [(digest, item.label) for digest, item in zip(digests, items, strict=True)]


def image_ids(items: Sequence[Item]) -> str:
    """Return a digest of the images: of their content, labels and order."""
    return hashlib.sha256(json.dumps(labelled_contents(items)).encode()).hexdigest()


def digest_of(drawn: Draw, *parts: Sequence[Item]) -> str:
    """Return a digest of the class names and of the images of each part: their bytes and labels, not their paths."""
    used = [labelled_contents(items) for items in parts]
    names = [written(drawn.class_names), written(drawn.new_class_names)]
    return hashlib.sha256(json.dumps([names, used]).encode()).hexdigest()


# The record of the images that a run drew; an image is recognised by its bytes.


class DrawnImages(Content):
    """The `drawn` event of a journal: the beginning of the digest of each image's bytes, in order, for each part.

    With this record, a resumed run goes on with the same images even if images were added or removed since. A new
    draw would differ: one image less in a folder changes the split and the draw of all others. All train and
    validation images must still be there. Until the test is opened, test images may be removed, for example an
    unreadable image; the test then uses the other test images.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    val: tuple[str, ...]
    test: tuple[str, ...]


def as_begun(planned: Plan, folder: Path) -> Plan:
    """Return the plan with the images that the run recorded when it began; the same plan if it has these already.

    Raises:
        InputError: train or validation images are gone or changed.
    """
    data, drawn, known = planned.data, planned.drawn, event_as(DrawnImages, last(folder, EVENT))
    if known is None or (known.train, known.val) == (_digests(drawn.train), _digests(drawn.val)):
        return planned
    there: dict[str, list[Item]] = {}
    every = [item for _, item in data.items()]
    for digest, item in zip(_digests(every), every, strict=True):
        there.setdefault(digest, []).append(item)

    def found(digests: Sequence[str]) -> tuple[Item, ...]:
        return tuple(there[digest].pop(0) for digest in digests if there.get(digest))

    train, val, test = found(known.train), found(known.val), found(known.test)
    shown = len(known.train) + len(known.val)
    if gone := shown - len(train) - len(val):
        raise InputError(
            f"{folder} holds another search: {gone:,} of its {shown:,} train and validation images "
            f"{'is' if gone == 1 else 'are'} gone or changed; put them back."
        )
    classes, apart = len(drawn.class_names), {id(item.image) for item in test}
    again = Draw(
        train=cut_to(train, range(classes)),
        val=cut_to(val, range(classes)),
        test=cut_to(test, range(classes)),
        new_test=cut_to(test, range(classes, len(data.class_names))),
        class_names=drawn.class_names,
        new_class_names=drawn.new_class_names,
    )
    rest = tuple(item for item in every if id(item.image) not in apart)
    return replace(planned, data=replace(data, train=rest, val=(), test=test), drawn=again)


def record_drawn(journal: Journal, prepared: Prepared, say: Callable[[str], None]) -> None:
    """Record the drawn images of a run; if they were recorded before, say how many test images are gone since.

    Raises:
        InputError: test images are gone, and the test was opened on them.
    """
    train, val, test = (
        tuple(content[:DIGITS] for content in prepared.contents(*parts)) for parts in (SHOWN[:1], SHOWN[1:], HELD_OUT)
    )
    known = event_as(DrawnImages, journal.find(EVENT))
    gone = len(set(known.test) - set(test)) if known else 0
    if known and not gone:
        return
    if known:
        were = f"{gone:,} of the {len(known.test):,} test images {'is' if gone == 1 else 'are'} gone or changed"
        if journal.find("test"):
            raise InputError(f"{were}, and the test of {journal.path.parent} was opened on them; put them back.")
        say(f"{were} since the run began; the test was not opened yet, and will use the other {len(test):,}")
    journal.append(EVENT, **DrawnImages(train=train, val=val, test=test).model_dump(mode="json"))


def _digests(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(in_threads(_digest, items))


def _digest(item: Item) -> str:
    try:
        return item.image.content()[:DIGITS]
    except InputError:  # an image that cannot be read was not drawn
        return ""
