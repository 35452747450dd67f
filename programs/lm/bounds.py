"""How many tokens a question can have at most, without its model's tokenizer: what a budget reserves and books."""

from __future__ import annotations

import hashlib
import json
from typing import Any

TOKENS_PER_PICTURE = 8_500
"""A bound for one 512-pixel picture: what OpenAI's `gpt-4o-mini`, the dearest in tokens, charges for one tile (2,833 +
5,667, its vision guide); others charge 85 to about 1,300."""
DEFAULT_MAX_TOKENS = 4096
"""Of a reply to a request that sets no limit."""


def bound_tokens(body: dict[str, Any]) -> int:
    """Bound a request's tokens from above.

    A byte-level tokenizer makes at most one token of each byte of UTF-8. The names and brackets of the JSON are more
    bytes than a chat format adds tokens.
    """
    pictures = json.dumps(body).count('"image"')
    return len(json.dumps(without_pictures(body), ensure_ascii=False).encode("utf-8", "replace")) + (
        pictures * TOKENS_PER_PICTURE
    )


def without_pictures(body: Any) -> Any:
    """Replace inline picture data by its digest, so that people can read the journal."""
    if isinstance(body, dict):
        data = body.get("data")
        if isinstance(data, str) and body.get("type") == "image":
            digest = hashlib.sha256(data.encode()).hexdigest()
            return {**{k: v for k, v in body.items() if k != "data"}, "sha256_of_base64": digest, "length": len(data)}
        return {name: without_pictures(value) for name, value in body.items()}
    if isinstance(body, list):
        return [without_pictures(value) for value in body]
    return body
