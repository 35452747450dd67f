"""`docs/how-to/label-next.md`: the table of the page keeps the parts, and takes a further label for training alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from ipo_prompts import load_data
from ipo_prompts.experiments.embedded import IMAGES_DIR
from support.pages import DOCS, follow


def test_a_label_more_changes_no_test_image(desk: Path) -> None:
    for name in ("cat", "dog", "fish"):
        shutil.copytree(IMAGES_DIR / "a" / name, Path("pets", name))
    follow(DOCS / "how-to/label-next.md")
    Path("archive").mkdir()
    shutil.copy(IMAGES_DIR / "b" / "cat" / "01.webp", "archive/0417.webp")
    with Path("parts.csv").open("a", encoding="utf-8") as table:
        table.write("archive/0417.webp,cat,train\n")
    before, after = load_data("folder:pets", seed=0), load_data("table:parts.csv", seed=1)
    assert before.class_names == after.class_names
    for part, more in (("train", 1), ("val", 0), ("test", 0)):
        old, new = ([(item.label, item.group[-11:]) for item in data.part(part)] for data in (before, after))
        assert len(new) == len(old) + more
        assert more or sorted(label for label, _ in old) == sorted(label for label, _ in new)
