"""A stand-in for FiftyOne, whose data sets need a MongoDB: the way of `apply_model` through a data loader.

It follows `fiftyone/core/models.py` and `fiftyone/utils/torch.py` of FiftyOne 1.22.1: which attributes of a model are
read and set, and what the loader asks for. FiftyOne logs the failure of a batch; here it is raised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch.utils.data import DataLoader


@dataclass
class Classification:
    label: str
    confidence: float


class Model:
    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def _missing(self) -> Any:
        raise NotImplementedError

    media_type = ragged_batches = transforms = preprocess = _missing


class SupportsGetItem:
    def build_get_item(self, field_mapping: dict[str, str] | None = None) -> Callable[[dict[str, Any]], Any]:
        raise NotImplementedError


class TorchModelMixin:
    has_collate_fn = False

    @staticmethod
    def collate_fn(batch: list[Any]) -> Any:
        return batch


class GetItem:
    required_keys: list[str]

    def __init__(self, field_mapping: dict[str, str] | None = None) -> None:
        self.field_mapping = {key: key for key in self.required_keys} | (field_mapping or {})


class Sample(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self[name]


class Dataset(list[Sample]):
    @classmethod
    def from_images_dir(cls, folder: str) -> Dataset:
        return cls(Sample(filepath=str(file.resolve())) for file in sorted(Path(folder).iterdir()))

    def apply_model(self, model: Any, label_field: str, batch_size: int) -> None:
        assert isinstance(model, Model) and isinstance(model, TorchModelMixin) and isinstance(model, SupportsGetItem)
        before, model.preprocess = model.preprocess, False  # type: ignore[method-assign, assignment]
        with model:
            assert model.media_type == "image" and model.has_collate_fn and model.ragged_batches is False
            read: Any = model.build_get_item(field_mapping=None)
            wanted = [{key: sample[field] for key, field in read.field_mapping.items()} for sample in self]
            loader = DataLoader([read(one) for one in wanted], batch_size=batch_size, collate_fn=model.collate_fn)
            labels = [label for batch in loader for label in model.predict_all(batch)]  # type: ignore[attr-defined]
        model.preprocess = before
        for sample, label in zip(self, labels, strict=True):
            sample[label_field] = label


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `import fiftyone` find the stand-in."""
    here = sys.modules[__name__]
    names = {
        "fiftyone": ("Classification", "Dataset"),
        "fiftyone.core": (),
        "fiftyone.core.models": ("Model", "SupportsGetItem", "TorchModelMixin"),
        "fiftyone.utils": (),
        "fiftyone.utils.torch": ("GetItem",),
    }
    for module, has in names.items():
        made = ModuleType(module)
        vars(made).update({name: getattr(here, name) for name in has})
        monkeypatch.setitem(sys.modules, module, made)
