"""Artifact archives made into folders: safely, whole or not at all. ``headrace_controller.archive`` makes the archives."""

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

import zstandard

from headrace_functions.errors import Malformed
from headrace_functions.storage.members import MAX_FILES, extract


def unpack(archive: Path | bytes, folder: Path, *, max_files: int = MAX_FILES) -> None:
    """Unpack into ``folder``, which must not exist: it appears whole or not at all.

    Raises ``Malformed`` for bytes that are no such archive, ``InvalidInput`` for a member that is a link, a device or
    outside of the folder, ``TooLarge`` past the limits.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with (
            io.BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb") as source,
            zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(source) as plain,
        ):
            extract(plain, staging, max_files)
        staging.chmod(0o755)
        staging.rename(folder)
    except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
        raise Malformed(
            f"payload: not a tar.zst archive: {error}",
            field="payload",
            hint="send the archive that 'headrace apply' creates",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
