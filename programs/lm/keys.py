"""The key of the commonest provider, looked for before anything heavy is imported; litellm knows those of others."""

from __future__ import annotations

import os

from ipo_prompts.metrics.errors import InputError


def check_key(name: str) -> None:
    """Refuse a language model of OpenAI, or a server of that protocol, without a key: the client insists on one.

    Raises:
        InputError: names the variable to set.
    """
    if name.startswith("openai/") and not os.environ.get("OPENAI_API_KEY"):
        raise InputError(f"the language model {name} needs OPENAI_API_KEY in the environment.")
