"""Aliases: a name of a model's version that can be moved, and moved back."""

from dataclasses import dataclass

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.series import State
from headrace_controller.service.services import Services
from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.names import Reference, VersionId, check_name


@dataclass(frozen=True, slots=True)
class Position:
    """Where an alias points, or pointed: ``version`` is None where it was deleted."""

    model: str
    name: str
    version: int | None
    at: str


class Aliases:
    def __init__(self, catalog: Catalog, services: Services) -> None:
        self._catalog = catalog
        self._services = services

    def select(self, model: str) -> list[Position]:
        series = self._catalog.aliases(model)
        return [_position(model, name, series.get(name)) for name in series.names()]

    def get(self, model: str, name: str) -> Position:
        return _position(model, name, self._catalog.aliases(model).get(name))

    def history(self, model: str, name: str) -> list[Position]:
        """Every position of the alias, the first one first."""
        return [_position(model, name, state) for state in self._catalog.aliases(model).history(name)]

    def move(self, model: str, name: str, number: int) -> Position:
        """Point the alias at a released version; it is made if it is not there. The same position again changes nothing."""
        check_name(name, field="alias")
        version = VersionId(model, number)
        found = self._catalog.get(version)
        if not found.released:
            raise InvalidInput(
                f"version {version} is {found.state}",
                field="version",
                expected="a released version",
                hint=found.status.reason or None,
            )
        series = self._catalog.aliases(model)
        current = series.find(name)
        if current is None or current.document.get("version") != number:
            current = series.append(name, {"schema": 1, "version": number})
            self._services.changed(model)
        return _position(model, name, current)

    def delete(self, model: str, name: str) -> None:
        series = self._catalog.aliases(model)
        series.get(name)
        reference = str(Reference(model, alias=name))
        users = [
            s for s in self._catalog.schedules.names() if self._catalog.schedules.get(s).document["model"] == reference
        ]
        if users:
            raise Conflict(
                f"{reference} is in use by schedule {', '.join(users)}", field="alias", hint="delete the schedule first"
            )
        series.delete(name)
        self._services.changed(model)


def _position(model: str, name: str, state: State) -> Position:
    return Position(model, name, state.document.get("version"), state.document["at"])
