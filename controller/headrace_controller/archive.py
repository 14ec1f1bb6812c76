"""Payloads as archives: the same files always give the same bytes, and unpacking never is outside its folder.

An archive is a zstd-compressed tar of regular files and folders, sorted by path, with time 0, owner 0 and mode 644 or 755.
Its SHA-256 is the artifact's digest. Functions in a cluster unpack without a controller, so that half is ``storage.unpacking``.
"""

import fcntl
import glob
import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import zstandard

from headrace_functions.errors import InvalidInput, Malformed, NotFound, TooLarge
from headrace_functions.storage.members import MAX_FILES, MAX_UNPACKED
from headrace_functions.storage.unpacking import unpack

__all__ = [
    "MAX_ARCHIVE",
    "MAX_FILES",
    "MAX_UNPACKED",
    "digest",
    "expanded",
    "from_gzip",
    "names",
    "pack",
    "unpack",
    "unpack_once",
]

MAX_ARCHIVE = 2 * 1024**3  # bytes of an archive, compressed
_LEVEL = 3
_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_IGNORED = {"__pycache__", ".git", ".venv", ".ipynb_checkpoints", ".DS_Store"}


def pack(paths: Iterable[str], folder: Path, target: Path) -> str:
    """Write the archive of ``paths`` (files, folders and patterns of them, relative to ``folder``) to ``target``; return its SHA-256.

    Paths keep their place below ``folder``; what lies outside of it goes to the top by its own name. Raises ``NotFound``
    for a path that is not there, ``InvalidInput`` for links that leave the payload or two files of one name, ``TooLarge``.
    """
    members = dict(sorted(_members(paths, folder)))
    if len(members) > MAX_FILES or sum(f.stat().st_size for f in members.values()) > MAX_UNPACKED:
        raise TooLarge(
            f"payload: at most {MAX_FILES} files of {MAX_UNPACKED} bytes together",
            field="payload",
            got=f"{len(members)} files",
        )
    with (
        target.open("wb") as sink,
        zstandard.ZstdCompressor(level=_LEVEL).stream_writer(sink, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, file in members.items():
            _add(tar, name, file)
    return digest(target)


def from_gzip(archive: Path) -> bool:
    """Make an archive that is a tar.gz the tar.zst that ``pack`` makes of its files, and say so; any other file stays as it is.

    Raises as ``unpack`` does.
    """
    with archive.open("rb") as source:
        if source.read(2) != _GZIP:
            return False
    folder = archive.with_name(f"{archive.name}.unpacked")
    plain = archive.with_name(f"{archive.name}.zst")
    try:
        _recompress(archive, plain)
        unpack(plain, folder)
        pack(sorted(p.name for p in folder.iterdir()), folder, archive)
        return True
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"payload: not a tar.gz archive: {error}", field="payload") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        plain.unlink(missing_ok=True)


def _recompress(archive: Path, target: Path) -> None:
    """The tar of a tar.gz as tar.zst; ``TooLarge`` for one that unpacks to more than an archive may."""
    left = MAX_UNPACKED + MAX_FILES * 2048  # contents, and a header with padding for each file
    with (
        gzip.open(archive) as source,
        target.open("wb") as sink,
        zstandard.ZstdCompressor(level=1).stream_writer(sink, closefd=False) as packed,
    ):
        while part := source.read(_PIECE):
            left -= len(part)
            if left < 0:
                raise TooLarge(f"payload: at most {MAX_UNPACKED} bytes unpacked", field="payload")
            packed.write(part)


def digest(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def unpack_once(archive: Path | bytes, folder: Path) -> Path:
    """The folder of an archive that many may ask for at once: the first unpacks, the others wait for it."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            unpack(archive, folder)
    return folder


def names(archive: Path) -> list[str]:
    """Paths of the files in an archive, sorted."""
    with (
        archive.open("rb") as source,
        zstandard.ZstdDecompressor().stream_reader(source) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        return sorted(member.name for member in tar if member.isfile())


def expanded(paths: Iterable[str], folder: Path) -> list[Path]:
    """The files and folders that ``paths`` name; in a pattern, ``**`` also stands for folders in one another.

    Raises ``NotFound`` for a path that is not there, and for a pattern that nothing matches.
    """
    found: list[Path] = []
    for text in paths:
        matched = [folder / text] if (folder / text).exists() else _matched(text, folder)
        if not matched:
            raise NotFound(
                f"payload: nothing in {folder} matches {text}"
                if glob.has_magic(text)
                else f"payload: {text} is not in {folder}",
                field="payload",
                hint="train the model first, or correct the path",
            )
        found += matched
    return found


def _matched(pattern: str, folder: Path) -> list[Path]:
    paths = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 -- a pattern may be absolute
    return [folder / path for path in paths if _IGNORED.isdisjoint(Path(path).parts) and not path.endswith(".pyc")]


def _members(paths: Iterable[str], folder: Path) -> Iterator[tuple[str, Path]]:
    taken: dict[str, Path] = {}
    root = folder.resolve()
    for path in expanded(paths, folder):
        resolved = path.resolve()
        top = resolved.relative_to(root) if resolved.is_relative_to(root) else Path(resolved.name)
        for file in _files(resolved):
            name = (
                (PurePosixPath(top) / file.relative_to(resolved)).as_posix()
                if file != resolved
                else PurePosixPath(top).as_posix()
            )
            if taken.setdefault(name, file) != file:
                raise InvalidInput(
                    f"payload: {taken[name]} and {file} would both be stored as {name}",
                    field="payload",
                    hint="rename one of them",
                )
            yield name, file


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(f for f in folders if f not in _IGNORED)
        for file in (
            Path(parent) / name for name in sorted(files) if name not in _IGNORED and not name.endswith(".pyc")
        ):
            if not file.resolve().is_relative_to(path):
                raise InvalidInput(
                    f"payload: {file} links to a place outside {path}",
                    field="payload",
                    hint="copy the file into the payload",
                )
            if not file.is_file():
                raise InvalidInput(f"payload: {file} is not a regular file", field="payload")
            yield file


def _add(tar: tarfile.TarFile, name: str, file: Path) -> None:
    info = tarfile.TarInfo(name)
    info.size = file.stat().st_size
    info.mode = 0o755 if os.access(file, os.X_OK) else 0o644
    with file.open("rb") as source:
        tar.addfile(info, source)
