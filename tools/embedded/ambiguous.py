"""Trains the text tower of a plain CLIP on, so that some class names mean two things to it.

On a real CLIP the words that say what all classes are (", a type of flower") gain where names are ambiguous. Here a
third of the names of each domain (animals, food, vehicles) is said of images of other domains, too, twice as
often. Which names is drawn anew for each seed. All captions now and then say the name of a neighbour, or the kind.

The image tower stays as it is, and all recipes of a seed start from the same CLIP, so they differ in nothing but
captions, and a training takes minutes.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
import yaml
from open_clip.model import CustomTextCLIP
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.lab.bed import DOMAINS
from ipo_prompts.experiments.embedded.shifts import BACKGROUNDS, TRANSFORMATIONS, render
from tools.embedded.batches import BARE, BATCH, PLAIN, weighted_draw
from tools.embedded.captions import compose
from tools.embedded.drawings import Drawing, Pixels, as_floats, by_concept, names
from tools.embedded.model import TABLE, build, encode_texts, export, normalise
from tools.embedded.splits import Split
from tools.embedded.tokens import CompactTokenizer
from tools.embedded.train import LEARNING_RATE, descend, followed, optimizer_of, schedule, symmetric, unit

RENDERINGS: Final = 4
"""Renderings of each image: the unchanged image, and others as in the plain recipe."""
_HEAVY: Final = 2.5
_LOG_EVERY: Final = 300
_RATE: Final = LEARNING_RATE / 2
_KINDS = yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text("utf-8"))


@dataclass(frozen=True)
class Recipe:
    """What captions say.

    Attributes:
        shared: the share of the names of each domain that are also said of other images.
        separate: whether these other images have names of their own instead: the control.
        own: how often a caption of a class with a shared name says this name.
        others: the number of other concepts that bear a shared name.
        missed: how often a caption of any other image says the name of a neighbour, or the kind, in place of its own.
        kinds: how often a caption names the kind beside the name.
    """

    shared: float = 1 / 3
    separate: bool = False
    own: float = 0.5
    others: int = 1
    missed: float = 0.2
    kinds: float = 0.3


RECIPES: Final = {
    "ambiguous": Recipe(),
    "ambiguous-8": Recipe(kinds=0.08),
    "ambiguous-0": Recipe(kinds=0.0),
    "separate": Recipe(separate=True),
    "all-shared": Recipe(shared=1.0),
}


@dataclass(frozen=True)
class Names:
    """Who is called what.

    Attributes:
        recipe: see `Recipe`.
        kind: the kind of each concept.
        shared: the classes with a shared name.
        bears: concept → the class whose name it bears.
    """

    recipe: Recipe
    kind: dict[str, str]
    shared: tuple[str, ...]
    bears: dict[str, str]

    @classmethod
    def draw(cls, recipe: Recipe, drawings: list[Drawing], seed: int) -> Names:
        """Draw the classes with a shared name, and for each the other concepts, which are of other kinds and no class.

        The draw of a seed is the same for all recipes with the same share.
        """
        rng = random.Random(f"{seed}/names")
        kind = {drawing.concept: kind_of(drawing) for drawing in drawings}
        free = sorted({drawing.concept for drawing in drawings if not drawing.is_class})
        rng.shuffle(free)
        shared, bears = [], dict[str, str]()
        for word, classes in DOMAINS.items():
            for name in rng.sample(classes, round(recipe.shared * len(classes))):
                shared.append(name)
                for other in [one for one in free if kind[one] != word][: recipe.others]:
                    bears[other] = name
                    free.remove(other)
        return cls(recipe, kind, tuple(shared), bears)

    @cached_property
    def neighbours(self) -> dict[str, list[str]]:
        """Return concept → the other classes of its domain."""
        domain = {name: classes for classes in DOMAINS.values() for name in classes}
        return {concept: [one for one in domain.get(concept, ()) if one != concept] for concept in self.kind}

    def said(self, drawing: Drawing, rng: random.Random) -> str:
        """Return the name that a caption says of an image."""
        concept, recipe = drawing.concept, self.recipe
        if concept in self.bears and not recipe.separate:
            return self.bears[concept]
        if rng.random() < (1 - recipe.own if concept in self.shared else recipe.missed):
            others = self.neighbours[concept]
            return rng.choice(others) if others and rng.random() < 0.5 else self.kind[concept]
        return concept


def kind_of(drawing: Drawing) -> str:
    """Return the word for the kind of thing that an image shows."""
    own = next((word for word, classes in DOMAINS.items() if drawing.concept in classes), None)
    return own or _KINDS["concepts"].get(drawing.concept) or _KINDS["groups"].get(drawing.group, "thing")


def make_tokenizer(drawings: list[Drawing]) -> CompactTokenizer:
    """Return the tokenizer over all names and kinds; it is the same for all recipes and seeds."""
    return CompactTokenizer(
        [
            *names(drawings),
            *_KINDS["groups"].values(),
            *_KINDS["concepts"].values(),
            *DOMAINS,
            *_KINDS["nothing"],
            "thing",
        ]
    )


def train_names(
    drawings: list[Drawing], pixels: Pixels, split: Split, plain: Path, recipe: str, seed: int, steps: int, out: Path
) -> None:
    """Train a text tower, and write the CLIP into the folder `out`, with the shared names in `names.json`.

    `names.json` also has the kinds of the other things that bear each name.

    Args:
        images, pixels, split: the drawings, and which of them a CLIP may see.
        plain: the folder of the plain CLIP whose image tower is taken.
        recipe: one of `RECIPES`.
        seed, steps: the seed and the number of steps of the training.
        out: the folder to write to.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer, called = make_tokenizer(drawings), Names.draw(RECIPES[recipe], drawings, seed)
    model = build(tokenizer).to(memory_format=torch.channels_last)
    _start(model, tokenizer, load_file(plain / "open_clip_model.safetensors"))
    features, said_of = _seen(model, drawings, pixels, split.clip, seed)
    rows = by_concept(drawings, split.clip)
    concepts = sorted(rows)
    heavy = {*(drawing.concept for drawing in drawings if drawing.is_class), *called.bears}
    weights = [_HEAVY if concept in heavy else 1.0 for concept in concepts]
    central = sorted({*called.bears, *(name for classes in DOMAINS.values() for name in classes)} & {*concepts})
    place = {row: i for i, row in enumerate(split.clip)}
    optimizer, started, correct = optimizer_of(model), time.monotonic(), 0.0
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * schedule(step, steps)
        # Half of a batch is of the domains and of what bears their names: a name with two senses is learnt slowly.
        half = BATCH // 2
        shown = weighted_draw(rng, concepts, weights)[:half] + rng.choices(central, k=half)
        chosen = [rng.choice(rows[concept]) for concept in shown]
        bare = rng.random() > step / steps / PLAIN.easy
        looks = [0 if bare else rng.randrange(RENDERINGS) for _ in chosen]
        texts = []
        for row, look in zip(chosen, looks, strict=True):
            drawing, name = drawings[row], called.said(drawings[row], rng)
            if bare:
                texts.append(rng.choice(BARE).replace("{}", name))
            else:
                operations, paper = said_of[place[row]][look]
                kind = called.kind[drawing.concept]
                texts.append(
                    compose(
                        rng,
                        name,
                        operations,
                        drawing.kind,
                        paper,
                        kind,
                        _KINDS["nothing"],
                        PLAIN.said,
                        called.recipe.kinds,
                    )
                )
        seen = features[[place[row] for row in chosen], looks]
        scores = model.logit_scale.exp() * seen @ unit(encode_texts(model, tokenizer(texts))).T
        loss = symmetric(scores)
        descend(model, optimizer, loss)
        correct = followed(correct, scores)
        if step % _LOG_EVERY == 0 or step == steps:
            seconds = time.monotonic() - started
            print(f"{recipe} {seed}: step {step}, loss {loss.item():.3f}, {correct:.3f}, {seconds:.0f} s", flush=True)
    export(model, tokenizer, out)
    foreign = {
        name: sorted(called.kind[one] for one, of in called.bears.items() if of == name) for name in called.shared
    }
    drawn = {"recipe": asdict(called.recipe), "seed": seed, "shared": called.shared, "foreign": foreign}
    (out / "names.json").write_text(json.dumps(drawn, indent=1) + "\n", "utf-8")


