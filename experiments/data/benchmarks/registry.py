"""The paper's data sets, listed in `registry.yaml`: eleven to search on, four shifted ImageNets to test on.

The layout is that of CoOp (github.com/KaiyangZhou/CoOp, DATASETS.md): one root with a folder a data set, and in it the
pictures and `split_zhou_NAME.json`. The templates are those of its zero-shot classifier. Sizes were counted in the
published split and index files (github.com/linzhiqiu/cross_modal_adaptation, MIT); those of ImageNet and its shifted
versions are the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter

ROOT_VARIABLE = "IPO_DATA_ROOT"

Rule = Literal["split", "variants", "imagenet", "wnids", "numbers"]


@dataclass(frozen=True)
class Hub:
    """A copy on the Hugging Face hub. None of them ships the benchmark's split.

    Attributes:
        id: as `hf:` takes it.
        key: the column that names a picture's file; None takes the path that the image column stores.
        caveat: what a user must know.
        usable: whether its rows are the benchmark's pictures.
    """

    id: str
    caveat: str
    key: str | None = None
    usable: bool = True


@dataclass(frozen=True)
class Registered:
    """One registered data set.

    Attributes:
        name: as in `--data eurosat`.
        title: its name in tables.
        task: for the language model; it names no class of the new half.
        hand_written: CoOp's template.
        folder: below the root.
        pictures: the folder of the pictures, below `folder`; the paths of the split file start there.
        rule: where parts and labels come from. "split": a split file; "variants": the lists of FGVC-Aircraft;
            "imagenet": train and val folders of WordNet ids, val being the test part; "wnids" and "numbers": folders of
            WordNet ids or of label numbers, all for testing.
        classes: how many.
        sizes: pictures in train, val and test of the official split.
        hub: its copy on the Hugging Face hub.
        split_file: for the rule "split".
    """

    name: str
    title: str
    task: str
    hand_written: str
    folder: str
    pictures: str
    rule: Rule
    classes: int
    sizes: tuple[int, int, int]
    hub: Hub
    split_file: str | None = None

    @property
    def twins(self) -> bool:
        """Whether two classes may share a name: CLIP's list for ImageNet has "missile" and "sunglasses" twice."""
        return self.rule in ("imagenet", "wnids", "numbers")


_LISTED = yaml.safe_load(Path(__file__).with_name("registry.yaml").read_text(encoding="utf-8"))
REGISTRY: Mapping[str, Registered] = TypeAdapter(dict[str, Registered]).validate_python(
    {name: {"name": name, **fields} for name, fields in _LISTED.items()}
)
"""Name → data set, in the order of the paper's tables."""
