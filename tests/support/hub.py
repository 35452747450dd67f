"""A hub of the test's own in place of the real one."""

from __future__ import annotations

import pytest
from huggingface_hub import constants


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hub's client ask a server of ours: it reads HF_ENDPOINT only when it is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
