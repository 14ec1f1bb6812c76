"""What a version's processes wrote: the end of their log, or what they said of one request, its traceback included."""

import re
from pathlib import Path

from headrace_functions.errors import NotFound
from headrace_functions.names import VersionId

MAX_TEXT = 256 * 1024
"""Bytes of the log that are read, from its end, and of the file before it where a request is looked for."""
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.MULTILINE)
"""How an entry begins; the lines of a traceback belong to the entry before them."""


def read(logs: Path, version: VersionId, request: str = "") -> str:
    """The end of the log of ``version``, or its entries about a request. ``NotFound`` where there is none."""
    file = logs / f"{version.service}.log"
    parts = [_end(f) for f in ((file.with_suffix(".log.1"), file) if request else (file,)) if f.is_file()]
    if not parts:
        raise NotFound(
            f"{version} has no log on this machine",
            field="version",
            hint="it has never run here; in a cluster: kubectl logs -l serving.kserve.io/inferenceservice="
            f"{version.service} -c kserve-container",
        )
    text = "".join(parts)
    if not request:
        return text
    found = [
        entry
        for entry in _entries(text)
        if re.search(rf"\brequest {re.escape(request)}(?![!-~])|\brequest {re.escape(request)}:", entry)
    ]
    if not found:
        raise NotFound(
            f"the log of {version} has nothing about request {request}",
            field="request",
            hint=f"only failures are logged there, for a limited time; for the request itself: headrace log show {version} {request}",
        )
    return "".join(found)


def _end(file: Path) -> str:
    with file.open("rb") as source:
        size = source.seek(0, 2)
        source.seek(max(0, size - MAX_TEXT))
        text = source.read().decode("utf-8", "replace")
    return text if size <= MAX_TEXT else text[text.find("\n") + 1 :]


def _entries(text: str) -> list[str]:
    starts = [m.start() for m in _ENTRY.finditer(text)]
    return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
