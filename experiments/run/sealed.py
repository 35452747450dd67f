"""The sealed test of a run: its pictures are encoded before the search, and it is opened once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ipo_prompts.experiments.data import Item, fresh
from ipo_prompts.experiments.data.check import faults
from ipo_prompts.experiments.data.load import check_command
from ipo_prompts.experiments.run.beside import what_stands_beside
from ipo_prompts.experiments.run.comparison import Compared, compare, over_classes, verdict
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.openings import DIGITS, Openings, count, names_after, names_digest, opening_of
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.experiments.run.prepared import SEALED, SHOWN, Prepared, naming_unreadable
from ipo_prompts.experiments.run.result import Sealed
from ipo_prompts.experiments.run.scores import AnyPart
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.metrics.sampling import harmonic_mean
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.record.score_keeper import units_of
from ipo_prompts.programs.running import Searched


def encode_sealed(prepared: Prepared, ui: Ui) -> None:
    """Encode the sealed pictures before a language model is asked or paid, so that unreadable pictures are found early.

    Nothing is scored and no label is read; only features are stored. If a reward does not store features of whole
    pictures, its pictures are only decoded.

    Raises:
        InputError: a picture cannot be read; the message names all such pictures of the run.
    """
    planned, drawn, store = prepared.plan, prepared.plan.drawn, prepared.store
    sealed = {"test": drawn.test, "new": drawn.new_test}
    with naming_unreadable(planned):
        for name, items in sealed.items():
            pictures = [item.picture for item in items]
            if pictures and getattr(prepared.reward, "keeps_pictures", False):
                store.encode(pictures, ui.pictures(name))
            elif fault := next(filter(None, faults(pictures)), None):
                raise InputError(fault)


@dataclass(frozen=True)
class SealedTest:
    """The opened test of a run.

    Attributes:
        parts: the scores of both templates on each part of the pictures.
        others: the scores of both templates on the test pictures by further measures, by the name of the measure.
        opening: this opening of the sealed pictures, with the earlier openings.
    """

    parts: dict[AnyPart, Compared]
    others: dict[str, Compared]
    opening: Openings


def open_test(prepared: Prepared, searched: Searched, journal: Journal, ui: Ui) -> SealedTest:
    """Score the initial and the chosen template on all parts; only here are the sealed pictures opened.

    If fresh pictures cannot be used, a line says so and they are left out: the result does not need them.
    """
    planned, drawn = prepared.plan, prepared.plan.drawn
    ours = searched.reward
    sides = prepared.config.initial_template, searched.result.choice.template

    def compared(encoded: Encoded, reward: Reward = ours) -> Compared:
        initial, optimised = (reward.score([side], encoded.units)[0] for side in sides)
        how = encoded.sampling(initial.n)
        return Compared(encoded.items, encoded.units, encoded.labels, reward, how, initial, optimised)

    def measured(items: Sequence[Item], reward: Reward, name: str, seed: int = SPLIT_SEED) -> Compared:
        return compared(planned.task.encode(reward, items, seed=seed, progress=ui.pictures(name)), reward)

    parts: dict[AnyPart, Compared] = {}
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
        parts[name] = measured(items, reward, name)
        template, hits = _found(parts[name])
        if not journal.find(name, template=template, hits=hits):
            journal.append(name, template=template, hits=hits)
        if note := _seen_before(prepared, items):
            about = prepared.config
            check = check_command(about.data, about.exclude)
            ui.warn(f"{note}; `{check}` lists copies")
        if name == "test":
            for measure, other in planned.task.other_measures(prepared.clip, class_names, prepared.store).items():
                others[measure] = measured(items, other, "test")
    if left := fresh(planned.data, drawn, prepared.config.seed):
        unused = f"fresh (left over; each word is tested on these {planned.task.unit})"
        try:
            parts["fresh"] = measured(left, ours, unused, prepared.config.seed)
        except InputError as error:
            ui.say(f"what each word does is not tested on fresh {planned.task.unit}: {error}")
    return SealedTest(parts, others, opening(prepared, searched, parts["test"], journal))


def _seen_before(prepared: Prepared, sealed: Sequence[Item]) -> str | None:
    """Say how many sealed pictures are also search or selection pictures, compared by their bytes.

    Return None if no sealed picture is among them.
    """
    seen = {content[:DIGITS] for content in prepared.contents(*SHOWN)}
    again = sum(content[:DIGITS] in seen for content in prepared.store.contents([item.picture for item in sealed]))
    if not again:
        return None
    return (
        f"{again:,} of {len(sealed):,} sealed pictures {'is' if again == 1 else 'are'} among the search and selection "
        "pictures, so the score is too good"
    )


def what_is_shown(prepared: Prepared, searched: Searched, test: SealedTest) -> dict[str, Any]:
    """Return the fields of a result that are about the test, by name: scores, verdict, and measurements beside them."""
    drawn, found, parts, this = prepared.plan.drawn, searched.result, test.parts, test.opening
    balanced = prepared.config.verdict == "balanced"
    pairs = {str(name): part.pair for name, part in parts.items() if name != "fresh"}
    pairs |= {f"other {name}": part.pair for name, part in test.others.items()}
    tested = set(pairs) - {"search", "selection"}
    compared = compare(pairs, tested, opening=this.number, balanced=balanced, tests=this.tests)
    new = compared.get("new")
    said = verdict(
        compared["test"],
        prepared.plan.task.unit,
        this.number,
        new=new,
        elsewhere=this.elsewhere,
        renamed_in=this.renamed_in,
        untried=found.ended if len(found.history) == 1 else None,
    )
    means = new and {
        side: harmonic_mean(*(getattr(one, side).value for one in (compared["test"], new)))
        for side in ("initial", "optimised")
    }
    classes = {item.label for item in drawn.test}
    return {
        "sealed": Sealed(
            digest=prepared.digest(*SEALED),
            opened=this.number,
            elsewhere=this.elsewhere,
            renamed_in=this.renamed_in if not this.tests else (),
        ),
        "verdict": said,
        "scores": {name: compared[name] for name in parts if name != "fresh"},
        "classes_untested": tuple(name for label, name in enumerate(drawn.class_names) if label not in classes),
        "other_measures": {name: compared[f"other {name}"] for name in test.others},
        "harmonic_mean": means,
        "over_classes": over_classes(parts, balanced),
        **what_stands_beside(prepared, searched, parts),
    }


def opening(prepared: Prepared, searched: Searched, test: Compared, journal: Journal) -> Openings:
    """Record this opening of the sealed pictures in the journal, and return it.

    The digest of each sealed picture is recorded, so that runs with only some of these pictures count the opening.
    """
    data = prepared.plan.data
    pictures = {content[:DIGITS] for content in prepared.contents(*SEALED)}
    names = names_digest(data.answers), names_digest(names_after(data, searched.named))
    return count(opening_of(*_found(test)), pictures, names, prepared.config.opened, journal)


def _found(part: Compared) -> tuple[str, dict[str, Any]]:
    """Return the chosen template, and the hits of both templates, by template."""
    return part.optimised.template, {one.template: units_of(one) for one in (part.initial, part.optimised)}
