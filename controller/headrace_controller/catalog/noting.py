"""What a request changes, noted where it is written, so that the audit can say what was there before and after."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

MOST = 100
"""Changes that are noted of one request; of more, the last entry says how many."""

_NOTED: ContextVar[list[dict[str, Any]] | None] = ContextVar("noted", default=None)


def begin() -> None:
    """Note changes from now on, in this thread, until ``taken``."""
    _NOTED.set([])


def note(kind: str, name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
    """A document was written: ``before`` is None for one that is new, ``after`` for one that is deleted."""
    noted = _NOTED.get()
    if noted is not None:
        noted.append({"kind": kind, "name": name, "before": _shown(before), "after": _shown(after)})


def taken() -> list[dict[str, Any]]:
    """What was noted; notes no more."""
    noted = _NOTED.get() or []
    _NOTED.set(None)
    if len(noted) > MOST:
        noted = [*noted[:MOST], {"kind": "more", "name": f"{len(noted) - MOST} more", "before": None, "after": None}]
    return noted


def _shown(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Without the digest of a key, which tells nobody anything."""
    if document is None or document.get("deleted"):
        return None
    return {k: v for k, v in document.items() if k not in ("sha256", "schema")}
