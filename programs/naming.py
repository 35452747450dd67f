"""What classes are called in a search: looked for after the template, around the one that was chosen.

By experiment: names that are found around the initial template fit the chosen one less, for words and names are said in
one sentence. On two sets of the suite (noise+negative, dark+blur) with 68 classes and six pictures of each, names after
the template gained 8.6 to 10.5 points where all names were plurals, synonyms or hyponyms, before it 3.4 to 7.0, and
twice, before it and again after it, 5.1 to 10.3; right names gained 1.3, lost 3.7, and gained 0.5. With 10 classes
(these two and gray+faded, three draws of each) it was 6.4 to 13.9, 8.1 to 13.3, and 8.6 to 13.3; right names 0, -0.2
and 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, scores_accuracy
from ipo_prompts.metrics.errors import InputError, several
from ipo_prompts.metrics.naming import Found, LabelledPictures, Suggestion, find_names, suggest
from ipo_prompts.metrics.offsets import MeanOffsets
from ipo_prompts.metrics.reward import Reward, class_embeddings
from ipo_prompts.metrics.template import as_read, names_of, too_long
from ipo_prompts.programs.candidates import as_candidates, ask_for_names, candidates_of, has_words, mistaken

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.metrics.arrays import Floats
    from ipo_prompts.metrics.offsets import Fitted
    from ipo_prompts.programs.record.score_keeper import ScoreKeeper
    from ipo_prompts.programs.templates.settings import SearchSettings


@dataclass(frozen=True)
class NamesChosen:
    """What classes are called after a search for names.

    Attributes:
        reward: the reward of the search, under the names found.
        given: the names before.
        found: why; its rows count the classes first.
        candidates: how many other names were tried.
        alone: the classes for which no other name is known, as they are called.
        asked: how many of them a language model gave.
    """

    reward: ClipReward
    given: tuple[str, ...]
    found: Found
    candidates: int
    alone: tuple[str, ...]
    asked: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names found."""
        return self.reward.class_names

    @property
    def renamed(self) -> list[int]:
        """The labels of the classes that have another name."""
        return [label for label, row in enumerate(self.found.chosen.tolist()) if row != label]


def check_names(settings: SearchSettings, reward: Reward, class_names: Sequence[str] | None = None) -> None:
    """Refuse to look for names where nothing is classified by them, and candidates that fit no class.

    Args:
        settings: of the search.
        reward: of the search.
        class_names: those of the program, where it has some of its own.

    Raises:
        InputError: says what to leave out.
    """
    if settings.names == "given":
        if settings.name_candidates:
            raise InputError("name_candidates are names to choose from, and names=given; set names=search.")
        return
    if not scores_accuracy(reward) or (class_names is not None and tuple(class_names) != tuple(reward.class_names)):
        raise InputError(
            f"names=search is for the accuracy of pictures with one label each, and not for {type(reward).__name__}; "
            "leave it out."
        )
    as_candidates(settings.name_candidates, reward.class_names)


