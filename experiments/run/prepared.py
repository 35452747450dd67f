"""A job made ready: pictures of search and selection encoded, models loaded. What it uses is planned in `plan.py`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name

from ipo_prompts.experiments.data import Draw, Item, fresh, load_data
from ipo_prompts.experiments.data.load import cannot_be_read, check_command
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.plan import CODES, SPLIT_SEED, Plan
from ipo_prompts.experiments.run.ui import Shows
from ipo_prompts.experiments.tasks.base import Encoded, check_fractions
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.clock import check_clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.pictures import Exchanged
from ipo_prompts.metrics.reward import Reward, Units, class_embeddings, scale_of
from ipo_prompts.metrics.template import check_template, written

CHECK = "ipo_prompts.experiments.data.check"
FAULTS = f"{CHECK}:faults"
"""Says of each picture why it cannot be read."""
SAME = 1 - 1e-6
"""Cosine of two class embeddings that differ by rounding alone."""


@dataclass(frozen=True)
class Prepared:
    """A plan whose pictures of search and selection are encoded and whose models are loaded; nothing sealed is here.

    Attributes:
        plan: what was planned.
        clip, store: the frozen encoder and its features.
        reward: with the classes to search for.
        search, selection: what is scored on; no selection when nothing is held back.
        lm_seconds: how long language models in this process took to load.
    """

    plan: Plan
    clip: Clip
    store: FeatureStore
    reward: Reward
    search: Encoded
    selection: Encoded | None
    lm_seconds: float

    @property
    def config(self) -> RunConfig:
        """The configuration."""
        return self.plan.config

    @property
    def shown(self) -> list[Units]:
        """What searches and chooses: all that is not sealed."""
        return [part.units for part in (self.search, self.selection) if part]


def prepare(planned: Plan, ui: Shows, clip: Clip | None = None) -> Prepared:
    """Load and check everything that a search needs; write nothing but features to the cache.

    A `clip` that is loaded already can be given.

    Raises:
        InputError: what is wrong with the pictures or the models.
        BudgetReached: the time is used up.
    """
    config, drawn = planned.config, planned.drawn
    check_clock()
    if clip is None:
        ui.passing(f"loading the CLIP {config.clip}")
        clip = load_clip(config.clip, config.device)
    check_clock()
    if planned.data.unnamed:
        resolve_name(CODES)(planned.data, config.data, clip)
    store = FeatureStore(clip)
    others = [name for spec in config.also_fit for name in load_data(spec, seed=SPLIT_SEED).class_names]
    met_later = (*drawn.new_class_names, *others)
    reward = planned.task.reward(clip, drawn.class_names, store, met_later)
    if planned.data.labelled:
        check_fractions(scale_of(reward), f"reward={config.reward['name']}")
    else:
        refuse_equal(clip, config.initial_template, drawn.class_names)
    check_template(config.initial_template, (*drawn.class_names, *met_later), clip)
    if note := resolve_name(f"{CHECK}:transparency_note")([item.picture for item in drawn.search], "search pictures"):
        ui.say(note)
    encoding = partial(encode, planned, reward, ui=ui, seed=config.seed)
    with naming_unreadable(planned):
        searched = encoding(drawn.search, "search")
        selection = encoding(drawn.selection, "selection") if drawn.selection else None
    started = time.monotonic()
    for backend in filter(None, (planned.optimizer, planned.describer)):
        if backend.loads:
            ui.passing(f"loading the language model {backend.model}")
        backend.load()
    return Prepared(planned, clip, store, reward, searched, selection, time.monotonic() - started)


def encode_sealed(prepared: Prepared, ui: Shows) -> None:
    """Encode the sealed pictures before anything is asked or paid, so that one that cannot be read is found now.

    Nothing is scored and no label is looked at; their features wait in the store. A reward that does not keep the
    features of whole pictures would not find them there: its pictures are decoded, no more.

    Raises:
        InputError: names all pictures of the run that cannot be read.
    """
    planned, drawn, store = prepared.plan, prepared.plan.drawn, prepared.store
    sealed = {"test": drawn.test, "new": drawn.new_test} if planned.data.labelled else {"all": planned.data.train}
    with naming_unreadable(planned):
        for name, items in sealed.items():
            pictures = [item.picture for item in items]
            if pictures and getattr(prepared.reward, "keeps_pictures", False):
                store.encode(pictures, ui.pictures(name))
            elif fault := next(filter(None, resolve_name(FAULTS)(pictures)), None):
                raise InputError(fault)


@contextmanager
def naming_unreadable(planned: Plan) -> Iterator[None]:
    """Name all pictures of a run that cannot be read, where an error of the block may be that one cannot be."""
    try:
        yield
    except Exchanged:
        raise
    except InputError as error:
        drawn, config = planned.drawn, planned.config
        left = fresh(planned.data, drawn, config.seed) if planned.data.labelled else ()
        pictures = [item.picture for item in (*drawn.search, *drawn.selection, *drawn.test, *drawn.new_test, *left)]
        found = {one.name: fault for one, fault in zip(pictures, resolve_name(FAULTS)(pictures), strict=True) if fault}
        if not found:
            raise
        command = check_command(config.data, config.class_names, config.labels, config.exclude)
        raise cannot_be_read(list(found), next(iter(found.values())), command) from error


def refuse_equal(clip: Clip, template: str, class_names: Sequence[str]) -> None:
    """Refuse classes that a CLIP reads as one: without labels nothing else would tell.

    Raises:
        InputError: names the first two.
    """
    rows = class_embeddings(clip, [(template, 1.0)], class_names)
    for i, row in enumerate(rows[:-1]):
        for j in (rows[i + 1 :] @ row > SAME).nonzero()[0].tolist():
            first, second = str(class_names[i]), str(class_names[i + 1 + j])
            raise InputError(
                f"the CLIP reads the classes {first!r} and {second!r} as the same text, so that it cannot tell them "
                "apart; rename one or join them."
            )


def encode(planned: Plan, reward: Reward, items: Sequence[Item], what: str, *, ui: Shows, seed: int) -> Encoded:
    """Encode the pictures of one part and show the progress; `what` is the name of the part."""
    return planned.task.encode(reward, items, seed=seed, progress=ui.pictures(what))


def labelled_contents(store: FeatureStore, items: Sequence[Item]) -> list[tuple[str, int | tuple[int, ...]]]:
    """Return the digest of each picture's bytes with its label, or labels, in order."""
    contents = store.contents([item.picture for item in items])
    return [(content, item.also or item.label) for content, item in zip(contents, items, strict=True)]


def fingerprint(prepared: Prepared, *parts: Sequence[Item]) -> str:
    """Return a digest of the classes and of the pictures used, part by part: bytes and labels, not paths."""
    return digest_of(prepared.store, prepared.plan.drawn, *parts)


def digest_of(store: FeatureStore, drawn: Draw, *parts: Sequence[Item]) -> str:
    """Return the digest of what was drawn, see `fingerprint`."""
    used = [labelled_contents(store, items) for items in parts]
    names = [written(drawn.class_names), written(drawn.new_class_names)]
    return hashlib.sha256(json.dumps([names, used]).encode()).hexdigest()
