"""Check the configuration of a CLIP, and keep a CLIP from running code of its own.

An `open_clip_config.json` may come from a stranger, and open_clip passes its tables on as arguments. An entry in
`tokenizer_kwargs` could make transformers run Python code of the author. A configuration with a key that is not on the
lists below is refused. Such a key is not dropped, because the CLIP without it would be a different CLIP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields
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
                refuse(f"{name}={value[:80]!r}", "and an image tower must have a name that timm lists")


def refuse_code(config: dict[str, Any]) -> dict[str, bool]:
    """Refuse a text model that brings Python code. Return the arguments with which a tokenizer brings none.

    open_clip does not set `trust_remote_code`. Then transformers asks on the terminal whether to run the code.

    Raises:
        ValueError: of transformers; it names `trust_remote_code`.
    """
    text = config["text_cfg"]
    if text.get("hf_model_name"):
        from transformers import AutoConfig

        AutoConfig.from_pretrained(text["hf_model_name"], trust_remote_code=False)
    return {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}
