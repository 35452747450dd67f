"""The frozen CLIP: any model that open_clip loads, with its image transform and its tokenizer."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip_config import check_config, names_in, refuse_code
from ipo_prompts.metrics.device import AUTO, Precision, announce, find_device, halving
from ipo_prompts.metrics.errors import InputError, nearest, one_line, reason, silent
from ipo_prompts.metrics.images import LazyImage, to_image
from ipo_prompts.metrics.template import is_plain

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


logger = logging.getLogger(__name__)

WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""The names of weights files that open_clip tries in a repository, in this order."""
LOUD = ("root", "huggingface_hub", "transformers")
"""The loggers to silence while a CLIP is loaded: they repeat the text of errors. open_clip logs to the root logger."""
AHEAD = 2
"""How many batches of images are decoded while another batch is encoded, so that the encoder never waits for long."""
BATCHES = {"cpu": 32, "mps": 64}
"""How many images a batch has, for each type of device; 128 on CUDA and all others.

A larger batch is hardly faster there, and the last batch of a list is padded.
"""


class Clip:
    """A frozen open_clip model. It is never trained, and its weights are never copied.

    `copy.deepcopy` returns the same object. `copy.copy` returns the same model with `seconds` of its own.

    Attributes:
        name: the name by which the model was loaded, such as `ViT-B-16/openai`.
        fingerprint: the hex digest of the weights and the image transform; the file of cached features is named
            after it.
        context_length: how many tokens fit into the text tower; the start and end tokens count.
        logit_scale: the learned inverse temperature, already exponentiated.
        logit_bias: the learned bias of a SigLIP model; 0 for other models.
        precision: the precision of the weights and the towers. A reward's logits are always float32.
        batch: how many images each batch of `encode_batches` has; see `BATCHES`.
        seconds: the seconds that each tower, `text` and `image`, has spent on encoding so far.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        preprocess: Any,
        tokenizer: Any,
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        self.name = name
        self.model = model.eval().requires_grad_(False)
        self.preprocess = preprocess
        self.tokenizer = reading_words_once(tokenizer)
        self.device = device
        self.precision = precision
        self.context_length: int = tokenizer.context_length
        self.logit_scale = float(model.logit_scale.exp())
        bias = getattr(model, "logit_bias", None)
        self.logit_bias = float(bias) if bias is not None else 0.0
        self.fingerprint = _fingerprint(model, preprocess)
        self.batch = BATCHES.get(device.partition(":")[0], 128)
        self.seconds = {"text": 0.0, "image": 0.0}

    def __repr__(self) -> str:
        return one_line(f"Clip({self.name!r}, {self.precision} on {self.device})")

    @cached_property
    def width(self) -> int:
        """The size of an embedding (D). It is read off an encoded text, because models name this size differently."""
        return int(self.encode_texts(["a"]).shape[1])

    @contextmanager
    def timed(self, tower: Literal["text", "image"]) -> Iterator[None]:
        """Add the time that the block takes to the `seconds` of one tower."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[tower] += time.monotonic() - started

    @contextmanager
    def encoding_images(self) -> Iterator[None]:
        """Prepare a block in which the image tower runs: timed, without gradients, and without TF32.

        By default CUDA's convolutions use TF32, which is less exact than float32. Half precision changes the order of
        templates. Exact features cost little, because each image is encoded only once.
        """
        import torch

        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with self.timed("image"), torch.inference_mode(), exact:
            yield

    def __copy__(self) -> Clip:
        other = object.__new__(Clip)
        vars(other).update(vars(self), seconds=dict.fromkeys(self.seconds, 0.0))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Clip:
        return self

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "a CLIP cannot be pickled, nor can a program that holds one; save a program with "
            "program.save('program.json') and load it with TemplateClassifier.from_file('program.json'); give an "
            "IPOClassifier the name of the CLIP, clip=…."
        )

    def count(self, text: str) -> int:
        """Return how many tokens `text` has, start and end tokens included, even if they do not all fit."""
        if hasattr(self.tokenizer, "encode"):  # open_clip's own BPE adds both tokens after `encode`
            return len(self.tokenizer.encode(text)) + 2
        return len(self.tokenizer.tokenizer(text)["input_ids"])

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Encode texts as they are.

        Returns:
            float32 (len(texts), D), unit rows.
        """
        from ipo_prompts.metrics.text_tower import encode_texts

        with self.timed("text"):
            return encode_texts(self.model, self.tokenizer, texts)

    def encode_images(self, images: Sequence[Any]) -> Floats:
        """Decode, transform and encode images in one batch.

        Args:
            images: at least one image, in any form that `to_image` takes.

        Returns:
            float32 (len(images), D), unit rows.

        Raises:
            InputError: an image cannot be decoded; the message names it.
        """
        return self.encode_pixels([self.decoding(to_image(image).rgb) for image in images])

    def encode_batches(self, batches: Iterable[Sequence[LazyImage]]) -> Iterator[Floats]:
        """Encode batches of images, each padded to `batch` rows, while threads decode the next `AHEAD` batches.

        Yields:
            The features of each batch, in the order given.

        Raises:
            InputError: see `encode_images`; the batches before have been yielded.
        """
        ahead: deque[list[Future[torch.Tensor]]] = deque()
        try:
            for images in batches:
                ahead.append([self.decoding(image.rgb) for image in images])
                if len(ahead) > AHEAD:
                    yield self.encode_pixels(ahead.popleft(), self.batch)
            while ahead:
                yield self.encode_pixels(ahead.popleft(), self.batch)
        finally:
            for future in chain.from_iterable(ahead):
                future.cancel()

    def decoding(self, image: Callable[[], Image]) -> Future[torch.Tensor]:
        """Let a thread call `image` and transform its image. The result is what `encode_pixels` takes."""
        return _decoders(os.getpid()).submit(lambda: self.preprocess(image()))

    def encode_pixels(self, pixels: Sequence[Future[torch.Tensor]], batch: int = 0) -> Floats:
        """Encode images that `decoding` decodes, in one batch.

        Args:
            pixels: at least one image.
            batch: the number of rows of the batch. Copies of the last image fill the rows that are left. By default
                there are as many rows as images. If they do not fit into the memory of the device, the batch is
                encoded in halves, in quarters, and so on. Then features may differ in the last bits.

        Returns:
            float32 (len(pixels), D), unit rows.

        Raises:
            Exception: the exception of the first image that could not be decoded.
        """
        import torch
        from open_clip import get_input_dtype

        with self.encoding_images():
            rows = [future.result() for future in pixels]
            rows += rows[-1:] * (batch - len(rows))
            stacked = torch.stack(rows)

            def encode(size: int) -> torch.Tensor:
                parts = (part.to(self.device, get_input_dtype(self.precision)) for part in torch.split(stacked, size))
                return torch.cat([self.model.encode_image(part) for part in parts])

            return unit(halving(encode, len(stacked)))[: len(pixels)]


@lru_cache(1)
def _decoders(process: int) -> ThreadPoolExecutor:
    """Return the threads that decode images for all CLIPs of a process. Decoding needs no lock of Python.

    A forked process has another number, and so threads of its own.
    """
    return ThreadPoolExecutor(os.cpu_count() or 1, f"decoder-of-{process}")


def load_clip(name: str, device: str = AUTO, precision: Precision = "fp32") -> Clip:
    """Load a frozen CLIP by name.

    Args:
        name: `MODEL/TAG` as open_clip lists them (`ViT-B-16/openai`), `MODEL/PATH` of a weights file,
            `hf-hub:ORG/REPO`, `local-dir:PATH`, or `embedded`. `embedded` is the demo CLIP, a `local-dir:` that ships
            with IPO.
        device: see `find_device`.
        precision: "fp32", or "fp16" or "bf16" as open_clip defines them: not for the layer norms. On a CPU "fp16"
            works, but is several times slower.

    Raises:
        InputError: the model or tag is unknown (the message gives the nearest names); the device is missing; the model
            brings code; its configuration sets more than `clip_config` allows; or the weights cannot be loaded. Random
            weights are never used instead.
    """
    import open_clip

    device = find_device(device)
    check_name(name)
    arguments = open_clip_arguments(name)
    shipped = f"local-dir:{files('ipo_prompts.experiments.embedded') / 'model'}"
    architecture = str(arguments.pop("model_name", shipped))
    try:
        _announce(name, architecture, arguments.get("pretrained", ""))
        with silent(*LOUD):
            config = open_clip.get_model_config(architecture)
        check_config(config, _config_of(architecture))
        if not arguments and name != "embedded" and (inside := names_in(config)):
            logger.warning("the CLIP %s also loads %s", name, ", ".join(inside), extra={"progress": True})
        with silent(*LOUD):
            without_code = refuse_code(config)
            model, preprocess = open_clip.create_model_from_pretrained(
                architecture, device=device, precision=precision, **arguments
            )
            tokenizer = open_clip.get_tokenizer(architecture, **without_code)
    except InputError as error:
        raise type(error)(f"cannot load the CLIP {name!r}: {error}") from error
    except Exception as error:  # a stranger's files make open_clip, torch and safetensors raise nearly anything
        if "trust_remote_code" in str(error):
            raise InputError(
                f"cannot load the CLIP {name!r}: its text model or tokenizer comes with Python code, which is never "
                "run; name another CLIP."
            ) from error
        raise InputError(f"cannot load the CLIP {name!r}: {_why(error)}; check its name, files or network.") from error
    return Clip(name, model, preprocess, tokenizer, device, precision)


def open_clip_arguments(name: str) -> dict[str, Any]:
    """Return the arguments that make open_clip's `create_model_from_pretrained` load a CLIP.

    For `embedded`, which open_clip does not know, the result is empty.
    """
    import open_clip

    if name == "embedded":
        return {}
    if name.startswith("local-dir:"):  # from any folder
        return {"model_name": f"local-dir:{Path(name.removeprefix('local-dir:')).absolute()}"}
    if name.startswith("hf-hub:"):
        return {"model_name": name}
    architecture, _, tag = name.partition("/")
    known = open_clip.get_pretrained_cfg(architecture, tag) or {}
    # The weights of a tag may need another activation than the architecture's name says. open_clip would only warn, and
    # the features would be wrong.
    return {"model_name": architecture, "pretrained": tag, "force_quick_gelu": bool(known.get("quick_gelu", False))}


def _announce(name: str, architecture: str, tag: str) -> None:
    """Tell the user how much open_clip will fetch, if it fetches the CLIP from the hub."""
    import open_clip

    where = architecture.removeprefix("hf-hub:") if architecture.startswith("hf-hub:") else ""
    if tag:
        where = (open_clip.get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", "")
    if where:
        organisation, _, rest = where.partition("@")[0].partition("/")
        repository, _, file = rest.partition("/")
        announce(f"the CLIP {name}", f"{organisation}/{repository}", [file] if file else WEIGHTS)


def _config_of(architecture: str) -> str:
    """Return the name, for messages, of the file that the configuration of a CLIP is read from."""
    if architecture.startswith("local-dir:"):
        return str(Path(architecture.removeprefix("local-dir:")) / "open_clip_config.json")
    if architecture.startswith("hf-hub:"):
        return f"open_clip_config.json of {architecture.removeprefix('hf-hub:')}"
    return f"open_clip's configuration of {architecture}"


def _why(error: Exception) -> str:
    """Return the text of an error of open_clip, shortened, as part of a sentence."""
    said = reason(error)
    if "Required pretrained weights" in said:
        return "there is no weights file (such as open_clip_model.safetensors) in it"
    return f"{type(error).__name__} {said}" if isinstance(error, (KeyError, TypeError)) else said


def check_name(name: str) -> None:
    """Refuse a name that no CLIP can have, before anything large is fetched or read.

    Raises:
        InputError: the model or tag is unknown; the message gives the nearest names.
    """
    if name == "embedded" or name.startswith(("hf-hub:", "local-dir:")):
        return
    architecture, _, tag = name.partition("/")
    models = _models()
    if architecture not in models:
        near = (
            [f"{ours}/openai"]  # a name in OpenAI's spelling, such as ViT-L/14@336px
            if (ours := re.sub("[/@]", "-", f"{architecture}/{tag}").removesuffix("px")) in models
            else nearest(architecture, ["embedded"], cutoff=0.7) or nearest(architecture, models, n=3, cutoff=0.4)
        )
        hint = (
            f"did you mean {', '.join(near)}?"
            if near
            else "see `python -c 'import open_clip; print(open_clip.list_models())'`."
        )
        raise InputError(f"there is no CLIP named {architecture!r}; {hint}")
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tag:
        known = f"such as {architecture}/{tags[0]}; it has: {', '.join(tags)}" if tags else f"as {architecture}/PATH"
        raise InputError(f"say which weights of {architecture} to load, {known}.")
    if tag not in tags and not Path(tag).is_file():
        near = nearest(tag, tags, cutoff=0.5)
        hint = f"did you mean {near[0]}? It" if near else "it"
        raise InputError(f"{architecture} has no weights {tag!r}; {hint} has: {', '.join(tags) or 'none'}.")


def _models() -> list[str]:
    """Return the names of open_clip's models. If it is not imported yet, they are read from its folder, in no time."""
    if "open_clip" not in sys.modules and (found := find_spec("open_clip")) and found.origin:
        return sorted(file.stem for file in (Path(found.origin).parent / "model_configs").glob("*.json"))
    import open_clip

    names: list[str] = open_clip.list_models()
    return names


