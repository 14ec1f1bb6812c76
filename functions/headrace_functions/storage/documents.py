"""JSON documents over the object store: create-only ones, and series of numbered states of which the last counts."""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from headrace_functions.errors import Conflict, DamagedDocument, HeadraceError, NotFound
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.signed_documents import DocumentKey, unsigned

Parsed = TypeVar("Parsed")

_RACES = 100  # attempts to win the next number; more means a bug, not bad luck


class Documents:
    """Reads and creates JSON documents; with a ``signing`` key those that ``signed_documents`` names are signed and checked.

    Nothing is ever overwritten but sessions, whose end may come nearer.
    """

    def __init__(self, objects: ObjectStore, signing: DocumentKey | None = None) -> None:
        self.objects = objects
        self._signing = signing

    def get(self, key: str) -> dict[str, Any]:
        """The document; ``NotFound`` if there is none, ``DamagedDocument`` if it is no JSON object, or not signed as it should be."""
        document = parse(key, self.objects.get(key), dict)
        return unsigned(key, document) if self._signing is None else self._signing.open(key, document)

    def find(self, key: str) -> dict[str, Any] | None:
        try:
            return self.get(key)
        except NotFound:
            return None

    def create(self, key: str, document: dict[str, Any]) -> None:
        """Write the document; ``Conflict`` if the key is taken."""
        self.objects.create(key, self._sealed(key, document))

    def replace(self, key: str, document: dict[str, Any]) -> None:
        """Write the document in the place of what may be there."""
        self.objects.put(key, self._sealed(key, document))

    def append(self, folder: str, document: dict[str, Any]) -> int:
        """Add the next state ``<k>.json`` to a series and return k, 1 for the first. Racing writers get different numbers."""
        number = (self.last_number(folder) or 0) + 1
        for _ in range(_RACES):
            try:
                self.create(f"{folder}{number}.json", document)
            except Conflict:
                number += 1
                continue
            return number
        raise Conflict(f"could not append to {folder}: {_RACES} other writers were faster")

    def numbers(self, folder: str) -> list[int]:
        """The numbers of a series in order."""
        stems = (name.removesuffix(".json") for name in self.objects.names(folder) if name.endswith(".json"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def last_number(self, folder: str) -> int | None:
        numbers = self.numbers(folder)
        return numbers[-1] if numbers else None

    def last(self, folder: str) -> dict[str, Any] | None:
        """The state that counts, or None for an empty series."""
        number = self.last_number(folder)
        return None if number is None else self.get(f"{folder}{number}.json")

    def _sealed(self, key: str, document: dict[str, Any]) -> bytes:
        return encode(document if self._signing is None else self._signing.seal(key, document))


def encode(document: dict[str, Any]) -> bytes:
    """The bytes of a document as it is stored."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def parse(key: str, data: bytes, read: Callable[[dict[str, Any]], Parsed]) -> Parsed:
    """What ``read`` makes of the JSON object at ``key``. Whatever it stumbles over is ``DamagedDocument``, which names the key."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DamagedDocument(f"{key} is not JSON: {error}", field=key) from error
    if not isinstance(document, dict):
        raise DamagedDocument(f"{key} holds {type(document).__name__} instead of a JSON object", field=key)
    return interpret(key, document, read)


def interpret(key: str, document: dict[str, Any], read: Callable[[dict[str, Any]], Parsed]) -> Parsed:
    """What ``read`` makes of a document; ``DamagedDocument`` where a member is missing or is of another kind."""
    try:
        return read(document)
    except KeyError as error:
        raise DamagedDocument(f"{key} lacks {error}", field=key) from error
    except (HeadraceError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DamagedDocument(f"{key} cannot be read: {error}", field=key) from error
