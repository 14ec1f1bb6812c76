"""Artifact archives made into folders: safely, whole or not at all. ``headrace_controller.archive`` makes the archives."""

import io
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import zstandard

from headrace_functions.errors import InvalidInput, Malformed, TooLarge

MAX_UNPACKED = 8 * 1024**3  # bytes of all files of a payload
MAX_FILES = 20_000
_CHUNK = 1 << 20


def unpack(archive: Path | bytes, folder: Path, *, max_files: int = MAX_FILES) -> None:
    """Unpack into ``folder``, which must not exist: it appears whole or not at all.

    Raises ``Malformed`` for bytes that are no such archive, ``InvalidInput`` for a member that is a link, a device or
    outside of the folder, ``TooLarge`` past the limits.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with io.BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb") as source:
            _extract(source, staging, max_files)
        staging.chmod(0o755)
        staging.rename(folder)
    except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
        raise Malformed(
            f"payload: not a tar.zst archive: {error}",
            field="payload",
            hint="send the archive that 'headrace apply' makes",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(source: BinaryIO, folder: Path, max_files: int) -> None:
    files = size = 0
    with (
        zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(source) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        for member in tar:
            target = _safe_target(member, folder)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            files, size = files + 1, size + member.size
            if files > max_files or size > MAX_UNPACKED:
                raise TooLarge(f"payload: at most {max_files} files of {MAX_UNPACKED} bytes together", field="payload")
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
            f"payload: the archive holds {member.name!r}, which is a link, a device or outside of it", field="payload"
        )
    return folder / path
