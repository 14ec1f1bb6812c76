"""Versions and artifacts on this pod's disk: fetched by digest, kept while there is room."""

import asyncio
import shutil
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson

from headrace_functions.errors import HeadraceError, Malformed, StorageFailed, TooLarge
from headrace_functions.names import VersionId
from headrace_functions.runtime.fetch import checked_document
from headrace_functions.storage import layout, unpacking
from headrace_functions.version import Version

_LARGEST = 4
"""A packed artifact may have this part of the room: one model must not push out all others."""


class Store(Protocol):
    """What is asked of object storage; reading is enough."""

    def get(self, key: str) -> bytes: ...

    def size(self, key: str) -> int: ...

    def download(self, key: str, file: Path) -> str: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which version to answer for, as the gateway names it."""

    version: VersionId
    artifact: str
    """SHA-256 of the artifact archive, hexadecimal."""
    token: str = field(default="", repr=False)
    """By which it is fetched, and its records handed over."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.version.service}-{self.artifact}"


@dataclass(frozen=True, slots=True)
class Stocked:
    """A version and its files."""

    version: Version
    document: Path
    artifact: Path


class Stock:
    """What was fetched, least recently used first. Its methods belong to one event loop; files are written in threads.

    One ``fetch`` of a version at a time, as ``Children`` does.
    """

    def __init__(self, store_of: Callable[[Wanted], Store], folder: Path, room: int) -> None:
        """``store_of`` opens the store for one version. ``folder`` is emptied: what an earlier container of the pod left may not be whole."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._store_of = store_of
        self._folder = folder
        self._room = room
        self._kept: OrderedDict[str, int] = OrderedDict()
        """Unpacked bytes by name of the folder."""

    async def fetch(self, wanted: Wanted, used: Collection[str]) -> Stocked:
        """The version's files; ``used`` are the names of what must stay.

        ``NotFound`` and ``StorageFailed`` of the store, ``TooLarge``, and ``Malformed`` where what came is not what was named.
        """
        folder = self._folder / wanted.name
        if wanted.name not in self._kept:
            try:
                self._kept[wanted.name] = await self._fetch(wanted, folder)
            except (HeadraceError, OSError) as error:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                if isinstance(error, OSError):
                    raise StorageFailed(f"the standby's disk has no room for {wanted.version}: {error}") from error
                raise
            for name in self._surplus({*used, wanted.name}):
                await asyncio.to_thread(shutil.rmtree, self._folder / name, ignore_errors=True)
        self._kept.move_to_end(wanted.name)
        document = folder / "version.json"
        return Stocked(Version.from_document(orjson.loads(document.read_bytes())), document, folder / "artifact")

    async def _fetch(self, wanted: Wanted, folder: Path) -> int:
        """Document and artifact at the same time; the artifact's bytes on the disk."""
        folder.mkdir(exist_ok=True)
        key = layout.version_document(wanted.version)
        reading = asyncio.create_task(asyncio.to_thread(checked_document, self._store_of(wanted), key, wanted.artifact))
        bringing = asyncio.create_task(asyncio.to_thread(self._bring, wanted, folder / "artifact"))
        # Both, even where one fails: a thread cannot be called off, and must not write into a folder that is removed.
        await asyncio.gather(reading, bringing, return_exceptions=True)
        (folder / "version.json").write_bytes(reading.result())
        return bringing.result()

    def _bring(self, wanted: Wanted, folder: Path) -> int:
        """Unpack the artifact; its bytes on the disk."""
        key, most, store = layout.artifact(wanted.version), self._room // _LARGEST, self._store_of(wanted)
        size = store.size(key)
        if size > most:
            raise TooLarge(
                "the artifact is too large for a standby", expected=f"at most {most} bytes", got=f"{size} bytes"
            )
        archive = folder.with_suffix(".tar.zst")
        found = store.download(key, archive)
        if found != wanted.artifact:
            raise Malformed(
                f"{key} differs from what was released: its SHA-256 does not match",
                field="artifact",
                expected=wanted.artifact,
                got=found,
            )
        unpacking.unpack(archive, folder)
        archive.unlink()
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def _surplus(self, used: Collection[str]) -> list[str]:
        """What has to go for the rest to fit, taken off the list."""
        total, gone = sum(self._kept.values()), []
        for name in [n for n in self._kept if n not in used]:
            if total <= self._room:
                break
            total -= self._kept.pop(name)
            gone.append(name)
        return gone
