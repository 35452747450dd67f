"""Memory that is used up halves the batch; an error of a device is raised and never hidden by the plain text path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.metrics import text_tower
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.device import halving, is_of_device
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.text_pass import TextPass

pytestmark = pytest.mark.filterwarnings("ignore:the memory of the device")
TEXTS = [f"a photo of a {word} on a table." for word in ("cat", "small dog", "bus", "key", "red book")]
ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
)


def small_memory(run: Callable[..., Any], most: int, rows: Callable[..., int], sizes: list[int]) -> Callable[..., Any]:
    """Return `run` on a device whose memory holds at most `most` rows."""

    def tried(*given: Any) -> Any:
        sizes.append(rows(*given))
        if sizes[-1] > most:
            raise ERRORS[len(sizes) % len(ERRORS)]
        return run(*given)

    return tried


def test_images_are_encoded_in_smaller_batches(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [LazyImage.from_path(file) for file in sorted((IMAGES_DIR / "a" / "cat").iterdir())[:5]]
    sizes: list[int] = []
    monkeypatch.setattr(clip, "batch", 8)
    (whole,) = clip.encode_batches([few])
    encode = small_memory(clip.model.encode_image, 3, len, sizes)
    monkeypatch.setattr(clip.model, "encode_image", encode)
    np.testing.assert_allclose(next(clip.encode_batches([few])), whole, atol=1e-6)
    assert sizes == [8, 4, 2, 2, 2, 2]


@pytest.mark.parametrize("fast", [True, False])
def test_texts_are_encoded_in_smaller_batches(fast: bool, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, sizes = clip.encode_texts(TEXTS), list[int]()
    if fast:
        run = TextPass.run
        most = max(len(text.split()) for text in TEXTS) + 12
        monkeypatch.setattr(TextPass, "run", small_memory(run, most, lambda _, chunk: len(chunk.tokens), sizes))
    else:
        monkeypatch.setitem(text_tower._PATHS, clip.model, text_tower._Path("plain: for the test"))
        monkeypatch.setattr(clip.model, "encode_text", small_memory(clip.model.encode_text, 2, len, sizes))
    np.testing.assert_allclose(clip.encode_texts(TEXTS), whole, atol=1e-5)
    assert max(sizes) > sizes[-1]


def test_one_row_that_does_not_fit_and_other_errors_are_raised() -> None:
    for error, tries in ((ERRORS[0], [4, 2, 1]), (RuntimeError("shapes do not match"), [4])):
        sizes: list[int] = []

        def run(size: int, error: RuntimeError = error, sizes: list[int] = sizes) -> None:
            sizes.append(size)
            raise error

        with pytest.raises(RuntimeError) as caught:
            halving(run, 4)
        assert caught.value is error and sizes == tries


def test_an_error_of_the_device_does_not_choose_the_plain_path(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!")

    def run(*given: Any) -> Any:
        raise fault

    monkeypatch.setattr(TextPass, "run", run)
    with pytest.raises(RuntimeError) as caught:
        text_tower._choose(clip.model)
    assert caught.value is fault


def test_what_tells_an_error_of_the_device_is_its_class_or_torchs_own_sentence(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(map(is_of_device, (*ERRORS, torch.AcceleratorError("an illegal memory access"))))
    mixed = "Tensor for argument #1 'mat1' is on CPU, but expected it to be on GPU", "CUDA error: device-side assert"
    assert all(is_of_device(RuntimeError(text)) for text in mixed)
    word = "this tower has no CUDA kernel for its device"
    for error in (ValueError("CUDA error: tensors on different devices"), RuntimeError(word)):
        assert not is_of_device(error)

        def run(*given: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(TextPass, "run", run)
        with pytest.warns(UserWarning, match=f"does not run .*{str(error)[:20]}"):
            assert text_tower._choose(clip.model).fast is None
