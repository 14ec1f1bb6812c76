"""What a JWT says of itself, before or without anybody having verified it: to choose who verifies it, or when to get the next. Pure."""

import base64
import json
from collections.abc import Mapping
from typing import Any

HEADER = 0
CLAIMS = 1


def said_by(token: str, part: int = CLAIMS) -> Mapping[str, Any]:
    """The claims of a token, or its header; empty where that cannot be read. Nothing in it may decide what a caller is allowed to do."""
    try:
        text = token.split(".")[part]
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def end_of(token: str, unknown: float) -> float:
    """When a token says that it ends, in seconds since the epoch; ``unknown`` where it says nothing that can be read."""
    try:
        return float(said_by(token)["exp"])
    except (KeyError, TypeError, ValueError):
        return unknown
