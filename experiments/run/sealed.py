"""The sealed test of a run: opened once, counted among its openings, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import Any, Literal

from ipo_prompts.experiments.data import Item, fresh
from ipo_prompts.experiments.run.beside import baselines, what_they_add
from ipo_prompts.experiments.run.comparison import Compared, compare, near_copies_in_words, over_classes, verdict
from ipo_prompts.experiments.run.openings import (
    DIGITS,
    Names,
    Openings,
    count,
    names_after,
    names_digest,
    opening_of,
)
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.experiments.run.prepared import Prepared, encode, fingerprint
from ipo_prompts.experiments.run.result import Harmonic, Sealed
from ipo_prompts.experiments.run.scores import AnyPart
from ipo_prompts.experiments.run.searching import EarlierRun, SearchedRun
from ipo_prompts.experiments.run.ui import Shows
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.clock import due, optional
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.metrics.sampling import harmonic_mean
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.record.score_keeper import units_of
from ipo_prompts.programs.running import under

NAMES = "ipo_prompts.experiments.run.names:what_names_do"
"""Measures what other names of the classes do."""


def open_test(
    prepared: Prepared, searched: SearchedRun, journal: Journal, ui: Shows
) -> tuple[dict[AnyPart, Compared], dict[str, Compared]]:
    """Score the initial and the chosen template everywhere; the sealed pictures are opened here and nowhere else.

    Fresh pictures that cannot be used are named and left out: the result does not need them.

    Returns:
        The parts by name, and further measures of the sealed test by theirs.
    """
    planned, drawn = prepared.plan, prepared.plan.drawn
    settled, ours = searched.settled, searched.reward
    sides = prepared.config.initial_template, searched.result.choice.template

    def compared(encoded: Encoded, reward: Reward = ours) -> Compared:
        units = under(encoded.units, settled.kept) if settled else encoded.units
        initial, optimised = (reward.score([side], units)[0] for side in sides)
        how = encoded.sampling(initial.n)
        return Compared(encoded.items, units, encoded.labels, reward, how, initial, optimised)

    def measured(items: Sequence[Item], reward: Reward, name: str, seed: int = SPLIT_SEED) -> Compared:
        return compared(encode(planned, reward, items, name, ui=ui, seed=seed), reward)

    parts: dict[AnyPart, Compared] = {}
    with due():
        parts["search"] = compared(prepared.search)
        if prepared.selection:
            parts["selection"] = compared(prepared.selection)
    others = {}
    sealed: tuple[tuple[Literal["test", "new"], Sequence[Item], Sequence[str]], ...] = (
        ("test", drawn.test, ours.class_names),
        ("new", drawn.new_test, drawn.new_class_names),
    )
    for name, items, class_names in sealed:
        if not items:
            continue
        reward = planned.task.reward(prepared.clip, class_names, prepared.store)
        with due():
            parts[name] = measured(items, reward, name)
        template, hits = _found(parts[name])
        if not journal.find(name, template=template, hits=hits):
            journal.append(name, template=template, hits=hits)
        if note := _seen_before(prepared, items, searched.earlier):
            ui.warn(f"{note}; `ipo data check` names them")
        if name == "test":
            for measure, other in planned.task.other_measures(prepared.clip, class_names, prepared.store).items():
                if found := optional(f"{measure} of the sealed test", partial(measured, items, other, "test")):
                    others[measure] = found
    if left := fresh(planned.data, drawn, prepared.config.seed):
        unused = f"fresh (left over; each word is tested on these {planned.task.unit})"
        try:
            what = f"fresh {planned.task.unit}, on which each word is tested"
            if part := optional(what, partial(measured, left, ours, unused, prepared.config.seed)):
                parts["fresh"] = part
        except InputError as error:
            ui.say(f"what each word does is not tested on fresh {planned.task.unit}: {error}")
    return parts, others


def _seen_before(prepared: Prepared, sealed: Sequence[Item], earlier: EarlierRun | None) -> str | None:
    """Say how many sealed pictures searched or chose too, byte for byte, here or before; None where none did."""
    drawn, store = prepared.plan.drawn, prepared.store
    seen = set(store.contents([item.picture for item in (*drawn.search, *drawn.selection)]))
    seen |= set(earlier.searched or ()) if earlier else set()
    again = sum(content in seen for content in store.contents([item.picture for item in sealed]))
    if not again:
        return None
    return (
        f"{again:,} of {len(sealed):,} sealed pictures {'is' if again == 1 else 'are'} among those that searched or "
        "chose, so the score is too good"
    )


def what_is_shown(
    prepared: Prepared,
    searched: SearchedRun,
    parts: dict[AnyPart, Compared],
    others: dict[str, Compared],
    this: Openings,
) -> dict[str, Any]:
    """Return the fields of a result that speak of the test: scores, the verdict, what else they show."""
    drawn, found = prepared.plan.drawn, searched.result
    balanced = prepared.config.verdict == "balanced"
    named: dict[str, Compared] = {str(name): part for name, part in parts.items() if name != "fresh"}
    named |= {f"other {name}": part for name, part in others.items()}
    tested = set(named) - {"search", "selection"}
    pairs = {name: part.pair for name, part in named.items()}
    compared = compare(pairs, tested, opening=this.number, balanced=balanced, tests=this.tests)
    scores = {name: compared[name] for name in parts if name != "fresh"}
    said = verdict(
        scores["test"],
        prepared.plan.task.unit,
        this.number,
        new=scores.get("new"),
        elsewhere=this.elsewhere,
        untried=found.ended if len(found.history) == 1 else None,
    )
    harmonic = None
    if new := scores.get("new"):
        sides = ("initial", "optimised")
        means = {side: harmonic_mean(getattr(scores["test"], side).value, getattr(new, side).value) for side in sides}
        harmonic = Harmonic(**means)
    near_copies = optional("near copies", partial(near_copies_in_words, parts["test"], balanced)) or ""
    classes = {item.label for item in drawn.test}
    digest = fingerprint(prepared, drawn.test, drawn.new_test)
    return {
        "sealed": Sealed(digest=digest, opened=this.number, elsewhere=this.elsewhere),
        "verdict": f"{said} {near_copies}".rstrip(),
        "scores": scores,
        "near_copies": near_copies,
        "classes_untested": tuple(name for label, name in enumerate(drawn.class_names) if label not in classes),
        "other_measures": {name: compared[f"other {name}"] for name in others},
        "harmonic_mean": harmonic,
        "offsets": optional("what offsets add", partial(what_they_add, prepared, searched.settled, parts)),
        "names": searched.named
        and optional("what other names do", partial(resolve_name(NAMES), searched.named, parts)),
        "over_classes": over_classes(parts, balanced),
        "baselines": optional("what is known without a search", partial(baselines, prepared, parts)),
    }


def opening(prepared: Prepared, searched: SearchedRun, parts: Mapping[AnyPart, Compared], journal: Journal) -> Openings:
    """Count this opening of the sealed pictures, one by one, for runs that seal a part of them."""
    drawn, data = prepared.plan.drawn, prepared.plan.data
    contents = prepared.store.contents([item.picture for item in (*drawn.test, *drawn.new_test)])
    before = searched.earlier.opened if searched.earlier else ()
    this, pictures = opening_of(*_found(parts["test"])), {content[:DIGITS] for content in contents}
    names = Names(names_digest(data.class_names), names_digest(names_after(data, searched.named)))
    return count(this, pictures, names, prepared.config.opened, journal, before)


def _found(part: Compared) -> tuple[str, dict[str, Any]]:
    """Return the chosen template, and what it and the initial one contributed on each unit."""
    return part.optimised.template, {one.template: units_of(one) for one in (part.initial, part.optimised)}
