"""Incidents as people meet them: listed, acknowledged, silenced, resolved, noted; and what was changed before."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.incidents.model import STATES, Change, Incident, entry
from headrace_controller.incidents.store import IncidentStore
from headrace_functions.access.roles import PLATFORM
from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.sequence import Sequence

MAX_TEXT = 4000
MAX_BY = 100


class Incidents:
    def __init__(
        self, catalog: Catalog, changed: Callable[[], None], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """``changed`` is called after each change of an incident."""
        self._catalog = catalog
        self._changed = changed
        self._now = now
        self.store = IncidentStore(catalog.documents)

    def select(self, state: str = "", version: str = "") -> list[Incident]:
        """Incidents of a state (all where it is empty) and version, the newest first."""
        if state and state not in STATES:
            raise InvalidInput(
                f"state: {state!r} is not a valid state", field="state", expected=f"one of {', '.join(STATES)}"
            )
        return [i for i in self._seen() if state in ("", i.state) and (not version or version in i.versions)]

    def open(self) -> list[Incident]:
        """Those that are not resolved, the newest first."""
        return [i for i in self._seen() if i.state != "resolved"]

    def lately(self, n: int = 20) -> list[Incident]:
        """The newest ``n``, whatever their state."""
        return self._seen()[:n]

    def _seen(self) -> list[Incident]:
        """Those whose every model who asks may see: an incident's sentence may name each of them."""
        every = self.store.all(self._now())
        return [i for i in every if current.may_all("view", (v.partition(":")[0] for v in i.versions))]

    def get(self, number: int) -> Incident:
        return self.store.get(number, self._now())

    def acknowledge(self, number: int, by: str = "", text: str = "") -> Incident:
        """Somebody looks after it. It is told to no target again until it is resolved."""
        self._unresolved(number)
        return self._write(number, "acknowledged", by, text)

    def silence(self, number: int, until: datetime, by: str = "", text: str = "") -> Incident:
        """Say nothing of it until a moment."""
        self._unresolved(number)
        if until <= self._now():
            raise InvalidInput(
                f"until: {clock.show(until)} has passed",
                field="until",
                expected="a time in the future, or a duration such as 2h",
            )
        return self._write(number, "silenced", by, text, until=clock.show(until))

    def resolve(self, number: int, by: str = "", text: str = "") -> Incident:
        """It is over. It opens again only if what it is about comes again after it was quiet."""
        self._unresolved(number)
        return self._write(number, "resolved", by or "somebody", text)

    def note(self, number: int, text: str, by: str = "") -> Incident:
        if not text.strip():
            raise InvalidInput("text: a note must not be empty", field="text")
        self.get(number)
        return self._write(number, "note", by, text)

    def changes_of(self, version: VersionId, since: datetime, until: datetime) -> list[Change]:
        """What was changed around a version, ``since <= at < until``: aliases moved, sequences revised, versions released; and the
        incidents that opened (kind ``incident``, subject its number)."""
        changed = [*self._aliases(version.model), *self._sequences(version), *self._releases(version.model)]
        opened = [Change(i.opened, "incident", str(i.number), i.sentence) for i in self.select(version=str(version))]
        return sorted((c for c in [*changed, *opened] if since <= c.at < until), key=lambda c: c.at)

    def _aliases(self, model: str) -> Iterator[Change]:
        series = self._catalog.aliases(model)
        for name in series.names():
            before: int | None = None
            for state in series.history(name):
                number = state.document.get("version")
                what = f"moved from {model}:{before} to" if before else "set to"
                sentence = (
                    f"alias {model}@{name} {what} {model}:{number}" if number else f"alias {model}@{name} deleted"
                )
                yield Change(_at(state.document["at"]), "alias", f"{model}@{name}", sentence)
                before = number

    def _sequences(self, version: VersionId) -> Iterator[Change]:
        series = self._catalog.sequences
        for name in series.names():
            if not current.may("view", name):
                continue
            history = [s for s in series.history(name) if not s.deleted]
            if any(v.model == version.model for s in history for v in Sequence.from_document(s.document).versions()):
                for state in history:
                    yield Change(
                        _at(state.document["at"]), "sequence", name, f"sequence {name} revised ({state.number})"
                    )

    def _releases(self, model: str) -> Iterator[Change]:
        for found in self._catalog.versions(model):
            if found.released:
                at = _at(found.status.at)
                yield Change(at, "version", str(found.id), f"version {found.id} released")

    def _unresolved(self, number: int) -> None:
        if self.get(number).state == "resolved":
            raise Conflict(f"incident {number} is resolved", field="incident")

    def _write(self, number: int, kind: str, by: str, text: str, **more: str) -> Incident:
        by = current.caller().subject if current.caller() is not PLATFORM and current.caller().subject else by
        for name, value, most in (("by", by, MAX_BY), ("text", text, MAX_TEXT)):
            if len(value) > most:
                raise InvalidInput(f"{name}: {len(value)} characters", field=name, expected=f"at most {most}")
        self.store.append(number, entry(kind, self._now(), by, text, **more))
        self._changed()
        return self.get(number)


def _at(text: str) -> datetime:
    return clock.parse(text, field="at")
