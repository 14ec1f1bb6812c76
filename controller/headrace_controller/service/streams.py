"""Streams: kept as series of states; whether one is paused and how often it was reset are part of its state.

Who runs them writes down how they are doing; ``progress`` reads that. A stream that nobody has written of for a while is ``stopped``.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import orjson

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.series import State
from headrace_controller.definitions.stream import StreamDefinition, start_of
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import Reference

STALE = timedelta(seconds=15)
"""A stream whose progress is older than this is not running."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it is now."""

    definition: StreamDefinition
    revision: int
    paused: bool
    resets: int
    """How often it was reset; each has a consumer group of its own."""
    start: str
    """Where its group begins that has no committed offsets: of the last reset, else of the definition."""
    at: str
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def lag(self) -> int | None:
        """Messages that wait; None where nobody has looked yet."""
        found = self.progress.get("lag")
        return sum(found.values()) if found else None


def of_state(state: State, progress: Mapping[str, Any] | None = None) -> Stream:
    """The stream in a state of its series."""
    document = state.document
    definition = StreamDefinition.model_validate(document["definition"])
    return Stream(
        definition,
        state.number,
        bool(document.get("paused")),
        int(document.get("resets", 0)),
        str(document.get("start") or definition.start),
        document["at"],
        progress or {},
    )


class Runner(Protocol):
    """Who runs the streams. Every call returns at once."""

    def check(self, definition: StreamDefinition) -> None:
        """Raises ``InvalidInput`` for a stream that cannot run here."""

    def changed(self) -> None:
        """A stream was made, changed or deleted, or the platform begins with some."""

    def progress(self, name: str) -> Mapping[str, Any] | None:
        """How a stream was doing at ``at``: ``state``, ``reason``, ``lag`` by partition, ``answered``, ``refused``; None where nobody runs it."""


class ProcessOfStreams:
    """The process of streams of this machine: told by a mark in a folder, it writes ``<stream>.json`` there (``embedded.streams``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, definition: StreamDefinition) -> None:
        """It runs whatever can be defined."""

    def changed(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "changed").write_text(clock.now())

    def progress(self, name: str) -> Mapping[str, Any] | None:
        try:
            document: dict[str, Any] = orjson.loads((self._folder / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return document


class Streams:
    def __init__(self, catalog: Catalog, runner: Runner) -> None:
        self._catalog = catalog
        self.runner = runner
        """Who runs them; another one may be put there before ``open``."""

    def open(self) -> None:
        """Have the streams run that there are."""
        if self._catalog.streams.names():
            self.runner.changed()

    def select(self) -> list[Stream]:
        """Every stream by name, with its progress, of whose model the caller may see something."""
        found = [self.get(name) for name in self._catalog.streams.names()]
        return [s for s in found if current.may("view", Reference.parse(s.definition.model).name)]

    def get(self, name: str) -> Stream:
        return of_state(self._catalog.streams.get(name), self._progress_of(name))

    def put(self, definition: StreamDefinition) -> tuple[Stream, bool]:
        """Make or change a stream; the second member is False where it was so already. A change of the source or the group needs a reset."""
        if importlib.util.find_spec("confluent_kafka") is None:
            raise InvalidInput(
                "streams need the Kafka client, which is not installed",
                field="kind",
                hint="pip install 'headrace[kafka]'",
            )
        self._check_model(definition.model)
        self.runner.check(definition)
        current = self._catalog.streams.find(definition.name)
        held = current.document if current is not None and not current.deleted else {}
        if held.get("definition") == definition.to_document():
            return self.get(definition.name), False
        # A stream that was deleted and is made again must not take its old group's offsets for its own.
        resets = int(held.get("resets", 0)) if held else (current.number + 1 if current is not None else 0)
        kept: dict[str, Any] = {k: held[k] for k in ("paused", "start") if k in held}
        self._append(definition.name, {"definition": definition.to_document(), "resets": resets, **kept})
        return self.get(definition.name), True

    def pause(self, name: str, *, paused: bool) -> Stream:
        """Stop reading, or go on where the group has committed. Doing it twice is doing it once."""
        document = dict(self._catalog.streams.get(name).document)
        if bool(document.get("paused")) != paused:
            self._append(name, {**_kept(document), "paused": paused})
        return self.get(name)

    def reset(self, name: str, to: str) -> Stream:
        """Read again from ``earliest``, ``latest`` or a time on, by a new consumer group."""
        try:
            start = start_of(to)
        except InvalidInput as error:
            raise InvalidInput(f"to: {error.message}", field="to", expected=error.expected) from error
        document = self._catalog.streams.get(name).document
        self._append(name, {**_kept(document), "resets": int(document.get("resets", 0)) + 1, "start": start})
        return self.get(name)

    def delete(self, name: str) -> None:
        """Delete a stream; topics and the consumer group stay as they are."""
        self._catalog.streams.delete(name)
        self.runner.changed()

    def _append(self, name: str, document: dict[str, Any]) -> None:
        self._catalog.streams.append(name, {"schema": 1, **document})
        self.runner.changed()

    def _check_model(self, model: str) -> None:
        reference = Reference.parse(model)
        if reference.name in self._catalog.sequences.names() or reference.name in self._catalog.models():
            return
        raise NotFound(f"there is no model or sequence {reference.name}", field="model", hint="apply it first")

    def _progress_of(self, name: str) -> Mapping[str, Any]:
        document = self.runner.progress(name)
        if document is None:
            return {"state": "stopped", "reason": "nobody runs it yet"}
        if clock.ago(STALE.total_seconds()) > clock.parse(document["at"], field="at"):
            return {**document, "state": "stopped", "reason": f"nothing was heard of it since {document['at']}"}
        return document


def _kept(document: Mapping[str, Any]) -> dict[str, Any]:
    return {k: document[k] for k in ("definition", "paused", "resets", "start") if k in document}
