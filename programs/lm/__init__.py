"""Ask language models: those that litellm knows, and the local model. Requests are recorded, replayed and limited."""

from __future__ import annotations

import logging
import os
from typing import Any

from ipo_prompts.metrics.errors import InputError

REPLAY = "replay/"
"""The start of a name such as `replay/RUN_DIR`: the recorded run in the folder RUN_DIR answers the questions."""


def quiet_litellm() -> Any:
    """Import litellm and return it. It is set so that it downloads, prints and sends nothing by itself.

    Raises:
        InputError: the value of the environment variable LITELLM_LOG is not a level of logging, such as DEBUG.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else litellm downloads its price list
    level = os.environ.get("LITELLM_LOG", "INFO")
    if not isinstance(logging.getLevelName(level.upper()), int):  # importing litellm would fail
        raise InputError(f"LITELLM_LOG={level!r} is not a level of logging; write DEBUG, INFO or ERROR, or unset it.")
    import litellm

    litellm.suppress_debug_info = True  # it prints a feedback banner to stdout on errors
    litellm.telemetry = False
    return litellm


def is_local(name: str) -> bool:
    """Return whether the language model of a name runs in this process."""
    return name == "local" or name.startswith("local/")
