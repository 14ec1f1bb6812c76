"""Where pages are. Callers choose the ids of their requests: any visible ASCII, so ``/``, ``?``, ``#`` and ``%`` too."""

from urllib.parse import quote

from headrace_functions.names import VersionId


def request(version: VersionId, request_id: str, row: int = 0) -> str:
    """The page of a logged request, or of another of its rows than the first."""
    page = f"/requests/{version.model}/{version.number}/{quote(request_id, safe='')}"
    return f"{page}?row={row}" if row else page
