"""The recipe's four stages and the files that they pass on in the work folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from ipo.experiments import embedded
from tools.embedded import duplicates, raster, sources, tint
from tools.embedded.raster import Picture, Pixels
from tools.embedded.splits import Split, split

OUT: Final = embedded.MODEL_DIR.parent


@dataclass(frozen=True)
class Run:
    """``work`` keeps packages, drawings and checkpoints; ``out`` is what ships."""

    work: Path
    out: Path
    seeds: tuple[int, ...]
    steps: int

    def stage(self, name: str) -> None:
        """Runs the stage called ``name``, one of fetch, pictures, train and card."""
        stage = {
            "fetch": self.fetch,
            "pictures": self.pictures,
            "train": self.train,
            "card": self.card,
        }[name]
        stage()

    def fetch(self) -> None:
        """npm packages into ``work/npm``, drawings into ``work/raster.npy``."""
        sources.fetch(self.work / "npm")
        pictures, pixels = raster.rasterise(self.work / "npm" / "node_modules")
        pictures = duplicates.join(pictures, pixels)
        raster.save(self.work / "raster.npy", pictures, tint.tint(pictures, pixels))

    def pictures(self) -> None:
        """The shipped pictures, ``split.json`` and ``NOTICE.md``."""
        from tools.embedded.pictures import write

        write(self.out, *self._data())

    def train(self) -> None:
        """One checkpoint and one log a seed into ``work/seeds``, one thread each."""
        from tools.embedded.train import train

        torch.set_num_threads(1)
        for seed in self.seeds:
            train(*self._data(), seed, self.steps, self.work / "seeds")

    def card(self) -> None:
        """Chooses the seed, writes the model and measures the card from shipped files."""
        from tools.embedded.card import write
        from tools.embedded.choose import choose

        torch.set_num_threads(1)
        pictures, pixels, parts = self._data()
        chosen = choose(self.work / "seeds", self.seeds, pictures, pixels, parts, self.out / "model")
        write(self.out, chosen, pictures, parts)

    def _data(self) -> tuple[list[Picture], Pixels, Split]:
        pictures, pixels = raster.load(self.work / "raster.npy")
        return pictures, pixels, split(pictures)
