"""How much memory is left for a file that is read whole: a controller that took more would be killed."""

from pathlib import Path

_LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Of a control group, version 2 and version 1: what it may have, what it has."""


def left(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: of its container, or of the machine where that is less; None where nobody says."""
    found = [n for n in (_of_group(root / "sys/fs/cgroup"), _of_machine(root / "proc/meminfo")) if n is not None]
    return min(found) if found else None


def _of_group(folder: Path) -> int | None:
    for limit, used in _LIMITS:
        may, has = _number(folder / limit), _number(folder / used)
        if may is not None and has is not None:
            cached = _field((folder / used).with_name("memory.stat"), "inactive_file") or 0
            return max(0, may - has + cached)  # what is cached of files is given back first
    return None


def _of_machine(file: Path) -> int | None:
    kibibytes = _field(file, "MemAvailable:")
    return None if kibibytes is None else kibibytes * 1024


def _number(file: Path) -> int | None:
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None  # "max" is no limit


def _field(file: Path, name: str) -> int | None:
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((int(words[1]) for line in lines if (words := line.split()) and words[0] == name), None)
