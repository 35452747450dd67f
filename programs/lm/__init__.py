"""Language model backends: models by litellm name, the local model in this process, recording, budget and replay."""

from __future__ import annotations

import logging
import os
from typing import Any

from ipo_prompts.metrics.errors import InputError


def quiet_litellm() -> Any:
    """Import litellm so that it downloads, prints and sends nothing by itself.

    Raises:
        InputError: the environment variable LITELLM_LOG does not hold a level of logging.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else litellm downloads its price list
    level = os.environ.get("LITELLM_LOG", "INFO")
    if not isinstance(logging.getLevelName(level.upper()), int):  # importing litellm would fail
        raise InputError(f"LITELLM_LOG={level!r} is not a level of logging; write DEBUG, INFO or ERROR, or unset it.")
    import litellm

    litellm.suppress_debug_info = True  # it prints a feedback banner to stdout on errors
    litellm.telemetry = False
    return litellm
