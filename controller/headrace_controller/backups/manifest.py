"""What a backup holds: ``manifest.json``, written last, so a backup without one is not finished.

Beside it are ``store/<key>``, the objects under the keys that they had, and ``home/``, the keys of hashed fields where they were asked for.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headrace_functions.errors import Conflict, DamagedDocument, NotFound
from headrace_functions.storage.documents import parse
from headrace_functions.storage.objects import ObjectStore

MANIFEST = "manifest.json"
CONTENT = "store/"
HOME = "home/"
HASH_KEYS = ("hash-key", "hash-key.retired")
"""Files of a home below ``HOME``, where they were asked for."""
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a backup, by the key it had in the store."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    cut: str
    """RFC 3339: what was there at this time is in the backup; logs, metric values and health may be a little newer."""
    source: str
    """URL of the store that it was taken of."""
    release: str
    """Of the platform's software."""
    without: tuple[str, ...]
    """Parts that were left out."""
    audit_head: str
    """``NUMBER:DIGEST`` of the last entry of the audit, which says that the backup was begun."""
    hash_keys: tuple[Item, ...]
    """Files with keys of hashed fields, by their keys in the backup; none where they were not asked for."""
    items: tuple[Item, ...]

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)

    def to_bytes(self) -> bytes:
        document = {
            "schema": SCHEMA,
            "cut": self.cut,
            "source": self.source,
            "release": self.release,
            "without": list(self.without),
            "audit_head": self.audit_head,
            "hash_keys": [_row(item) for item in self.hash_keys],
            "objects": [_row(item) for item in self.items],
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Manifest":
        if document["schema"] > SCHEMA:
            raise DamagedDocument(
                f"the backup has format {document['schema']}, but this release can read formats up to {SCHEMA}",
                hint="use the release that created it, or a newer one",
            )
        return cls(
            str(document["cut"]),
            str(document["source"]),
            str(document["release"]),
            tuple(document["without"]),
            str(document["audit_head"]),
            _items(document["hash_keys"]),
            _items(document["objects"]),
        )


def read_manifest(backup: ObjectStore) -> tuple[Manifest, str]:
    """The manifest and the SHA-256 of its bytes. ``NotFound`` where there is no backup, ``Conflict`` where it is not finished."""
    try:
        body = backup.get(MANIFEST)
    except NotFound:
        if next(iter(backup.walk("")), None) is not None:
            raise Conflict(
                f"{backup.url} does not contain a complete backup: it has no {MANIFEST}",
                field="from",
                hint="the same 'headrace backup --to' completes one that was interrupted",
            ) from None
        raise NotFound(f"there is no backup at {backup.url}", field="from") from None
    return parse(MANIFEST, body, Manifest.from_document), hashlib.sha256(body).hexdigest()


def _items(rows: list[list[Any]]) -> tuple[Item, ...]:
    return tuple(Item(str(key), int(size), str(digest)) for key, size, digest in rows)


def _row(item: Item) -> list[Any]:
    return [item.key, item.size, item.sha256]
