"""The target `hf`: arguments for the zero-shot image classification pipeline of Hugging Face's transformers.

If the hub has no such model, the model is written, too. Two architectures of transformers can hold an open_clip model:
- CLIP holds the towers of open_clip itself.
- SigLIP holds a vision transformer of timm that pools by attention, with a text tower that sees in both directions.

Each weight of the open_clip model must become a weight of the transformers model, and no weight may be left over on
either side. The comparison with the program finds all other differences between the towers.
"""

from __future__ import annotations

import json
import logging
import re
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ipo_prompts.experiments.export.target import (
    NotChecked,
    Reference,
    Target,
    formatted,
    imported,
    no_place,
    reader,
    spoken,
    write_readme,
)
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError, to_install
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.programs.classifier import TemplateClassifier

TASK = "zero-shot-image-classification"
MODELS = {
    "ViT-B-32/openai": "openai/clip-vit-base-patch32",
    "ViT-B-16/openai": "openai/clip-vit-base-patch16",
    "ViT-L-14/openai": "openai/clip-vit-large-patch14",
    "ViT-L-14-336/openai": "openai/clip-vit-large-patch14-336",
    "ViT-B-32/laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "ViT-L-14/laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "ViT-H-14/laion2b_s32b_b79k": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
}
"""Models in transformers' format on the Hugging Face hub: open_clip's name of the model → its id on the hub."""
_SIGLIPS = re.compile(r"(?:hf-hub:timm/)?ViT-(B|L|SO400M|gopt)-(\d+)-SigLIP(2?)(?:-(256|384|512))?(?:/webli)?")
_TOWERS = {"B": "base", "L": "large", "SO400M": "so400m", "gopt": "giant-opt"}
HERE, ARGUMENTS = ".", "pipeline.json"
"""HERE is the value of `model` if the model is in the exported folder. ARGUMENTS is the file with the arguments."""
TEXTS = 4000
"""The most texts to encode in the check. The pipeline encodes all class names again for every picture."""
TIE = 0.05
"""Two classes are tied if their probabilities differ by at most this number. The pipeline resizes pictures with another
library, which changes probabilities by a few hundredths."""

_USE = """\
import json, runpy, sys
from transformers import AutoImageProcessor, pipeline

about, read = json.load(open("pipeline.json", encoding="utf-8")), runpy.run_path("read.py")["read"]
alike = AutoImageProcessor.from_pretrained(".", backend="pil")  # it resizes as IPO does
pipe = pipeline(about["task"], model=".", image_processor=alike)
for file in sys.argv[1:]:
    labels, template = about["candidate_labels"], about["hypothesis_template"]
    answer = pipe(read(file), candidate_labels=labels, hypothesis_template=template)
    best = max(answer, key=lambda one: one["score"])
    print(file, best["label"], round(best["score"], 4))
"""
_UNCALIBRATED = "\nThese probabilities are those of the CLIP: the pipeline has no place for a fitted temperature.\n"


