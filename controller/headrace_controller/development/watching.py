"""What was saved in a folder: looked for by time and size, a few times a second, which works on every file system."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

EVERY = 0.2
"""Seconds between two looks."""
MAX_FILES = 20_000
_IGNORED = {
    "__pycache__",
    ".git",
    ".venv",
    "venv",
    ".ipynb_checkpoints",
    "node_modules",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}
_TEMPORARY = (".swp", ".swx", "~", ".tmp", ".pyc")

Marks = dict[Path, tuple[int, int]]


@dataclass
class Watch:
    """``changed`` gives what is new, other or gone since the last look. Files that editors leave for a moment are no change."""

    folder: Path
    _seen: Marks = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._seen = dict(self._marks())

    def changed(self) -> set[Path]:
        now = dict(self._marks())
        found = {p for p in now.keys() | self._seen.keys() if now.get(p) != self._seen.get(p)}
        self._seen = now
        return found

    def _marks(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        count = 0
        for parent, folders, files in os.walk(self.folder):
            folders[:] = [f for f in folders if f not in _IGNORED]
            for name in files:
                if name.endswith(_TEMPORARY) or name.startswith(".#"):
                    continue
                count += 1
                if count > MAX_FILES:
                    return
                path = Path(parent) / name
                try:
                    found = path.stat()
                except OSError:
                    continue  # gone between the listing and the look
                yield path, (found.st_mtime_ns, found.st_size)
