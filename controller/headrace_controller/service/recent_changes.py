"""What was changed of versions, aliases and sequences, for targets that are told of it: read from the catalogue, so nothing is lost by a restart."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from headrace_controller import clock
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.series import Series, State
from headrace_controller.notify.changes import Change
from headrace_functions.names import VersionId
from headrace_functions.storage import layout


class RecentChanges:
    """``since`` costs the store nothing where nothing has changed: numbers that were seen are not listed again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._histories: dict[str, tuple[int, list[State]]] = {}
        self._removed: dict[VersionId, str] = {}

    def since(self, moment: datetime) -> Iterator[Change]:
        """Changes from a moment on, those of one thing in their order."""
        for change in (*self._versions(), *self._aliases(moment), *self._sequences(moment)):
            if change.at >= moment:
                yield change

    def _versions(self) -> Iterator[Change]:
        for found in self._catalog.versions():
            if found.status.state in ("released", "failed") and not found.damaged:
                reason = found.status.reason
                what = f"version {found.id} {found.status.state}" + (f": {reason}" if reason else "")
                data = {"version": str(found.id), "state": found.status.state, "reason": reason}
                yield Change(_at(found.status.at), "version", found.status.state, str(found.id), what, data)
        for version in self._catalog.deleted_versions():
            if version not in self._removed:
                document = self._catalog.documents.find(layout.version_tombstone(version)) or {}
                self._removed[version] = str(document.get("at", "1970-01-01T00:00:00Z"))
            data = {"version": str(version), "state": "deleted", "reason": ""}
            at = _at(self._removed[version])
            yield Change(at, "version", "deleted", str(version), f"version {version} deleted", data)

    def _aliases(self, moment: datetime) -> Iterator[Change]:
        for model in self._catalog.models():
            series = self._catalog.aliases(model)

            def change(name: str, before: State | None, state: State, model: str = model) -> Change:
                old, new = (_version(model, s) for s in (before, state))
                alias = f"{model}@{name}"
                did = "deleted" if new is None else "moved" if old is not None else "set"
                what = f"alias {alias} " + (did if new is None else f"{did} to {new}" + (f" from {old}" if old else ""))
                data = {"alias": alias, "from": old, "to": new}
                return Change(_at(state.document["at"]), "alias", did, alias, what, data)

            yield from self._of(series, f"{model}@", moment, change)

    def _sequences(self, moment: datetime) -> Iterator[Change]:
        def change(name: str, before: State | None, state: State) -> Change:
            did = "deleted" if state.deleted else "revised" if before is not None and not before.deleted else "created"
            data = {"sequence": name, "revision": state.number, "pipeline": state.document.get("pipeline")}
            what = f"sequence {name} {did}" + ("" if state.deleted else f" ({state.number})")
            return Change(_at(state.document["at"]), "sequence", did, name, what, data)

        return self._of(self._catalog.sequences, "", moment, change)

    def _of(
        self, series: Series, prefix: str, moment: datetime, change: Callable[[str, State | None, State], Change]
    ) -> Iterator[Change]:
        """Changes of each name of a series, deleted ones too, whose last state is young enough."""
        for name in series.every_name():
            last = series.find(name)
            if last is None or _at(last.document["at"]) < moment:
                continue
            number, states = self._histories.get(prefix + name, (0, []))
            if number != last.number:
                states = series.history(name)
                self._histories[prefix + name] = (last.number, states)
            for before, state in zip([None, *states], states, strict=False):
                yield change(name, before, state)


def _version(model: str, state: State | None) -> str | None:
    return None if state is None or state.deleted else f"{model}:{state.document['version']}"


def _at(text: Any) -> datetime:
    return clock.parse(str(text), field="at")