def unit(features: torch.Tensor) -> Floats:
    """Scale each feature to length 1: (…, D) → float32 (…, D)."""
    import torch.nn.functional as functional

    return functional.normalize(features.float(), dim=-1).cpu().numpy()


def _fingerprint(model: Any, preprocess: Any) -> str:
    import torch

    digest = hashlib.sha256(repr(preprocess).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# open_clip's own tokenizer, changed so that it reads each word only once.
#
# A search tokenizes some hundred thousand texts, which have only a few hundred different words. At 40 µs a text this
# would take a third of the search's time.


WORDS = 2**16
"""The most words whose tokens are kept in memory."""


def reading_words_once(tokenizer: Any) -> Any:
    """Make open_clip's byte-pair tokenizer keep the tokens of each word, and return it.

    Any other tokenizer is returned unchanged. No token of this tokenizer crosses a space, so words can be read one by
    one. Before that the tokenizer cleans a text: it repairs the encoding, unescapes HTML, and strips spaces. In
    printable ASCII without "&", cleaning changes only the case. All other texts are read as before.
    """
    from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

    if type(tokenizer) is not SimpleTokenizer or tokenizer.clean_fn is not get_clean_fn("lower"):
        return tokenizer
    whole, reader = tokenizer.encode, copy(tokenizer)
    reader.clean_fn = str.lower  # full cleaning takes half of the time; in plain text it changes only the case

    @lru_cache(WORDS)
    def word(text: str) -> tuple[int, ...]:
        return tuple(reader.encode(text))

    def encode(text: str) -> list[int]:
        if is_plain(text):
            return list(chain.from_iterable(map(word, text.split())))
        tokens: list[int] = whole(text)
        return tokens

    tokenizer.encode = encode
    tokenizer.word_by_word = tokenizer.reduction_fn is None
    return tokenizer
