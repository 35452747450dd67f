"""Check the configuration of a CLIP, and keep a CLIP from running code of its own.

An `open_clip_config.json` may come from a stranger, and open_clip passes its tables on as arguments. An entry in
`tokenizer_kwargs` could make transformers run Python code of the author. A configuration with a key that is not on the
lists below is refused. Such a key is not dropped, because the CLIP without it would be a different CLIP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

from ipo_prompts.metrics.errors import InputError

_TOP = frozenset(
    {
        *("embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "quick_gelu", "custom_text", "output_dict"),
        *("init_logit_scale", "init_logit_bias", "nonscalar_logit_scale"),
    }
)
_ARGUMENTS = {
    "tokenizer_kwargs": frozenset(
        {"clean", "strip_sep_token", "language", "reduction_mask", "additional_special_tokens"}
    ),
    "norm_kwargs": frozenset({"eps", "elementwise_affine", "bias"}),
    "act_kwargs": frozenset({"approximate"}),
}
"""The tables that open_clip passes on as arguments, each with the keys that it may have."""
_NAMES = ("timm_model_name", "hf_model_name", "hf_tokenizer_name")

_loading = threading.Lock()


def names_in(config: Any) -> list[str]:
    """Return the models and tokenizers that a configuration names, as `KEY 'NAME'`. They are loaded with the CLIP."""
    sections = [config.get(section) for section in ("vision_cfg", "text_cfg")] if isinstance(config, dict) else []
    tables = [section for section in sections if isinstance(section, dict)]
    return [f"{key} {str(table[key])[:100]!r}" for table in tables for key in _NAMES if table.get(key)]


def check_config(config: Any, where: str) -> None:
    """Refuse a configuration that sets more than the shape of a model and its tokenizer.

    Args:
        config: the configuration, as `open_clip.get_model_config` returns it.
        where: the name, for messages, of the file that the configuration was read from.

    Raises:
        InputError: a key or its value is not allowed; the message names the key.
    """
    from open_clip.coca_model import MultimodalCfg
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    forms = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg, "multimodal_cfg": MultimodalCfg}

    def refuse(name: str, why: str) -> None:
        raise InputError(f"{where} sets {name}, {why}; remove it there, or name another CLIP.")

    def entries(table: Any, name: str, known: Collection[str]) -> Iterator[tuple[str, str, Any]]:
        """Yield three things for each entry of a table: its name in messages, its key and its value."""
        if not isinstance(table, dict):
            raise InputError(
                f"{where} sets {name}, which is not a table of keys and values; restore it, or name another CLIP."
            )
        for key, value in table.items():
            inside = key if table is config else f"{name}.{key}"
            if key not in known:
                refuse(inside, "which IPO does not read from a file")
            if isinstance(value, dict) and key not in (*forms, *_ARGUMENTS):
                refuse(inside, "which must be a value and is a table")
            yield inside, key, value

    for section, form in ((key, forms[key]) for _, key, _ in entries(config, "model_cfg", _TOP) if key in forms):
        for name, key, value in entries(config[section], section, {field.name for field in fields(form)}):
            if key in _ARGUMENTS and value is not None:
                list(entries(value, name, _ARGUMENTS[key]))  # refuses keys that are not allowed there
            if key in _NAMES and value is not None and not isinstance(value, str):
                refuse(name, "which is not a name")
            if key == "timm_model_name" and ":" in str(value):  # "SOURCE:…": timm would read arguments from there, too
                refuse(f"{name}={value[:80]!r}", "and a picture tower must have a name that timm lists")


@contextmanager
def without_remote_code() -> Iterator[None]:
    """Keep transformers from running a repository's code, or asking to run it, when open_clip calls it in the block.

    open_clip does not set `trust_remote_code`. Then transformers asks on the terminal, and a configuration could set
    it. In the block it is False, whatever a file says, because a file may change after it was checked. Only one thread
    at a time can be in the block.
    """
    from open_clip import factory, hf_model

    def safe(maker: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *values, **named: maker(*values, **{**named, "trust_remote_code": False})

    def safe_class(auto: Any) -> SimpleNamespace:
        makers = {name: getattr(auto, name, None) for name in ("from_pretrained", "from_config")}
        return SimpleNamespace(**{name: safe(maker) for name, maker in makers.items() if maker})

    with _loading:
        before: list[tuple[Any, str, Any]] = [(factory, "HFTokenizer", factory.HFTokenizer)]
        if hf_model.transformers is not None:
            before += [(hf_model, name, getattr(hf_model, name)) for name in ("AutoConfig", "AutoModel")]
        for module, name, thing in before:
            setattr(module, name, safe(thing) if name == "HFTokenizer" else safe_class(thing))
        try:
            yield
        finally:
            for module, name, thing in before:
                setattr(module, name, thing)