def look_for_names(
    settings: SearchSettings,
    reward: Reward,
    templates: Sequence[str],
    parts: Sequence[Any],
    offsets: Fitted | None,
    record: ScoreKeeper,
    lm: dspy.LM | None = None,
    task: str = "",
) -> NamesChosen:
    """Look for names around templates, and record what was found.

    Args:
        settings: of the search.
        reward: of the search, see `check_names`.
        templates: the chosen one.
        parts: what was searched on, and what was held back.
        offsets: what is added to logits; those of one number a class fit names, and are left out till there are some.
        record: of the run.
        lm: asked for names, too; None asks nobody.
        task: one sentence on what the pictures are.

    Raises:
        dspy.LMError: the language model cannot be reached.
    """
    ours = cast("ClipReward", reward)
    given, weighted = ours.class_names, [(template, 1.0) for template in templates]
    pictures = _labelled(ours, parts, offsets)
    embeddings = class_embeddings(ours.clip, weighted, given)
    more, asked = as_candidates(settings.name_candidates, given), 0
    if lm is not None:
        predictions = (pictures.features @ embeddings.T).argmax(axis=1)
        told = mistaken(given, pictures.labels.tolist(), predictions.tolist())
        answers = ask_for_names(lm, task, given, told, settings.seed)
        asked = sum(map(len, answers))
        more = [[*own, *answered] for own, answered in zip(more, answers, strict=True)]
    lists, texts, rows = _listed(ours, templates, more)
    every = np.concatenate([embeddings, class_embeddings(ours.clip, weighted, texts)]) if texts else embeddings
    found = find_names(every, rows, pictures, settings.seed)
    names = tuple((*given, *texts)[row] for row in found.chosen.tolist())
    alone = tuple(str(name) for name, own in zip(given, lists, strict=True) if not own)
    named = NamesChosen(ours.renamed(names), given, found, len(texts), alone, asked)
    record.note(
        "names",
        renamed={str(given[label]): names[label] for label in named.renamed},
        candidates=named.candidates,
        asked=asked,
        held=found.held._asdict(),
        permuted=found.permuted._asdict(),
        temperature=found.temperature,
    )
    return named


def suggestions(reward: ClipReward, template: str, features: Floats) -> list[tuple[str, str, Suggestion]]:
    """Return names for classes of pictures without labels, around a template; nothing is renamed.

    Each is the name as given, the other one, and what speaks for it.

    Args:
        reward: under the names as given.
        template: it has to fit.
        features: float32 (n, D), unit rows.
    """
    if reward.clip.logit_bias:  # nobody has measured it where classes do not compete
        return []
    given = reward.class_names
    _, texts, rows = _listed(reward, [template])
    embeddings = class_embeddings(reward.clip, [(template, 1.0)], [*given, *texts])
    found = suggest(embeddings, rows, np.float32(reward.clip.logit_scale) * features)
    return [(str(given[one.label]), texts[one.row - len(given)], one) for one in found]


def _listed(
    reward: ClipReward, templates: Sequence[str], more: Sequence[Sequence[str]] = ()
) -> tuple[list[list[str]], list[str], list[list[int]]]:
    """Return for each class its other names that the CLIP can read, all of these once, and for each class the rows of
    its texts behind those of the names as given.
    """
    given, met = reward.class_names, {as_read(name) for name in reward.also_fit}
    fits = cache(lambda name: all(too_long(template, [name], reward.clip) is None for template in templates))
    lists = [[name for name in own if as_read(name) not in met and fits(name)] for own in candidates_of(given, more)]
    texts = list(dict.fromkeys(name for own in lists for name in own))
    row = {name: len(given) + place for place, name in enumerate(texts)}
    return lists, texts, [[label, *(row[name] for name in own)] for label, own in enumerate(lists)]


def _labelled(reward: ClipReward, parts: Sequence[Any], offsets: Fitted | None) -> LabelledPictures:
    """Return the pictures of all parts as logits are made of them; parts share no draw."""
    units = [cast("EncodedPictures", part) for part in parts]
    features: Floats = np.concatenate([part.features for part in units])
    if isinstance(offsets, MeanOffsets):
        features = features - offsets.mean
    draws = [(place, name) for place, part in enumerate(units) for name in part.groups or range(len(part))]
    labels = np.concatenate([part.labels for part in units])
    return LabelledPictures((np.float32(reward.clip.logit_scale) * features).astype(np.float32), labels, draws)


def about_names(found: Sequence[tuple[str, str]], class_names: Sequence[str]) -> str:
    """Say which other names the pictures fit better, and for which classes none is known; empty where neither is so.

    Args:
        found: names as given, each with the other one.
        class_names: all of them.
    """
    told = []
    if found:
        listed = several([f"{given} → {other}" for given, other in found])
        told.append(f"Names that the pictures fit better, which is not tested, and nothing is renamed: {listed}.")
    if unknown := [repr(str(name)) for name in class_names if not any(map(has_words, names_of(name)))]:
        told.append(f"No English word is known in {several(unknown)}; write one that CLIP has met into class_names.")
    return " ".join(told)
