"""What a cluster would be asked to run for a name: the documents of its versions, each with its deployment configuration."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.definitions import DeploymentConfiguration
from headrace_controller.service.versions import Versions
from headrace_functions.errors import NotFound
from headrace_functions.names import Reference
from headrace_functions.sequence import Sequence
from headrace_functions.version import Version

Json = dict[str, Any]
Manifest = Callable[[Version, DeploymentConfiguration | None], Json]
"""The document that a cluster backend makes of a version; ``app`` gives the real one."""


class Rendering:
    def __init__(self, catalog: Catalog, versions: Versions, manifest: Manifest) -> None:
        self._catalog = catalog
        self._versions = versions
        self._manifest = manifest

    def documents(self, name: str) -> list[Json]:
        """Documents of the released versions behind ``churn:3``, ``churn@prod``, ``churn`` or the name of a sequence, in its order.

        ``NotFound`` for what there is not and for a version that is not released.
        """
        reference = Reference.parse(name, field="name")
        if str(reference) == reference.name and reference.name in self._catalog.sequences.names():
            return list(self._of_sequence(reference.name))
        return [self._manifest(self._released(reference), None)]

    def _of_sequence(self, name: str) -> Iterator[Json]:
        document = self._catalog.sequences.get(name).document
        chosen: Mapping[str, str] = document.get("deployment-configurations", {})
        for version in Sequence.from_document(document).versions():
            configuration = chosen.get(str(version))
            found = self._released(Reference(version.model, number=version.number))
            yield self._manifest(found, self._configuration(configuration) if configuration else None)

    def _configuration(self, name: str) -> DeploymentConfiguration:
        return DeploymentConfiguration.model_validate(self._catalog.deployments.get(name).document["definition"])

    def _released(self, reference: Reference) -> Version:
        found = self._versions.resolve(reference, field="name")
        if found.version is None:
            raise NotFound(
                f"version {found.id} is {found.state}, so it cannot be rendered",
                field="name",
                hint=f"see: headrace version log {found.id}",
            )
        return found.version
