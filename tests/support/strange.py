"""A device of torch that is no CPU in name: its tensors hold a CPU's tensor, and mix with no tensor of the CPU.

`python -m support.strange` registers the device and runs commands of `ipo`, given as a JSON list of lists on stdin. The
device is an accelerator to torch, so that `device=auto` finds it. It is for a process of its own: it stays registered.

It shows tensors that are on the wrong device. It shows nothing about memory, half precision or TF32.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "strange"
used: Counter[str] = Counter()
"""How often each operation ran on the device."""
aten = torch.ops.aten


class Strange(torch.Tensor):
    """A tensor on the device; `raw` is the tensor that holds its values."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Strange:
        """Wrap a tensor of the CPU."""
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )
        made.raw = raw
        return made  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; see `run`."""
        return run(func, *args, **kwargs or {})


def run(func: Any, *args: Any, **named: Any) -> Any:
    """Run an operation on the raw tensors, and return its results on the device that it was asked for.

    Raises:
        RuntimeError: tensors of two devices are mixed, in the words of CUDA. Numbers of the CPU may mix, as with CUDA.
    """
    used[str(func)] += 1
    tensors = [one for one in tree_leaves((args, named)) if isinstance(one, torch.Tensor)]
    here = any(isinstance(one, Strange) for one in tensors)
    asked = named.get("device")
    if asked is not None:
        here, named = torch.device(asked).type == NAME, named | {"device": torch.device("cpu")}
    elif func is not aten.copy_.default and here and any(not isinstance(o, Strange) and o.dim() for o in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {NAME}:0 and cpu! ({func})")
    results = func(*tree_map(_raw, args), **tree_map(_raw, named))
    known = {id(one.raw): one for one in tensors if isinstance(one, Strange)}

    def on_device(one: Any) -> Any:
        if not (here and isinstance(one, torch.Tensor)):
            return one
        return known[id(one)] if id(one) in known else Strange(one)

    return tree_map(on_device, results)


def _raw(one: Any) -> Any:
    return one.raw if isinstance(one, Strange) else one


def register() -> torch.library.Library:
    """Make the device known to torch. It goes when the library that is returned goes."""
    _setup_privateuseone_for_python_backend(NAME)
    torch.inference_mode = torch.no_grad  # type: ignore[assignment,misc]  # wrapped tensors know no inference mode
    library = torch.library.Library("_", "IMPL")
    library.fallback(run, "PrivateUse1")
    return library


if __name__ == "__main__":
    kept = register()
    from ipo_prompts.experiments.cli.app import main
    from ipo_prompts.metrics.text_pass import TextPass

    passes: Counter[str] = Counter()
    once = TextPass.run

    def counted(self: TextPass, chunk: Any) -> torch.Tensor:
        passes[self.device.type] += 1
        return once(self, chunk)

    TextPass.run = counted  # type: ignore[method-assign]
    codes = [main(words) for words in json.load(sys.stdin)]
    print("\n" + json.dumps({"codes": codes, "used": used, "passes": passes[NAME]}), file=sys.stderr)