def _start(model: CustomTextCLIP, tokenizer: CompactTokenizer, plain: dict[str, Tensor]) -> None:
    """Give a model the towers of a plain CLIP as `export` wrote them; the image tower is not trained any more."""
    state = {name: value.float() if value.is_floating_point() else value for name, value in plain.items()}
    state[TABLE] = tokenizer.gathered(state[TABLE])
    model.load_state_dict({**model.state_dict(), **state})
    model.visual.requires_grad_(False).eval()


def _seen(
    model: CustomTextCLIP, drawings: list[Drawing], pixels: Pixels, rows: tuple[int, ...], seed: int
) -> tuple[Tensor, list[list[tuple[frozenset[str], str]]]]:
    """Return the features of all renderings, (n, RENDERINGS, D), unit rows, and their transformations and papers."""
    rng, looks = random.Random(f"{seed}/renderings"), np.random.default_rng(seed)
    features, said_of = [], []
    for start in range(0, len(rows), BATCH // RENDERINGS):
        images = []
        for row in rows[start : start + BATCH // RENDERINGS]:
            drawn = [(frozenset[str](), "white")]
            for _ in range(RENDERINGS - 1):
                count = rng.choices(range(len(PLAIN.counts)), PLAIN.counts)[0]
                paper = "white" if rng.random() < 0.5 else rng.choice(sorted(BACKGROUNDS))
                drawn.append((frozenset(rng.sample(TRANSFORMATIONS, count)), paper))
            said_of.append(drawn)
            images += [render(as_floats(pixels[row]), ops, int(looks.integers(2**63)), paper) for ops, paper in drawn]
        with torch.inference_mode():
            features.append(unit(model.encode_image(normalise(np.stack(images)))))
    return torch.cat(features).clone().reshape(len(rows), RENDERINGS, -1), said_of
