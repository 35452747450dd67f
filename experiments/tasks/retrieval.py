"""Example: find a thing by its name among all sealed pictures.

    python -m ipo.experiments.tasks.retrieval [OUT] --seeds 3 --controls

Unlike in classification, where the names compete for one picture, here the pictures compete for one name: a template
must make similarities comparable from picture to picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipo.experiments.tasks.command import main as run_example
from ipo.experiments.tasks.example import SELECTION_SHOTS, SHOTS, SPLIT_SEED, Settings, Task

if TYPE_CHECKING:
    from ipo.experiments.data import Item

ABOUT = "Optimise a template for text-to-picture retrieval on the embedded CLIP and pictures."


def prepare(settings: Settings) -> Task:
    """Make three galleries of the pictures of the three parts; each class name is a query.

    Raises:
        InputError: unknown data.
    """
    from ipo.experiments.data import draw, load_data

    data = load_data(settings.data, seed=SPLIT_SEED)
    drawn = draw(data, SHOTS, SELECTION_SHOTS, settings.seed)
    return task_of(data.task, drawn.class_names, (drawn.search, drawn.selection, drawn.test))


def task_of(words: str, class_names: Sequence[str], parts: Sequence[Sequence[Item]]) -> Task:
    """Make the task of the search, selection and test pictures."""
    import dspy

    from ipo.metrics.clip import load_clip
    from ipo.metrics.features import FeatureStore
    from ipo.metrics.retrieval import RetrievalReward

    clip = load_clip("embedded")
    store = FeatureStore(clip)
    at_1, at_5 = (RetrievalReward(clip, class_names, k=k, store=store) for k in (1, 5))
    search, selection, test = (
        [dspy.Example(image=item.picture, caption=class_names[item.label]) for item in items] for items in parts
    )
    return Task("retrieval", words, clip, at_1, search, selection, test, {"recall@1": at_1, "recall@5": at_5})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code."""
    return run_example("retrieval", ABOUT, "queries", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
