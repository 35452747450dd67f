"""Domain words: which are found, and where, for the published templates that hold one, for folders and for class names.

The tables are:

- published: the rank of the word of each published template from the class names alone; beside what the authors call
  the data set; and, with `--lm NAME`, from one answer of a local language model. For "a person doing <CLASS>" each word
  of a doing counts. For Cars, SUN, Caltech and ImageNet, whose templates hold no word, the first three words are shown.
- folders and names of `domain_folders.yaml`: whether a right word is among the first three, and for folders whose name
  says nothing, whether there is any word. The file says what was written before the finder, and what after it.
- with `--clip NAME`: what stands out in the embedded pictures of animals, food and vehicles, with labels and without.

What was written down before: of seven published words, three are among the first ten from names, four with the name of
the data set; of eight folders that say something six have a right word among the first three, and of twelve that say
nothing none has a word. Goals that are missed are printed, and make the exit code 1.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common import arguments
from ipo_prompts.programs.domain import ask_for_domain, domain_of, everyday, from_clip, from_names
from ipo_prompts.programs.templates.domain_words import DomainWord

ROOT = Path(__file__).parent
PUBLISHED = {
    "oxford_pets": ("pet", "Oxford-IIIT Pet"),
    "oxford_flowers": ("flower", "Oxford 102 Flower"),
    "food101": ("food", "Food-101"),
    "fgvc_aircraft": ("aircraft", "FGVC-Aircraft"),
    "dtd": ("texture", "Describable Textures Dataset"),
    "eurosat": ("satellite", "EuroSAT"),
    "ucf101": ("doing", "UCF101"),
}
WITHOUT = ("stanford_cars", "sun397", "caltech101", "imagenet")
"""Published sets whose template holds no domain word."""
GROUPS = ("animal", "food", "vehicle")
"""The words whose classes are looked at among the embedded ones."""


def main() -> None:
    """Find and print."""
    options = arguments(
        __doc__,
        clip={"default": "", "help": "as in ipo optimize: what stands out in embedded pictures, too"},
        lm={"default": "", "help": "as in ipo optimize, a local one: what it calls the published sets, too"},
    )
    missed = [*published(options.lm), *folders_and_names()]
    if options.clip:
        pictures(options.clip)
    for line in missed:
        print(f"missed: {line}")
    raise SystemExit(1 if missed and not options.small else 0)


def published(lm: str) -> list[str]:
    """Print where the published words stand; return the goals that are missed."""
    path = ROOT.parent / "tests/experiments/data/benchmarks/fixtures/published.json"
    names = {name: one["classes"] for name, one in json.loads(path.read_text(encoding="utf-8")).items()}
    print("| set | word | from names | with the data set's name | from the language model | first words |")
    print("| --- | --- | --- | --- | --- | --- |")
    hits = {"names": 0, "called": 0, "lm": 0}
    for name, (word, title) in PUBLISHED.items():
        asked = asked_of(lm, names[name]) if lm else ()
        found = {"names": from_names(names[name]), "called": domain_of(names[name], [title]), "lm": asked}
        ranks = {way: rank_of(words, {word}) for way, words in found.items()}
        for way, rank in ranks.items():
            hits[way] += 0 < rank <= 10
        shown = " | ".join(str(rank or "–") for rank in ranks.values())
        print(f"| {name} | {word} | {shown} | {told(found['called'])}{f'; asked: {told(asked)}' if asked else ''} |")
    print(f"among the first ten, of {len(PUBLISHED)}: {hits}")
    for name in WITHOUT:
        print(f"{name}: {told(from_names(names[name])[:3])}")
    goals = {"names": 3, "called": 4}
    return [f"{hits[way]} of {len(PUBLISHED)} by {way}, not {goal}" for way, goal in goals.items() if hits[way] < goal]


def rank_of(words: Sequence[DomainWord], right: Collection[str]) -> int:
    """Return the place of the first right word, from 1, or 0; a word may also be right by its kind."""
    return next((place for place, one in enumerate(words, 1) if {one.text, one.kind} & set(right)), 0)


def folders_and_names() -> list[str]:
    """Print what is found for folders and class names; return the goals that are missed."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "domain_folders.yaml").read_text(encoding="utf-8"))
    missed = []
    for title in ("invented", "tensorflow"):
        right, wrong, speaking = 0, 0, 0
        for one in content[title]:
            words = domain_of(one.get("classes", ()), [one["folder"]])
            speaking += bool(one["right"])
            right += bool(one["right"]) and 0 < rank_of(words, one["right"]) <= 3
            wrong += not one["right"] and bool(words)
            print(f"{one['folder']}: {told(words[:3])}")
        print(f"{title}: right among the first three {right} of {speaking}; words where none is right: {wrong}")
        if right < 6 or wrong:
            missed.append(f"{title}: {right} of {speaking} folders that speak, {wrong} of those that do not")
    for name, one in content["names"].items():
        print(f"{name}: {told(from_names(one['classes'])[:5])}; right: {', '.join(one['right']) or 'none'}")
    firsts = [
        rank_of(from_names(one["classes"])[:3], one["right"]) for one in content["names"].values() if one["right"]
    ]
    print(f"names: right among the first three {sum(map(bool, firsts))} of {len(firsts)}")
    return missed


def asked_of(lm: str, names: Sequence[str]) -> tuple[DomainWord, ...]:
    """Ask a local language model."""
    import dspy

    from ipo_prompts.programs.lm.local import local_lm

    engine, model = local_lm(lm)
    model_of = dspy.LM(model, engine=engine, temperature=1.0, cache=False, max_tokens=64)
    return ask_for_domain(model_of, "pictures of things", names, 0, small=True)


def pictures(name: str) -> None:
    """Print which words stand out in pictures of the embedded groups."""
    from ipo_prompts.experiments.data import draw, load_data
    from ipo_prompts.metrics.clip import load_clip

    clip = load_clip(name)
    data = draw(load_data("embedded", seed=0), shots=6, selection_shots=0, seed=0)
    for group in GROUPS:
        names = [one for one in data.class_names if group in {word.text for word in from_names([one])}]
        shown = [item for item in data.search if data.class_names[item.label] in names]
        seen, labels = [item.picture for item in shown], [names.index(data.class_names[one.label]) for one in shown]
        print(f"{group}, {len(names)} classes, {len(seen)} pictures, {len(everyday())} words:")
        print(f"  with labels: {told(from_clip(clip, seen, labels, names))}")
        print(f"  without labels: {told(from_clip(clip, seen, None, names))}")


def told(words: Sequence[DomainWord]) -> str:
    """Return words with commas between."""
    return ", ".join(word.text for word in words) or "–"


if __name__ == "__main__":
    main()
