"""What every public name led to at one moment: for gateways that cannot read the store themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace_controller.catalog.catalog import Catalog
from headrace_functions.errors import NotFound
from headrace_functions.gateway.routes import Route, SequenceRoute
from headrace_functions.names import Reference, VersionId
from headrace_functions.sequence import Sequence
from headrace_functions.version import Version


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """Released versions, where aliases pointed, and the current revision of each sequence. It never changes."""

    versions: Mapping[VersionId, Version] = field(default_factory=dict)
    newest: Mapping[str, VersionId] = field(default_factory=dict)
    aliases: Mapping[tuple[str, str], VersionId] = field(default_factory=dict)
    sequences: Mapping[str, tuple[int, Sequence]] = field(default_factory=dict)

    @classmethod
    def of(cls, catalog: Catalog) -> "CatalogSnapshot":
        """``StorageFailed`` where the store cannot be read."""
        released = {
            v.id: v.version for v in catalog.versions() if v.version is not None and v.released and v.version.served
        }
        newest: dict[str, VersionId] = {}
        for version in sorted(released):
            newest[version.model] = version
        aliases = {
            (model, alias): VersionId(model, number)
            for model in newest
            for alias, number in catalog.alias_positions(model).items()
        }
        states = {name: catalog.sequences.get(name) for name in catalog.sequences.names()}
        sequences = {name: (s.number, Sequence.from_document(s.document)) for name, s in states.items()}
        return cls(released, newest, aliases, sequences)

    def route(self, reference: Reference) -> Route:
        """What the name led to; ``NotFound`` where it led nowhere."""
        if reference.number is None and reference.alias is None and reference.name in self.sequences:
            revision, sequence = self.sequences[reference.name]
            return SequenceRoute(sequence, revision, {v: self._version(v, reference) for v in sequence.versions()})
        if reference.alias is not None:
            return self._version(self.aliases.get((reference.name, reference.alias)), reference)
        if reference.number is not None:
            return self._version(VersionId(reference.name, reference.number), reference)
        return self._version(self.newest.get(reference.name), reference)

    def _version(self, version: VersionId | None, reference: Reference) -> Version:
        found = self.versions.get(version) if version is not None else None
        if found is None:
            raise NotFound(f"{reference} did not exist when the store was last read")
        return found
