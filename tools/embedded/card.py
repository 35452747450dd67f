"""Measures the shipped model and writes ``model/README.md`` and ``model/card.json``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from ipo_prompts.experiments.data.dataset import base_count
from ipo_prompts.metrics.arrays import Floats
from tools.embedded.choose import Choice, probes
from tools.embedded.domains import DOMAINS
from tools.embedded.drawings import Drawing
from tools.embedded.knows import COMPOSITIONS
from tools.embedded.measure import Hits, Part, Shipped, first_shots, hits, rank_correlation, standard_error
from tools.embedded.pages import fill
from tools.embedded.splits import Split
from tools.embedded.templates import BASELINE, templates
from tools.embedded.train_text import HARD
from tools.embedded.vocabulary import UNTAUGHT

SHOTS: Final = (1, 2, 4)
RENDERED_BY: Final = "8a2c5d8"
"""The revision whose renderer made the shipped images and those of the training; change it with them."""


def write(
    out: Path,
    towers: Choice,
    words: Choice,
    drawings: list[Drawing],
    split: Split,
    knows: dict[str, Any],
) -> None:
    """Measures the files in ``out`` and writes the card beside them.

    ``towers`` says how the image tower was chosen, ``words`` how the text tower was chosen; ``knows`` is the result of
    `knows.measure`.
    """
    shipped = Shipped(out)
    fitting = [t for t in templates() if shipped.fits(t)]
    numbers: dict[str, Any] = {
        "schema": 2,
        "towers": asdict(towers),
        "words": asdict(words),
        "classes": len(shipped.classes),
        "images": {part: len(shipped.table[part]) for part in split.parts},
        "clip_images": len(split.clip),
        "clip_concepts": len({drawings[row].concept for row in split.clip}),
        "templates": fitting,
        "rejected": [t for t in templates() if t not in fitting],
        "domains": measure(shipped, fitting),
        "knows": knows,
        "before": json.loads(Path(__file__).with_name("before.json").read_text("utf-8")),
        "model_bytes": (out / "model" / "open_clip_model.safetensors").stat().st_size,
        "image_bytes": sum(p.stat().st_size for p in (out / "images").rglob("*.webp")),
    }
    (out / "model" / "card.json").write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    (out / "model" / "README.md").write_text(page(numbers), "utf-8")


def page(numbers: dict[str, Any]) -> str:
    """Return the whole ``model/README.md``. ``numbers`` is the content of ``card.json``."""
    return fill(
        "card.md.j2",
        **numbers,
        probes=probes(numbers["words"]["rows"][0]),
        rendered_by=RENDERED_BY,
        hard=HARD,
        composed=COMPOSITIONS,
        transformations=len(UNTAUGHT),
    )


def measure(shipped: Shipped, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return the card's numbers of every domain; ``names`` are templates, with the baseline template and bare name."""
    texts = shipped.texts(names)
    return {domain: _domain(shipped, domain, names, texts) for domain in DOMAINS}


def _domain(shipped: Shipped, domain: str, names: list[str], texts: Floats) -> dict[str, Any]:
    train, test = shipped.part(domain, "train"), shipped.part(domain, "test")
    few, many = hits(train, texts), hits(test, texts)
    accuracy = many.mean(1)
    order = np.argsort(accuracy)
    rows = {
        "baseline": names.index(BASELINE),
        "bare": names.index("<CLASS>"),
        "best": int(order[-1]),
        "median": int(order[len(order) // 2]),
        "worst": int(order[0]),
        "selected": int(few.mean(1).argmax()),
    }
    shown = {
        kind: {
            "template": names[row],
            "accuracy": round(float(accuracy[row]), 4),
            "se": standard_error(many[row], test),
        }
        for kind, row in rows.items()
    }
    gain = many[rows["selected"]] - many[rows["baseline"]]
    return {
        "transformations": sorted(DOMAINS[domain]),
        **shown,
        "selected_minus_baseline": round(float(gain.mean()), 4),
        "selected_minus_baseline_se": standard_error(gain, test),
        "best_minus_baseline": round(float(accuracy[rows["best"]] - accuracy[rows["baseline"]]), 4),
        "rank_correlation": _correlations(train, few, many),
        "base_to_new": _base_to_new(shipped, train, test, names, texts),
        "accuracy": [round(a, 4) for a in accuracy.tolist()],
        "train_accuracy": [round(float(a), 4) for a in few.mean(1)],
    }


def _correlations(train: Part, few: Hits, many: Hits) -> dict[str, float]:
    """Correlate few-shot with test accuracy; fewer than four shots are averaged over disjoint draws."""
    found = {}
    for shots in SHOTS:
        masks = [first_shots(train.labels, start, shots) for start in range(0, max(SHOTS), shots)]
        found[str(shots)] = round(float(np.mean([rank_correlation(few[:, mask], many) for mask in masks])), 3)
    return found


def _base_to_new(shipped: Shipped, train: Part, test: Part, names: list[str], texts: Floats) -> dict[str, Any]:
    """Select on base training images and report on test images, each among its own classes."""
    n = len(shipped.classes)
    base, new = range(base_count(n)), range(base_count(n), n)
    selected = int(hits(train, texts, base).mean(1).argmax())
    result: dict[str, Any] = {"template": names[selected]}
    for label, among in (("base", base), ("new", new)):
        baseline, chosen = hits(test, texts[[names.index(BASELINE), selected]], among).mean(1).tolist()
        result[label] = {"baseline": round(baseline, 4), "selected": round(chosen, 4)}
    return result
