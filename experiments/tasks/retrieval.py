"""Example: find a thing by its name among all sealed pictures.

    python -m ipo.experiments.tasks.retrieval [OUT]

Unlike in classification, where the names compete for one picture, here the pictures compete for one name: a template
must make similarities comparable from picture to picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ipo.experiments.tasks.example import Settings, Task
from ipo.experiments.tasks.example import main as run_example

ABOUT = "Optimise a template for text-to-picture retrieval on the embedded CLIP and pictures."
SHOTS, SELECTION_SHOTS = 4, 2


def prepare(settings: Settings) -> Task:
    """Make three galleries of the pictures of the three parts; each class name is a query.

    Raises:
        InputError: unknown data.
    """
    import dspy

    from ipo.experiments.data import draw, load_data
    from ipo.metrics.clip import load_clip
    from ipo.metrics.features import FeatureStore
    from ipo.metrics.retrieval import RetrievalReward

    data = load_data(settings.data, seed=settings.seed)
    drawn = draw(data, SHOTS, SELECTION_SHOTS, settings.seed)
    clip = load_clip("embedded")
    store = FeatureStore(clip)
    at_1, at_5 = (RetrievalReward(clip, drawn.class_names, k=k, store=store) for k in (1, 5))
    search, selection, test = (
        [dspy.Example(image=item.picture, caption=drawn.class_names[item.label]) for item in items]
        for items in (drawn.search, drawn.selection, drawn.test)
    )
    measures = {"recall@1": at_1, "recall@5": at_5}
    return Task("retrieval", data.task, clip, at_1, search, selection, test, measures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code."""
    return run_example("retrieval", ABOUT, "queries", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
