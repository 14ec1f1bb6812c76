"""Files out of a plain tar: regular ones and folders alone, inside of one folder, within the limits of a payload.

Python's own filters are not in every release that we run on (they came with 3.11.4).
"""

import errno
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from headrace_functions.errors import InvalidInput, TooLarge

MAX_UNPACKED = 8 * 1024**3  # bytes of all files of a payload
MAX_FILES = 20_000
_CHUNK = 1 << 20
_OF_THE_NAME = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""Errors that a name causes, not the disk."""


def extract(plain: Any, folder: Path, max_files: int = MAX_FILES) -> None:
    """Write the files of a tar, read from a binary stream that need not seek, into a folder that is there and empty.

    Raises ``tarfile.TarError`` for bytes that are no tar, ``InvalidInput`` for a member that is a link, a device or outside of
    the folder, ``TooLarge`` past the limits.
    """
    files = size = 0
    with tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            target = _safe_target(member, folder)
            if member.isfile():
                files, size = files + 1, size + member.size
            if files > max_files or size > MAX_UNPACKED:
                raise TooLarge(f"payload: at most {max_files} files of {MAX_UNPACKED} bytes together", field="payload")
            try:
                _write(tar, member, target)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno not in _OF_THE_NAME:
                    raise
                raise InvalidInput(
                    f"payload: {member.name[:200]!r} of the archive cannot be written: it is there twice, lies below a file, "
                    "or is no name of a file",
                    field="payload",
                ) from error


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None
    with target.open("xb") as sink:
        shutil.copyfileobj(content, sink, _CHUNK)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _safe_target(member: tarfile.TarInfo, folder: Path) -> Path:
    path = PurePosixPath(member.name)
    if not (member.isfile() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        raise InvalidInput(
            f"payload: the archive holds {member.name!r}, which is a link, a device or outside the archive",
            field="payload",
        )
    return folder / path
