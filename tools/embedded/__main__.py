"""Rebuilds the demo CLIP and its images: ``python -m tools.embedded --work DIR [--stage STAGE]``."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tools.embedded.drawings import Drawing, Pixels
    from tools.embedded.splits import Split

_ROOT: Final = Path(__file__).resolve().parents[2]
OUT: Final = _ROOT / "experiments" / "embedded"
LAB: Final = _ROOT / "benchmarks" / "lab"


@dataclass(frozen=True)
class Run:
    """``work`` keeps packages, drawings and checkpoints; ``out`` is what ships."""

    work: Path
    out: Path
    seeds: tuple[int, ...]
    steps: int
    recipe: str = "shipped"

    def fetch(self) -> None:
        """Put npm packages into ``work/npm`` and drawings into ``work/raster.npy``."""
        from tools.embedded import drawings, duplicates, raster, sources, tint

        sources.fetch(self.work / "npm")
        found, pixels = raster.rasterise(self.work / "npm" / "node_modules")
        found = duplicates.join(found, pixels)
        drawings.save(self.work / "raster.npy", found, tint.tint(found, pixels))

    def images(self) -> None:
        """Write the shipped images, ``split.json`` and ``NOTICE.md``."""
        from tools.embedded.images import write

        write(self.out, *self._data())

    def held_back(self) -> None:
        """Write clean pictures of drawings that no CLIP has met, and their table, from packages of their own."""
        from tools.embedded.held_back import write

        write(LAB, self.work)

    def train(self) -> None:
        """Train both towers: a checkpoint and a log a seed go into ``work/seeds``, the best model into ``out``.

        With the plain recipe each seed goes to ``out/plain-SEED`` as it is: no seed is chosen by how a template scores.
        It computes in float32, which any processor can.
        """
        from tools.embedded.batches import RECIPES
        from tools.embedded.choose import choose, export_seed
        from tools.embedded.train import make_tokenizer, train

        data, folder = self._data(), self.work / "seeds"
        tokenizer = make_tokenizer(data[0])
        for seed in self.seeds:
            train(*data, seed, self.steps, folder, RECIPES[self.recipe], half=self.recipe != "plain")
            if self.recipe == "plain":
                export_seed(folder, seed, tokenizer, self.out / f"plain-{seed}")
        if self.recipe != "plain":
            choose(folder, self.seeds, *data, tokenizer, self.out / "model")

    def names(self) -> None:
        """Train a text tower a seed beside the image tower of ``out/plain-SEED``; the CLIP is ``out/RECIPE-SEED``."""
        from tools.embedded.ambiguous import train_names

        data = self._data()
        for seed in self.seeds:
            plain, made = (self.out / f"{recipe}-{seed}" for recipe in ("plain", self.recipe))
            train_names(*data, plain, self.recipe, seed, self.steps, made)

    def language(self) -> None:
        """Put the teacher, the word list and a text tower that has learnt from them into ``work/english``."""
        from tools.embedded import english, teacher, words

        teacher.fetch(self.work / "english" / "teacher")
        words.fetch(self.work / "english")
        english.make(self.work / "english", self._data()[0])

    def words(self) -> None:
        """Train the text tower again beside the image tower in ``out``: checkpoints and logs in ``work/words``."""
        from safetensors.torch import load_file

        from tools.embedded import english
        from tools.embedded.train_text import train_text

        data = self._data()
        lessons = english.load(self.work / "english", data[0])
        tower = load_file(self.out / "model" / "open_clip_model.safetensors")
        for seed in self.seeds:
            train_text(*data, lessons, tower, seed, self.steps, self.work / "words")

    def card(self) -> None:
        """Put the best text tower into ``out``, and the card, which is measured from the files there."""
        from tools.embedded import english
        from tools.embedded.card import write
        from tools.embedded.choose import choose, towers
        from tools.embedded.knows import measure

        drawings, pixels, parts = self._data()
        both = towers(self.work / "seeds", self.out / "model")
        tokenizer = english.make_tokenizer(self.work / "english", drawings)
        text = choose(self.work / "words", self.seeds, drawings, pixels, parts, tokenizer, self.out / "model")
        known = measure(self.out, self.work / "npm", self.work / "english")
        write(self.out, both, text, drawings, parts, known)

    def suite(self) -> None:
        """Write the lab's ``suite.json``: the shifts to compare methods on, chosen by the shipped files alone."""
        from tools.embedded.suite import write

        write(self.out)

    def _data(self) -> "tuple[list[Drawing], Pixels, Split]":
        from tools.embedded.drawings import load
        from tools.embedded.splits import split

        drawings, pixels = load(self.work / "raster.npy")
        return drawings, pixels, split(drawings)


STAGES: Final[dict[str, Callable[[Run], None]]] = {
    "fetch": Run.fetch,
    "images": Run.images,
    "held-back": Run.held_back,
    "train": Run.train,
    "names": Run.names,
    "language": Run.language,
    "words": Run.words,
    "card": Run.card,
    "suite": Run.suite,
}


def main() -> None:
    """Runs the wanted stages in order."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, kept out of git")
    parser.add_argument("--out", type=Path, default=OUT, help="default: this checkout's experiments/embedded")
    parser.add_argument("--stage", choices=STAGES, action="append", help="default: all, in order")
    parser.add_argument("--seed", type=int, action="append", help="of the trainings; may be repeated; default: 0, 1, 2")
    parser.add_argument("--steps", type=int, default=1800, help="a few make a smoke run; default: %(default)s")
    recipes = ("shipped", "plain", "ambiguous", "ambiguous-8", "ambiguous-0", "separate", "all-shared")
    parser.add_argument(
        "--recipe", choices=recipes, default="shipped", help="what captions say: the first two of the stage train"
    )
    arguments = parser.parse_args()
    # Before torch is imported: spinning threads starve a machine that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if arguments.recipe == "plain":  # a newer processor's wider instructions round otherwise
        os.environ.update(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2", MKL_CBWR="AVX2")
    import torch

    torch.set_num_threads(1)
    run = Run(arguments.work, arguments.out, tuple(arguments.seed or (0, 1, 2)), arguments.steps, arguments.recipe)
    for stage in arguments.stage or STAGES:
        STAGES[stage](run)


if __name__ == "__main__":
    main()