@dataclass(frozen=True)
class HuggingFace(Target):
    """A JSON file with `task`, `model`, `candidate_labels` and `hypothesis_template`.

    If the CLIP has no known name on the hub, the export is a folder: the model in transformers' format, the JSON
    file as `pipeline.json`, and `read.py`, which opens pictures as the program does.

    The pipeline fills a template with `hypothesis_template.format(label)`. So a single slot is written as `{}`, each of
    several slots as `{0}`, and braces are doubled. The pipeline takes only one template, no weights and no temperature.

    Attributes:
        model: the id of the model on the hub, or the path of its folder. None uses the known id of the CLIP; if there
            is none, the model is written.
    """

    model: str | None = None
    use: ClassVar[str] = "README.md in the folder, or `note` in the file, says how to use it without IPO."

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return why the pipeline cannot hold a program; None if it can.

        It cannot hold an ensemble, two equal class names, a CLIP that transformers cannot hold, synonyms, offsets, or
        pictures beside words.

        Raises:
            InputError: the model has to be written, and transformers is missing.
        """
        if len(program.templates) > 1:
            return (
                "the pipeline of Hugging Face has one hypothesis_template and this is an ensemble of "
                f"{len(program.templates)}; take open_clip or head"
            )
        names, _ = self._words(program)
        if len(set(names)) < len(names):
            return "the pipeline of Hugging Face names labels by their text and two classes have the same"
        if self._model(program) == HERE:
            if find_spec("transformers") is None:
                raise InputError(f"exporting to hf needs the package transformers: {to_install('hf')}.")
            with _quiet():
                written = fits(program.clip)
            if not written:
                return (
                    f"the CLIP {program.clip.name!r} cannot be written for transformers, which has no place for its "
                    "towers, weights or picture transform; name its hub id or folder there with --hf-model, or take "
                    "open_clip or onnx"
                )
        return no_place(program, "the pipeline of Hugging Face", "synonyms", "offsets", "pictures")

    def _model(self, program: TemplateClassifier) -> str:
        """Return the id or the folder of the model; return `HERE` if the model has to be written."""
        return self.model or hub_id(program.clip.name) or HERE

    def _words(self, program: TemplateClassifier) -> tuple[list[str], str]:
        """Return the labels and the hypothesis template.

        If open_clip cleans texts (lower case, no punctuation) before it makes tokens, as for SigLIP, both are clean,
        because the tokenizers on the hub may not do so.
        """
        names, template = spoken(program.class_names), program.template
        if self._model(program) != HERE and _canonical(program.clip.tokenizer):
            from open_clip.tokenizer import canonicalize_text

            template = canonicalize_text(template, keep_punctuation_exact_string=SLOT).replace(SLOT.lower(), SLOT)
            names = [canonicalize_text(name) for name in names]
        return names, formatted(template, "{}" if template.count(SLOT) == 1 else "{0}")

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the JSON file, or the folder if the model has to be written."""
        model, (names, template) = self._model(program), self._words(program)
        if model == HERE:
            with _quiet():
                save_model(program.clip, place)
            (place / "read.py").write_text(reader(program.background), encoding="utf-8")
            write_readme(program, place, _USE, _UNCALIBRATED, own_clip=True)
        arguments = {
            "task": TASK,
            "model": model,
            "candidate_labels": names,
            "hypothesis_template": template,
            "labels": list(program.labels),
            "open_clip": {"name": program.clip.name, "fingerprint": program.clip.fingerprint},
            "note": "pipeline(task, model=model)(picture, candidate_labels=…, hypothesis_template=…). `labels` are "
            "the names of the classes, in the order of candidate_labels. The model is the "
            f"one that open_clip calls {program.clip.name}. Its scores are not calibrated: this program divides logits "
            f"by {program.temperature:g}, the pipeline by 1. It resizes pictures with torchvision; "
            "image_processor=AutoImageProcessor.from_pretrained(model, backend='pil') does so as this program does.",
        }
        file = place / ARGUMENTS if model == HERE else place
        file.write_text(json.dumps(arguments, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def check(self, reference: Reference, place: Path) -> str:
        """Run the pipeline on the pictures; compare its labels and class embeddings with those of the program."""
        import torch

        transformers = imported("transformers", to_install("hf"))
        own = place.is_dir()
        written = json.loads((place / ARGUMENTS if own else place).read_text(encoding="utf-8"))
        ours = reference.program.clip
        pipe = _pipeline(transformers, written["task"], str(place) if own else written["model"], ours.device)
        names, template = written["candidate_labels"], written["hypothesis_template"]
        some = reference.first(max(4, TEXTS // len(names)))
        why = f"{written['model']} has other weights than {ours.name}, or reads the template differently"
        images = [picture.image() for picture in some.pictures]
        inputs = pipe.preprocess(images[0], candidate_labels=names, hypothesis_template=template)
        with torch.inference_mode():
            texts: Any = pipe.model.get_text_features(**inputs["text_inputs"][0].to(pipe.device))
        texts = getattr(texts, "pooler_output", texts)  # before transformers 5, it is a tensor itself
        rows = torch.nn.functional.normalize(texts.float(), dim=-1).cpu().numpy()
        embeddings = reference.same_classes(rows, why)
        place_of = {name: i for i, name in enumerate(names)}
        answers = pipe(images, candidate_labels=names, hypothesis_template=template)
        best = np.array([place_of[max(answer, key=lambda one: one["score"])["label"]] for answer in answers])
        labels = some.same_labels(best, TIE, why="its picture transform differs")
        return f"with transformers {transformers.__version__}: {labels}, {embeddings}"


def hub_id(name: str) -> str | None:
    """Return the id on the hub of a CLIP in transformers' format; None if it is not known.

    A CLIP of timm on the hub is in open_clip's format; that of another author is taken to be in both.
    """
    if found := _SIGLIPS.fullmatch(name):
        size, patch, version, side = found.groups(default="224")
        return f"google/siglip{version}-{_TOWERS[size]}-patch{patch}-{side}"
    if name.startswith("hf-hub:") and not name.startswith("hf-hub:timm/"):
        return name.removeprefix("hf-hub:")
    return MODELS.get(name)


def _canonical(tokenizer: Any) -> bool:
    """Whether a tokenizer of open_clip removes punctuation and upper case."""
    from open_clip.tokenizer import get_clean_fn

    return getattr(tokenizer, "clean_fn", None) is get_clean_fn("canonicalize")


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside the block, show no progress bars and no log messages, such as those about each try to reach the hub.

    The errors that are raised say all that matters.
    """
    import transformers

    transformers.logging.disable_progress_bar()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _pipeline(transformers: Any, task: str, model: str, device: str) -> Any:
    try:
        with _quiet():
            return transformers.pipeline(task, model=model, device=device, trust_remote_code=False)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise NotChecked(f"transformers cannot load {model} ({reason}); check its name, files or network") from error


PADDED = 64
"""The number of tokens that the pipeline pads a text to for SigLIP, whatever the configuration says."""
_ACTS = {"QuickGELU": "quick_gelu", "GELU": "gelu", "GELUTanh": "gelu_pytorch_tanh"}
_NAMES = (
    (r"^visual\.(?:trunk\.)?", "vision_model."),
    (r"^(?!vision_model\.|logit_)", "text_model."),
    (r"(?:transformer\.resblocks|blocks)\.(\d+)", r"encoder.layers.\1"),
    (r"\.attn\.(?:in_proj_|qkv\.)", ".self_attn.QKV_proj."),
    (r"\.attn\.(?:out_)?proj\.", ".self_attn.out_proj."),
    (r"\.(?:ln_|norm)([12])\.", r".layer_norm\1."),
    (r"\.c_fc\.", ".fc1."),
    (r"\.c_proj\.", ".fc2."),
    (r"\.(?:positional_embedding|pos_embed)$", ".embeddings.position_embedding.weight"),
    (r"\.class_embedding$", ".embeddings.class_embedding"),
    (r"\.token_embedding\.", ".embeddings.token_embedding."),
    (r"\.ln_final\.", ".final_layer_norm."),
    (r"\.(?:conv1|patch_embed\.proj)\.", ".embeddings.patch_embedding."),
    (r"\.ln_pre\.", ".pre_layrnorm."),
    (r"^vision_model\.(?:ln_post|norm)\.", "vision_model.post_layernorm."),
)
"""A pattern for a part of a weight's name in open_clip or timm → the replacement in transformers.

All replacements are made, in this order."""
_CLIP = ((r"^vision_model\.proj$", "visual_projection.weight"), (r"^text_model\.(text_projection).*", r"\1.weight"))
_SIGLIP = (
    (r"\.text_projection\.", ".head."),
    (r"\.attn_pool\.latent$", ".head.probe"),
    (r"\.attn_pool\.norm\.", ".head.layernorm."),
    (r"\.attn_pool\.(in_proj_|proj\.)", r".head.attention.\1"),
    (r"\.head\.attention\.proj\.", ".head.attention.out_proj."),
    (r"\.attn_pool\.mlp\.", ".head.mlp."),
)


def fits(clip: Clip) -> bool:
    """Return whether transformers can hold a CLIP.

    This checks only the differences that the later comparison on a few pictures may miss.
    """
    visual, transform = clip.model.visual, clip.model.visual.preprocess_cfg
    siglip = hasattr(visual, "trunk")
    if transform["resize_mode"] == "longest" or not isinstance(_side(transform), int):
        return False
    if clip.context_length != PADDED if siglip else getattr(visual, "pool_type", None) != "tok":
        return False
    try:
        _converted(clip)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):  # a part or a weight has no counterpart
        return False
    return True


def save_model(clip: Clip, folder: Path) -> None:
    """Write a CLIP to a folder in transformers' format. `fits(clip)` must be true."""
    from transformers import CLIPImageProcessor, SiglipImageProcessor

    _converted(clip).save_pretrained(folder)
    _tokenizer(clip.tokenizer).save_pretrained(folder)
    transform = clip.model.visual.preprocess_cfg
    side = _side(transform)
    square = {"height": side, "width": side}
    how = {
        "resample": {"bilinear": 2}.get(transform["interpolation"], 3),
        "image_mean": list(transform["mean"]),
        "image_std": list(transform["std"]),
    }
    made = (
        SiglipImageProcessor(size=square, **how)
        if transform["resize_mode"] == "squash"
        else CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square, **how)
    )
    made.save_pretrained(folder)


def _converted(clip: Clip) -> Any:
    """Return a model of transformers that has the weights of a CLIP.

    Raises:
        RuntimeError, KeyError: a weight of one of the two models has no counterpart in the other model.
    """
    import transformers

    model = clip.model
    visual, text = model.visual, getattr(model, "text", model)
    weights = {name: weight.float().cpu() for name, weight in model.state_dict().items()}
    weights = {name.removeprefix("text."): weight for name, weight in weights.items() if not name.endswith("attn_mask")}
    siglip = hasattr(visual, "trunk")
    renamed = _renamed(weights, siglip)
    patch = (visual.trunk.patch_embed.proj if siglip else visual.conv1).kernel_size[0]
    about_text = {"vocab_size": len(weights["token_embedding.weight"]), "max_position_embeddings": clip.context_length}
    about_text |= (
        {"projection_size": len(renamed["text_model.head.weight"])}
        if siglip
        else {"bos_token_id": 49406, "eos_token_id": 49407}
    )
    towers = {
        "text_config": {**_sizes(text), **about_text},
        "vision_config": {**_sizes(visual), "image_size": _side(visual.preprocess_cfg), "patch_size": patch},
    }
    if siglip:
        made = transformers.SiglipModel(transformers.SiglipConfig(**towers))
    else:
        width = len(renamed["text_projection.weight"])
        made = transformers.CLIPModel(transformers.CLIPConfig(**towers, projection_dim=width))
    made.load_state_dict({name: weight.contiguous() for name, weight in renamed.items()})
    return made.eval()


def _renamed(weights: Mapping[str, Any], siglip: bool) -> dict[str, Any]:
    """Return the weights of a CLIP by their names in transformers.

    A weight that transformers has no place for gets a name that transformers does not know, so that loading fails.
    """
    import torch

    weights = dict(weights)
    for kind in ("weight", "bias") if siglip else ():
        parts = [weights.pop(f"visual.trunk.attn_pool.{one}.{kind}") for one in ("q", "kv")]
        weights[f"visual.trunk.attn_pool.in_proj_{kind}"] = torch.cat(parts)
    found: dict[str, Any] = {}
    for name, weight in weights.items():
        place = name
        for part, other in (*_NAMES, *(_SIGLIP if siglip else _CLIP)):
            place = re.sub(part, other, place)
        if name in ("visual.proj", "text_projection"):
            weight = weight.T
        elif name.endswith("pos_embed"):
            weight = weight[0]
        elif siglip and name.startswith("logit_"):
            weight = weight.reshape(1)
        letters = "qkv" if "QKV" in place else "-"
        shares = zip(letters, weight.chunk(len(letters)) if "QKV" in place else [weight], strict=True)
        found |= {place.replace("QKV", letter): share for letter, share in shares}
    return found


def _layers(tower: Any) -> Any:
    return tower.trunk.blocks if hasattr(tower, "trunk") else tower.transformer.resblocks


def _act(layer: Any) -> str | None:
    act = layer.mlp.act if hasattr(layer.mlp, "act") else layer.mlp.gelu
    return "gelu_pytorch_tanh" if getattr(act, "approximate", "none") == "tanh" else _ACTS.get(type(act).__name__)


def _sizes(tower: Any) -> dict[str, Any]:
    """Return the sizes and other settings of a tower, by their names in transformers."""
    layers = _layers(tower)
    first = layers[0]
    wide = first.mlp.fc1 if hasattr(first.mlp, "fc1") else first.mlp.c_fc
    norm = first.norm1 if hasattr(first, "norm1") else first.ln_1
    return {
        "hidden_size": wide.in_features,
        "intermediate_size": wide.out_features,
        "num_hidden_layers": len(layers),
        "num_attention_heads": first.attn.num_heads,
        "hidden_act": _act(first),
        "layer_norm_eps": norm.eps,
    }


def _side(transform: Mapping[str, Any]) -> Any:
    """Return the side, in pixels, of the square that a picture transform makes; return another shape unchanged."""
    size = transform["size"]
    return size[0] if not isinstance(size, int) and len({*size}) == 1 else size


def _tokenizer(ours: Any) -> Any:
    """Return a tokenizer of transformers that gives the same tokens as a tokenizer of open_clip."""
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast

    if not hasattr(ours, "tokenizer"):
        merges = sorted(ours.bpe_ranks, key=ours.bpe_ranks.__getitem__)
        called = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
        vocabulary = {called.get(word, word): number for word, number in ours.encoder.items()}
        return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=ours.context_length)
    from open_clip.tokenizer import get_clean_fn
    from tokenizers import Regex, Tokenizer, normalizers

    own = ours.tokenizer
    backend = Tokenizer.from_str(own.backend_tokenizer.to_str())
    steps = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    if ours.clean_fn is not get_clean_fn("whitespace"):
        steps = [normalizers.Lowercase(), *steps]
    if _canonical(ours):
        signs = "".join(f"\\{sign}" for sign in string.punctuation)
        steps = [normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{signs}]"), ""), *steps]
    backend.normalizer = normalizers.Sequence([*steps, *([backend.normalizer] if backend.normalizer else [])])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=ours.context_length,
        model_input_names=["input_ids"],  # no attention mask: the model sees the padding, as in training
        **own.special_tokens_map,
    )
