"""Rebuilds the embedded CLIP and its pictures: ``python -m tools.embedded --work DIR [--stage STAGE]``."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tools.embedded.drawings import Picture, Pixels
    from tools.embedded.english import English
    from tools.embedded.splits import Split

OUT: Final = Path(__file__).resolve().parents[2] / "experiments" / "embedded"


@dataclass(frozen=True)
class Run:
    """``work`` keeps packages, drawings and checkpoints; ``out`` is what ships."""

    work: Path
    out: Path
    seeds: tuple[int, ...]
    steps: int

    def fetch(self) -> None:
        """npm packages into ``work/npm``, drawings into ``work/raster.npy``."""
        from tools.embedded import drawings, duplicates, raster, sources, tint

        sources.fetch(self.work / "npm")
        pictures, pixels = raster.rasterise(self.work / "npm" / "node_modules")
        pictures = duplicates.join(pictures, pixels)
        drawings.save(self.work / "raster.npy", pictures, tint.tint(pictures, pixels))

    def pictures(self) -> None:
        """The shipped pictures, ``split.json`` and ``NOTICE.md``."""
        from tools.embedded.pictures import write

        write(self.out, *self._data())

    def train(self) -> None:
        """Both towers: a checkpoint and a log a seed into ``work/seeds``, one thread each; the best one ships."""
        from tools.embedded.choose import choose
        from tools.embedded.train import make_tokenizer, train

        for seed in self.seeds:
            train(*self._data(), seed, self.steps, self.work / "seeds")
        choose(self.work / "seeds", self.seeds, *self._data(), make_tokenizer(self._data()[0]), self.out / "model")

    def language(self) -> None:
        """The teacher, the word list and a text tower that has learnt from them, into ``work/english``."""
        from tools.embedded import english, teacher, words

        teacher.fetch(self.work / "english" / "teacher")
        words.fetch(self.work / "english")
        english.make(self.work / "english", self._data()[0])

    def words(self) -> None:
        """The text tower again, beside the image tower that ships, into ``work/words``, one thread each."""
        from safetensors.torch import load_file

        from tools.embedded.train_text import train_text

        tower = load_file(self.out / "model" / "open_clip_model.safetensors")
        for seed in self.seeds:
            train_text(*self._data(), self._english(), tower, seed, self.steps, self.work / "words")

    def card(self) -> None:
        """Chooses the text tower's seed, writes the model and measures the card from shipped files."""
        from tools.embedded.card import write
        from tools.embedded.choose import choose, towers
        from tools.embedded.knows import measure

        before = towers(self.work / "seeds", self.out / "model")
        tokenizer = self._english().tokenizer
        chosen = choose(self.work / "words", self.seeds, *self._data(), tokenizer, self.out / "model")
        known = measure(self.out, self.work / "npm", self.work / "english")
        pictures, _, parts = self._data()
        write(self.out, before, chosen, pictures, parts, known)

    def suite(self) -> None:
        """``suite.json``: which shifts methods are compared on, by the shipped CLIP; needs shipped files only."""
        from tools.embedded.suite import write

        write(self.out)

    def _data(self) -> "tuple[list[Picture], Pixels, Split]":
        from tools.embedded.drawings import load
        from tools.embedded.splits import split

        pictures, pixels = load(self.work / "raster.npy")
        return pictures, pixels, split(pictures)

    def _english(self) -> "English":
        from tools.embedded.english import load

        return load(self.work / "english", self._data()[0])


STAGES: Final[dict[str, Callable[[Run], None]]] = {
    "fetch": Run.fetch,
    "pictures": Run.pictures,
    "train": Run.train,
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
    parser.add_argument("--seed", type=int, action="append", help="of the training; may be repeated; default: 0, 1, 2")
    parser.add_argument("--steps", type=int, default=1800, help="a few make a smoke run; default: %(default)s")
    arguments = parser.parse_args()
    # Before torch is imported: spinning threads starve a machine that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.set_num_threads(1)
    run = Run(arguments.work, arguments.out, tuple(arguments.seed or (0, 1, 2)), arguments.steps)
    for stage in arguments.stage or STAGES:
        STAGES[stage](run)


if __name__ == "__main__":
    main()
