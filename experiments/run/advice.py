"""One piece of advice after a run, only where there is something to do."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ipo_prompts.experiments.data.load import check_command
from ipo_prompts.experiments.run.plan import held_back_shots
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.experiments.run.sealed import SealedTest
from ipo_prompts.experiments.run.tested_before import told
from ipo_prompts.metrics.blend import FEWEST
from ipo_prompts.metrics.classification import scores_accuracy
from ipo_prompts.metrics.errors import several
from ipo_prompts.metrics.verdict import share
from ipo_prompts.programs.classifier import TemplateClassifier


def advice(prepared: Prepared, program: TemplateClassifier, test: SealedTest) -> str:
    """Return the first advice that applies; empty if there is nothing to do."""
    drawn, config = prepared.plan.drawn, prepared.config
    if test.tested_before:
        return told(test.tested_before)
    tested = {item.label for item in drawn.test}
    untested = [repr(str(name)) for label, name in enumerate(drawn.class_names) if label not in tested]
    if untested:
        return f"no test picture: {several(untested)}; add pictures, to know how often these classes are named rightly"
    if test.copies:
        check = check_command(config.data, config.exclude)
        sealed = len(drawn.test) + len(drawn.new_test)
        return (
            f"{test.copies:,} of {sealed:,} test pictures are also search or selection pictures, so the accuracy is "
            f"too high; this lists them: {check}"
        )
    if config.head == "auto" and scores_accuracy(prepared.reward) and _few(prepared):
        if config.shots + held_back_shots(config) < FEWEST:
            return f"with {FEWEST} or more labelled pictures a class, pictures can help beside words: shots=4"
        return f"label {FEWEST} or more pictures a class, so that pictures can help beside words"
    for row in test.rows:
        if row.part == "test" and row.measure == "mean over classes":
            return f"if each class counts the same, the accuracy is {share(row.after)}: {row.difference.numbers}"
    return ""


def _few(prepared: Prepared) -> bool:
    """Whether the median class has fewer labelled base pictures than pictures need to count beside words."""
    drawn = prepared.plan.drawn
    base = Counter(label for label, _ in {(item.label, item.group) for item in (*drawn.search, *drawn.selection)})
    return bool(np.median([base[label] for label in range(len(drawn.class_names))]) < FEWEST)
