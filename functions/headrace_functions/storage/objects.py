"""A directory or an S3 bucket behind the few verbs the platform needs. The only module that imports obstore.

URLs: ``/path``, ``file:///path`` or ``s3://bucket/prefix``. S3 takes its credentials and options from the environment,
``AWS_…``; ``access`` says which.
"""

import contextlib
import functools
import hashlib
import os
import ssl
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError
from obstore.store import GCSStore, LocalStore, S3Store

from headrace_functions.errors import Conflict, InvalidInput, NotFound, StorageFailed
from headrace_functions.storage import access

_CHUNK = 1 << 20
GIVE_UP = 5.0
"""Seconds after which an impatient store gives up a question to a bucket."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified: float
    """Seconds since the epoch."""
    tag: str = ""
    """What changes with the content, where the store has such a thing."""


class ObjectStore:
    """Opaque bytes by key.

    ``create`` is the only write that other writers can race on: exactly one of them wins, the others get ``Conflict``.
    A text that cannot be a key (control characters, ``..``, an empty part) is one that nothing has; writing to it is ``InvalidInput``.
    ``put`` overwrites whole objects and readers see the old or the new one. ``delete`` of the absent succeeds.
    Every verb raises ``StorageFailed`` when the store refuses or cannot be reached.
    """

    def __init__(self, url: str, *, impatient: bool = False, foreign: bool = False) -> None:
        """``impatient`` is for small objects that somebody waits for: a bucket that is away is said to be within ``GIVE_UP`` seconds, not minutes.

        ``foreign`` is a bucket that is read alone and not the platform's: ``gs://bucket`` may be one, with credentials of ``GOOGLE_…``.
        """
        google = foreign and url.startswith("gs://")
        self.url, store = (url, _google(url)) if google else _open(url, impatient=impatient)
        self._store: Any = store

    @property
    def directory(self) -> Path | None:
        """The folder behind a directory store, else None."""
        return Path(self.url.removeprefix("file://")) if self.url.startswith("file://") else None

    def get(self, key: str) -> bytes:
        """The bytes of ``key``; ``NotFound`` if there are none."""
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError as error:
            raise _absent(key, error) from error
        except ValueError as error:
            raise _no_key(key) from error
        except (BaseError, OSError) as error:
            raise _failed("read", key, error) from error

    def download(self, key: str, file: Path) -> str:
        """Write the bytes of ``key`` to a file as they come; their SHA-256, hexadecimal. ``NotFound`` if there are none."""
        digest = hashlib.sha256()
        try:
            with file.open("wb") as sink:
                for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
                    digest.update(chunk)
                    sink.write(chunk)
        except FileNotFoundError as error:
            raise _absent(key, error) from error
        except ValueError as error:
            raise _no_key(key) from error
        except (BaseError, OSError) as error:
            raise _failed("read", key, error) from error
        return digest.hexdigest()

    async def stream(self, key: str) -> tuple[int, AsyncIterator[bytes]]:
        """The number of bytes of ``key``, and the bytes as they come; ``NotFound`` if there are none."""
        try:
            found = await obstore.get_async(self._store, key)
        except FileNotFoundError as error:
            raise _absent(key, error) from error
        except (BaseError, OSError) as error:
            raise _failed("read", key, error) from error
        return found.meta["size"], _chunks(key, found)

    async def receive(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Write ``key`` from pieces, replacing what was there. What ``chunks`` raises is raised, and nothing is written."""
        try:
            await obstore.put_async(self._store, key, chunks, max_concurrency=2)
        except (BaseError, OSError) as error:
            raise _failed("write", key, error) from error

    def size(self, key: str) -> int:
        """The number of bytes of ``key``; ``NotFound`` if it is not there."""
        return self.info(key).size

    def info(self, key: str) -> ObjectInfo:
        """What ``walk`` says of ``key``, asked of it alone; ``NotFound`` if it is not there. A bucket tells ``modified`` to the second."""
        try:
            meta = obstore.head(self._store, key)
        except FileNotFoundError as error:
            raise _absent(key, error) from error
        except ValueError as error:
            raise _no_key(key) from error
        except (BaseError, OSError) as error:
            raise _failed("look up", key, error) from error
        return ObjectInfo(meta["path"], meta["size"], meta["last_modified"].timestamp(), meta["e_tag"] or "")

    def exists(self, key: str) -> bool:
        try:
            obstore.head(self._store, key)
        except (FileNotFoundError, ValueError):
            return False
        except (BaseError, OSError) as error:
            raise _failed("look up", key, error) from error
        return True

    def create(self, key: str, data: bytes) -> None:
        """Write ``key`` only if it is not there; ``Conflict`` if it is."""
        try:
            obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError as error:
            raise Conflict(f"{key} exists already") from error
        except ValueError as error:
            raise _unusable(key) from error
        except (BaseError, OSError) as error:
            raise _failed("create", key, error) from error

    def put(self, key: str, data: bytes | Path) -> None:
        """Write ``key``, replacing what was there; a ``Path`` is streamed."""
        try:
            obstore.put(self._store, key, data)
        except ValueError as error:
            raise _unusable(key) from error
        except (BaseError, OSError) as error:
            raise _failed("write", key, error) from error

    def delete(self, key: str) -> None:
        try:
            obstore.delete(self._store, key)
        except (FileNotFoundError, ValueError, TypeError):  # the library says a type error of what cannot be a key
            return
        except (BaseError, OSError) as error:
            raise _failed("delete", key, error) from error

    def walk(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object below ``prefix`` (which ends in '/'), in the order of keys."""
        try:
            found = [m for batch in obstore.list(self._store, prefix.rstrip("/") or None) for m in batch]
        except (FileNotFoundError, ValueError):
            return
        except (BaseError, OSError) as error:
            raise _failed("list", prefix, error) from error
        for meta in sorted(found, key=lambda m: str(m["path"])):
            yield ObjectInfo(meta["path"], meta["size"], meta["last_modified"].timestamp(), meta["e_tag"] or "")

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below ``prefix``, sorted."""
        return sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in self._level(prefix)["common_prefixes"])

    def folders_from(self, prefix: str, first: str) -> list[str]:
        """Names of the folders below ``prefix`` from ``first`` on, sorted: what comes before it is not listed."""
        # Just before the name, not the name: SeaweedFS leaves out what lies below the folder that it is told to start after.
        before = f"{prefix}{first[:-1]}{chr(ord(first[-1]) - 1)}~" if first else None
        try:
            listing = obstore.list(self._store, prefix.rstrip("/") or None, offset=before)
            found = {str(m["path"])[len(prefix) :].split("/")[0] for batch in listing for m in batch}
        except (FileNotFoundError, ValueError):
            return []
        except (BaseError, OSError) as error:
            raise _failed("list", prefix, error) from error
        return sorted(name for name in found if name >= first)

    def names(self, prefix: str) -> list[str]:
        """Names of the objects directly below ``prefix``, sorted."""
        return sorted(str(m["path"]).rsplit("/", 1)[-1] for m in self._level(prefix)["objects"])

    def _level(self, prefix: str) -> Any:
        try:
            return obstore.list_with_delimiter(self._store, prefix.rstrip("/") or None)
        except (FileNotFoundError, ValueError):
            return {"common_prefixes": [], "objects": []}
        except (BaseError, OSError) as error:
            raise _failed("list", prefix, error) from error

    def table_url(self, key: str) -> str:
        """The URL of a Delta table at ``key``, for the deltalake library."""
        return f"{self.url.rstrip('/')}/{key}" if self.directory is None else str(self.directory / key)

    def table_options(self) -> dict[str, str]:
        """Options that the deltalake library needs beside the URL."""
        if self.directory is not None:
            return {}
        found = access.access(urlsplit(self.url).netloc, os.environ)
        options = {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
        # Conditional puts replace a lock table: a lost race is seen by the store itself.
        options.setdefault("aws_conditional_put", "etag")
        if found.endpoint:
            options["AWS_ENDPOINT_URL"] = found.endpoint
        if found.plain:
            options.setdefault("AWS_ALLOW_HTTP", "true")
        if found.authority:
            # The library has no option for it: it asks the variable that OpenSSL knows. Its user's own choice stays.
            os.environ.setdefault("SSL_CERT_FILE", str(_bundle(found.authority)))
        return options


async def _chunks(key: str, found: Any) -> AsyncIterator[bytes]:
    try:
        async for chunk in found.stream(min_chunk_size=_CHUNK // 4):
            yield bytes(chunk)
    except (BaseError, OSError) as error:
        raise _failed("read", key, error) from error


def _open(url: str, *, impatient: bool) -> tuple[str, Any]:
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        root = Path(unquote(parts.path) if parts.scheme else url).expanduser().resolve()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(f"storage {root} cannot be created: {error.strerror}", field="storage") from error
        return f"file://{root}", LocalStore(root)
    if parts.scheme == "s3":
        return url, _bucket(parts.netloc, parts.path.strip("/"), impatient=impatient)
    raise InvalidInput(
        f"storage: {url!r} is not a supported URL",
        field="storage",
        expected="a path, file:///path or s3://bucket/prefix",
    )


@functools.cache
def _bundle(authority: str) -> Path:
    """A file with the system's authorities and this one.

    It stays: child processes inherit its name, and a process that is killed removes nothing. So that files do not
    accumulate, its name is made from what it contains, in a folder that is the user's alone.
    """
    system = ssl.get_default_verify_paths().cafile
    text = authority + "\n" + (Path(system).read_text() if system and Path(system).is_file() else "")
    file = _private_folder() / f"authorities-{hashlib.sha256(text.encode()).hexdigest()[:32]}.pem"
    if not file.is_file():
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as written:
            written.write(text)
        Path(written.name).replace(file)
    return file


def _private_folder() -> Path:
    """The user's own among temporary files; a new one where somebody else has taken its name."""
    folder = Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="headrace-"))


