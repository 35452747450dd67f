"""What a reader of the pages has: a key, and a language model behind an address.

The address is that of a server on this machine, given by the environment, so that the text of a page stays as it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from support.openai_server import LOOKS, MEDIA, Asked, OpenAIServer, Reply, good, running
from support.runs import KEY
from support.template_lm import filled_in


def answer(asked: Asked) -> Reply:
    """Answer what the pages ask: templates, descriptions, a sentence of a larger program, instructions."""
    if "[[ ## count ## ]]" in asked.text or asked.images:
        return good(asked)
    if "[[ ## answer ## ]]" in asked.text:
        fields = {"reasoning": "It is a thing.", "answer": "In a house."}
        return Reply("\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in fields.items()))
    rng = random.Random(json.dumps(asked.body["messages"]) + str(asked.number))  # COPRO asks the same ten times
    template = f"a {rng.choice(LOOKS)} {rng.choice(MEDIA)} of a <CLASS>"
    told = "a template for CLIP" in asked.text
    return Reply(filled_in(asked.text, template if told else "Name what you see."))


@pytest.fixture()
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with running() as server:
        server.behave = answer
        monkeypatch.setenv("OPENAI_API_BASE", server.base)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        yield server
