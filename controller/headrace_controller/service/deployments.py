"""Deployment configurations: named settings of the cluster, kept as revisions; sequences may name them for their versions."""

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.series import State
from headrace_controller.definitions import DeploymentConfiguration
from headrace_functions.errors import Conflict


class Deployments:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def select(self) -> list[State]:
        return [self.get(name) for name in self._catalog.deployments.names()]

    def get(self, name: str) -> State:
        """The current revision; its document holds ``definition``."""
        return self._catalog.deployments.get(name)

    def put(self, configuration: DeploymentConfiguration) -> tuple[State, bool]:
        """Keep it as the next revision; the same content again changes nothing, then the second member is False."""
        document = {"schema": 1, "definition": configuration.to_document()}
        current = self._catalog.deployments.find(configuration.name)
        if current is not None and current.document.get("definition") == document["definition"]:
            return current, False
        return self._catalog.deployments.append(configuration.name, document), True

    def delete(self, name: str) -> None:
        """Delete a configuration that no current sequence names."""
        series = self._catalog.sequences
        users = [
            s for s in series.names() if name in series.get(s).document.get("deployment-configurations", {}).values()
        ]
        if users:
            raise Conflict(
                f"{name} is in use by sequence {', '.join(users)}", field="name", hint="change those sequences first"
            )
        self._catalog.deployments.delete(name)