def _bucket(name: str, prefix: str, *, impatient: bool) -> S3Store:
    found = access.access(name, os.environ)
    client: Any = {}
    if found.plain:
        client["allow_http"] = True
    if found.authority:
        client["root_certificate"] = found.authority
    config: dict[str, Any] = {"endpoint": found.endpoint} if found.endpoint else {}
    if impatient:
        client |= {"timeout": timedelta(seconds=GIVE_UP), "connect_timeout": timedelta(seconds=GIVE_UP / 2)}
        config["retry_config"] = {"max_retries": 2, "retry_timeout": timedelta(seconds=GIVE_UP)}
    try:
        return S3Store(name, prefix=prefix or None, client_options=client, **config)
    except (BaseError, ValueError) as error:
        raise StorageFailed(f"storage s3://{name} cannot be opened: {_first_line(error)}", field="storage") from error


def _google(url: str) -> GCSStore:
    try:
        plain = "http://" in os.environ.get("GOOGLE_SERVICE_ACCOUNT_KEY", "")  # an emulator that the key names
        return GCSStore(urlsplit(url).netloc, client_options={"allow_http": plain})
    except (BaseError, ValueError) as error:
        raise StorageFailed(f"storage {url} cannot be opened: {_first_line(error)}", field="storage") from error


def _no_key(key: str) -> NotFound:
    return NotFound(f"no object {key!r}, which cannot be a key")


def _unusable(key: str) -> InvalidInput:
    return InvalidInput(f"{key!r} cannot be a key of the store", field="key")


def _absent(key: str, error: FileNotFoundError) -> NotFound | StorageFailed:
    """An object that is not there; a bucket that is not there is a fault of the settings, not an answer."""
    return _failed("read", key, error) if "NoSuchBucket" in str(error) else NotFound(f"no object {key}")


def _failed(verb: str, key: str, error: Exception) -> StorageFailed:
    known = access.meaning(str(error))
    if known is not None:
        said, hint = known
        return StorageFailed(f"cannot {verb} {key}: {said} ({_first_line(error)})", hint=hint)
    denied = isinstance(error, PermissionDeniedError | PermissionError)
    return StorageFailed(
        f"cannot {verb} {key}: {_first_line(error)}", hint="check the permissions of the store" if denied else None
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
