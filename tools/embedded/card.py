"""Measures the shipped model and writes ``model/README.md`` and ``model/card.json``."""

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

from tools.embedded.card_text import page
from tools.embedded.choose import Chosen, score
from tools.embedded.domains import DOMAINS
from tools.embedded.measure import (
    Part,
    Shipped,
    clustered_se,
    first_shots,
    hits,
    rank_correlation,
)
from tools.embedded.raster import Picture
from tools.embedded.splits import Split
from tools.embedded.templates import ANCHOR, templates
from tools.embedded.train import make_tokenizer

SHOTS: Final = (1, 2, 4)


def write(out: Path, chosen: Chosen, pictures: list[Picture], split: Split) -> None:
    """Measures what lies in ``out`` (files, not memory) and writes the card beside it."""
    shipped = Shipped(out)
    fitting = [t for t in templates() if shipped.fits(t)]
    texts = [shipped.texts(t) for t in fitting]
    tokenizer = make_tokenizer(pictures)
    numbers: dict[str, Any] = {
        "schema": 1,
        "chosen_seed": chosen.seed,
        "seeds": [{**row, "score": round(score(row), 4)} for row in chosen.logs],
        "classes": len(shipped.classes),
        "pictures": {part: len(shipped.table[part]) for part in split.parts},
        "clip_pictures": len(split.clip),
        "clip_concepts": len({pictures[row].concept for row in split.clip}),
        "templates": fitting,
        "rejected": [t for t in templates() if t not in fitting],
        "taught_words_only": [tokenizer.knows(t.replace("<CLASS>", "cat")) for t in fitting],
        "domains": {d: _domain(shipped, d, fitting, texts) for d in DOMAINS},
        "model_bytes": (out / "model" / "open_clip_model.safetensors").stat().st_size,
        "picture_bytes": sum(p.stat().st_size for p in (out / "pictures").rglob("*.webp")),
    }
    text = json.dumps(numbers, indent=1) + "\n"
    (out / "model" / "card.json").write_text(text, "utf-8")
    (out / "model" / "README.md").write_text(page(numbers), "utf-8")


def _domain(shipped: Shipped, domain: str, names: list[str], texts: list[Tensor]) -> dict[str, Any]:
    train, test = shipped.part(domain, "train"), shipped.part(domain, "test")
    few, many = hits(train, texts), hits(test, texts)
    accuracy = many.mean(1)
    anchor, selected = names.index(ANCHOR), int(few.mean(1).argmax())
    order = np.argsort(accuracy)
    gain = many[selected] - many[anchor]
    best_gain = many[order[-1]] - many[anchor]

    def shown(row: int) -> dict[str, Any]:
        return {
            "template": names[row],
            "accuracy": round(float(accuracy[row]), 4),
            "se": round(clustered_se(many[row], test.labels), 4),
        }

    return {
        "operations": sorted(DOMAINS[domain]),
        "anchor": shown(anchor),
        "bare": shown(names.index("<CLASS>")),
        "best": shown(int(order[-1])),
        "median": shown(int(order[len(order) // 2])),
        "worst": shown(int(order[0])),
        "selected": shown(selected),
        "selected_minus_anchor": round(float(gain.mean()), 4),
        "selected_minus_anchor_se": round(clustered_se(gain, test.labels), 4),
        "best_minus_anchor": round(float(best_gain.mean()), 4),
        "rank_correlation": _correlations(train, few, many),
        "base_to_new": _base_to_new(shipped, train, test, names, texts),
        "accuracy": [round(float(a), 4) for a in accuracy],
        "train_accuracy": [round(float(a), 4) for a in few.mean(1)],
    }


def _correlations(train: Part, few: np.ndarray[Any, Any], many: np.ndarray[Any, Any]) -> dict[str, float]:
    """Few-shot against test accuracy; fewer than four shots are averaged over disjoint draws."""
    found = {}
    for shots in SHOTS:
        draws = [
            rank_correlation(few[:, first_shots(train.labels, start, shots)], many)
            for start in range(0, max(SHOTS), shots)
        ]
        found[str(shots)] = round(float(np.mean(draws)), 3)
    return found


def _base_to_new(shipped: Shipped, train: Part, test: Part, names: list[str], texts: list[Tensor]) -> dict[str, Any]:
    """Selected on base training pictures, reported on test, each among its own classes."""
    half = math.ceil(len(shipped.classes) / 2)
    base, new = list(range(half)), list(range(half, len(shipped.classes)))
    selected = int(hits(train, texts, base).mean(1).argmax())
    anchor = names.index(ANCHOR)
    result: dict[str, Any] = {"template": names[selected]}
    for label, among in (("base", base), ("new", new)):
        rows = hits(test, [texts[anchor], texts[selected]], among).mean(1)
        result[label] = {"anchor": round(float(rows[0]), 4), "selected": round(float(rows[1]), 4)}
    return result
