"""Where pages are. Callers choose the ids of their requests: any visible ASCII, so ``/``, ``?``, ``#`` and ``%`` too."""

from urllib.parse import quote, urlencode

from headrace_functions.names import VersionId


def request(version: VersionId, request_id: str, row: int = 0, at: str = "") -> str:
    """The page of a logged request, or of another of its rows than the first. ``at`` is when it came, so that a long log is not searched for it."""
    page = f"/requests/{version.model}/{version.number}/{quote(request_id, safe='')}"
    members = {**({"row": row} if row else {}), **({"at": at} if at else {})}
    return f"{page}?{urlencode(members, safe=':')}" if members else page
