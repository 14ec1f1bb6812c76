"""Where files come from and where answers go: folders of this machine, or ``s3://bucket/prefix``.

Objects are fetched one after the other into a working folder, and answers are put when a file is whole, so a run that was killed goes on from that
folder on the same machine. Credentials and endpoint are those of the environment (``AWS_…``), of whoever gives the command.
"""

import fnmatch
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from headrace_functions.batch import files
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.storage.objects import ObjectInfo, ObjectStore

S3 = "s3://"
MAX_FILES = 100_000
"""Files of one run."""


class Input(Protocol):
    """One file of rows."""

    @property
    def name(self) -> str:
        """The name of the file, and of the file of its answers."""

    @property
    def place(self) -> str:
        """The whole path or URL."""

    def fingerprint(self) -> Mapping[str, int | str]:
        """What tells that the file has changed."""

    def opened(self) -> AbstractContextManager[Path]:
        """The file on this machine, as long as it is read."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def place(self) -> str:
        return str(self.path.resolve())

    def fingerprint(self) -> Mapping[str, int | str]:
        return files.fingerprint(self.path)

    @contextmanager
    def opened(self) -> Iterator[Path]:
        yield self.path


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a bucket, fetched into ``folder`` while it is read."""

    store: ObjectStore
    bucket: str
    info: ObjectInfo
    folder: Path

    @property
    def name(self) -> str:
        return self.info.key.rsplit("/", 1)[-1]

    @property
    def place(self) -> str:
        return f"{S3}{self.bucket}/{self.info.key}"

    def fingerprint(self) -> Mapping[str, int | str]:
        try:
            now = self.store.info(self.info.key)
        except NotFound as error:
            raise NotFound(f"{self.place} no longer exists", field="in") from error
        return {"size": now.size, "modified": round(now.modified * 1e9), "tag": now.tag}

    @contextmanager
    def opened(self) -> Iterator[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / self.name
        self.store.download(self.info.key, path)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where answers go. ``folder`` holds them, and the parts of a run, on this machine."""

    folder: Path
    shown: str
    store: ObjectStore | None = None
    prefix: str = ""
    durable: bool = False
    """Whether parts are kept in the bucket too, where the folder may be lost with the machine."""

    def fetch(self, parts: Path) -> None:
        """Bring back what an earlier run has kept of a file."""
        if self.store is None or not self.durable:
            return
        for info in self.store.walk(f"{self.prefix}{parts.name}/"):
            file = parts / info.key.rsplit("/", 1)[-1]
            if not file.exists():
                parts.mkdir(parents=True, exist_ok=True)
                self.store.download(info.key, file)

    def keep(self, file: Path) -> None:
        """Keep a file of a part for a later run."""
        if self.store is not None and self.durable:
            self.store.put(f"{self.prefix}{file.parent.name}/{file.name}", file)

    def drop(self, parts: Path) -> None:
        """Forget what was kept of a file."""
        shutil.rmtree(parts, ignore_errors=True)
        if self.store is not None and self.durable:
            for info in list(self.store.walk(f"{self.prefix}{parts.name}/")):
                self.store.delete(info.key)

    def holds(self, one: Input) -> bool:
        """Whether the answers would overwrite the file itself."""
        return one.place == (f"{self.shown}/{one.name}" if self.store else str((self.folder / one.name).resolve()))

    def publish(self, file: Path) -> None:
        """Put a file that is whole where it belongs."""
        if self.store is not None and file.exists():
            self.store.put(f"{self.prefix}{file.name}", file)
            file.unlink()

    def withdraw(self, name: str) -> None:
        """Remove what an earlier run has put under a name."""
        (self.folder / name).unlink(missing_ok=True)
        if self.store is not None:
            self.store.delete(f"{self.prefix}{name}")


def inputs(pattern: str, work: Path, within: Sequence[str] = ()) -> list[Input]:
    """The files of a path, a folder or a pattern, sorted by name; objects are fetched below ``work``.

    ``NotFound`` for none, ``InvalidInput`` for one that cannot be read or, with ``within``, does not lie below one of these folders,
    wherever links lead; ``Conflict`` where two have one name.
    """
    if not pattern.startswith(S3):
        paths = files.inputs(pattern)
        for path in paths if within else ():
            check_within(path, within, "in")
        return [LocalFile(path) for path in paths]
    bucket, key = _parts(pattern, "in")
    store = ObjectStore(f"{S3}{bucket}")
    found = [o for o in store.walk(_parent(key)) if _fits(o.key, key)]
    if not found:
        raise NotFound(
            f"--in {pattern}: there is no such object", field="in", hint="name an object, a prefix or a pattern"
        )
    if len(found) > MAX_FILES:
        raise InvalidInput(
            f"--in {pattern} has too many files", field="in", expected=f"at most {MAX_FILES}", got=str(len(found))
        )
    made: list[Input] = [StoredObject(store, bucket, o, work / "in") for o in found]
    for one in made:
        files.check_suffix(one.place)
    if len({one.name for one in made}) < len(made):
        raise Conflict("two of the files have the same name, and so would their outputs", field="in")
    return made


def check_within(path: Path, within: Sequence[str], option: str) -> None:
    """``InvalidInput`` where a path leads out of all of these folders, by links too."""
    real = path.resolve()
    if not any(real.is_relative_to(Path(folder).resolve()) for folder in within if not folder.startswith(S3)):
        raise InvalidInput(
            f"--{option} {path} leads to {real}, which is outside the places that batches of this platform may read and write",
            field=option,
            expected=f"a place below one of {', '.join(within)}",
            got=str(path),
        )


def destination(out: str, work: Path, *, durable: bool = False, within: Sequence[str] = ()) -> Destination:
    """Where the answers go: a folder, or a prefix of a bucket by way of ``work``; ``durable`` where ``work`` may be lost. ``within`` as of
    ``inputs``."""
    if not out.startswith(S3):
        if within:
            check_within(Path(out), within, "out")
        return Destination(Path(out), out)
    bucket, key = _parts(f"{out.rstrip('/')}/", "out")
    return Destination(work / "out", f"{S3}{bucket}/{key}".rstrip("/"), ObjectStore(f"{S3}{bucket}"), key, durable)


def working_folder(cache: Path, name: str, pattern: str, out: str) -> Path:
    """A folder that the same command finds again."""
    return cache / "batch" / hashlib.sha256("\n".join((name, pattern, out)).encode()).hexdigest()[:16]


def clear(work: Path) -> None:
    """Forget a run that has ended."""
    shutil.rmtree(work, ignore_errors=True)


def _parts(url: str, option: str) -> tuple[str, str]:
    parts = urlsplit(url, allow_fragments=False)
    if not parts.netloc:
        raise InvalidInput(
            f"--{option} {url}: a bucket is missing", field=option, expected="s3://bucket/prefix", got=url
        )
    path = parts.path + (f"?{parts.query}" if parts.query else "")  # in a pattern ? is any one character
    return parts.netloc, unquote(path).lstrip("/")


def _parent(key: str) -> str:
    """The longest folder of a key or pattern that has no wildcard."""
    plain = key[: min((key.index(c) for c in "*?[" if c in key), default=len(key))]
    return plain[: plain.rfind("/") + 1]


def _fits(key: str, wanted: str) -> bool:
    """Whether an object is the one that is named, directly below the prefix, or fits the pattern; ``*`` does not reach into folders."""
    if any(c in wanted for c in "*?["):
        return key.count("/") == wanted.count("/") and fnmatch.fnmatchcase(key, wanted)
    folder = f"{wanted.rstrip('/')}/" if wanted else ""
    inside = key.startswith(folder) and "/" not in key[len(folder) :] and files.readable(key)
    return key == wanted or inside
