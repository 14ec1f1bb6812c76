"""Files of multipart requests, saved piece by piece within a limit."""

import hashlib
import re
from pathlib import Path

from werkzeug.datastructures import FileStorage

from headrace_controller.training import source
from headrace_functions.errors import TooLarge
from headrace_functions.tabular import kinds

CHUNK = 1 << 20


def save_table(part: FileStorage, folder: Path, name: str, limit: int = source.MAX_BYTES) -> tuple[Path, str]:
    """Where a table was saved, and its SHA-256."""
    suffix = Path(part.filename or "").suffix
    if suffix not in kinds.TABLES:
        raise kinds.wrong_name(part.stream.read(kinds.HEAD), f"{name}: {part.filename}", name, kinds.TABLES)
    # The name is kept for the log; only its harmless characters are.
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", Path(part.filename or "").stem)[:80] or name
    target = folder / name / f"{stem}{suffix}"
    target.parent.mkdir()
    return target, save(part, target, limit)


def save(part: FileStorage, target: Path, limit: int) -> str:
    """Save a part piece by piece; its SHA-256."""
    size, digest = 0, hashlib.sha256()
    with target.open("wb") as sink:
        while chunk := part.stream.read(CHUNK):
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"{target.name}: at most {limit} bytes", field="payload")
            digest.update(chunk)
            sink.write(chunk)
    return digest.hexdigest()
