"""Models and their versions: lists, references, deletion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog, ModelVersion
from headrace_controller.service.paging import Page, PageRequest, page
from headrace_controller.service.services import Services
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.names import Reference, VersionId
from headrace_functions.profile import Profile
from headrace_functions.storage import layout
from headrace_functions.suggestions import did_you_mean

STATES = ("assembling", "released", "failed")


@dataclass(frozen=True, slots=True)
class VersionFilter:
    """What a list is narrowed to; every given condition must hold."""

    model: str | None = None
    status: str | None = None
    text: str = ""
    """Part of the version's name, e.g. ``churn`` or ``churn:1``."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Metadata that the version must have, by key and value."""

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in STATES:
            raise InvalidInput(
                f"status: {self.status!r} is not a valid status", field="status", expected=f"one of {', '.join(STATES)}"
            )

    def matches(self, version: ModelVersion) -> bool:
        return (self.status is None or version.state == self.status) and all(
            version.metadata.get(k) == v for k, v in self.labels.items()
        )


@dataclass(frozen=True, slots=True)
class ModelSummary:
    name: str
    count: int
    latest: ModelVersion
    """The newest version, whatever its state."""
    released: int | None
    """Number of the newest released version: what the bare name means."""
    aliases: Mapping[str, int]


class Versions:
    def __init__(self, catalog: Catalog, services: Services) -> None:
        self._catalog = catalog
        self._services = services

    def select(self, wanted: VersionFilter, request: PageRequest) -> Page[ModelVersion]:
        """Versions by model, the newest first. Without a condition only the page's documents are read."""
        ids = (
            v for v in self._catalog.version_ids(wanted.model) if wanted.text in str(v) and current.may("view", v.model)
        )
        if not wanted.status and not wanted.labels:
            found = page(ids, request, str)
            return Page(list(self._catalog.find_all(found.items)), found.next)
        versions = (v for v in self._catalog.find_all(ids) if wanted.matches(v))
        return page(versions, request, lambda v: str(v.id))

    def models(self, text: str, request: PageRequest) -> Page[ModelSummary]:
        found = page((m for m in self._catalog.models() if text in m and current.may("view", m)), request, str)
        return Page([self.model(name) for name in found.items], found.next)

    def model(self, name: str) -> ModelSummary:
        ids = list(self._catalog.version_ids(name))
        if not ids:
            hint = did_you_mean(name, self._catalog.models(), "'headrace model list' shows what there is")
            raise NotFound(f"no model {name!r}", field="model", hint=hint)
        released = self._catalog.newest_released(name)
        aliases = self._catalog.alias_positions(name)
        return ModelSummary(
            name, len(ids), self._catalog.get(ids[0]), released.id.number if released else None, aliases
        )

    def get(self, version: VersionId) -> ModelVersion:
        return self._catalog.get(version)

    def resolve(self, reference: Reference, *, field: str = "model") -> ModelVersion:
        """The version that a reference means now: ``churn`` (the newest released), ``churn:3`` or ``churn@prod``."""
        if reference.number is not None:
            return self._catalog.get(VersionId(reference.name, reference.number))
        if reference.alias is not None:
            number = self._catalog.aliases(reference.name).get(reference.alias).document["version"]
            return self._catalog.get(VersionId(reference.name, number))
        released = self._catalog.newest_released(reference.name)
        if released is None:
            raise NotFound(
                f"{field}: {reference.name!r} has no released version",
                field=field,
                hint=f"see: headrace version list {reference.name}",
            )
        return released

    def profile(self, version: VersionId) -> Profile | None:
        """Statistics of the training data, None for a version that came without."""
        self._catalog.get(version)
        document = self._catalog.documents.find(layout.profile(version))
        return Profile.from_document(document) if document else None

    def delete(self, version: VersionId) -> None:
        """Delete a version that nothing uses; its log and reports stay."""
        found = self._catalog.get(version)
        if found.state == "assembling":
            raise Conflict(f"{version} is being built", field="version", hint="wait for its build, then delete it")
        users = self._catalog.users_of(version)
        if users:
            raise _in_use(str(version), users)
        self._catalog.delete_version(version)
        self._services.changed(version.model)

    def sign(self, version: VersionId) -> None:
        """Sign a release as it lies in the store, so that it is started; whoever asks for that has looked at it.

        ``NotFound`` where there is none, ``Conflict`` on a platform that signs nothing.
        """
        self._catalog.get(version)
        self._catalog.sign_release(version)
        self._services.changed(version.model)

    def delete_model(self, name: str) -> None:
        """Delete all versions of a model if none is in use; its aliases go with it, the numbers are not given again."""
        self.model(name)
        versions = list(self._catalog.version_ids(name))
        # A model's own aliases do not protect it from going as a whole.
        users = [u for v in versions for u in self._users_beyond_aliases(v)]
        if users:
            raise _in_use(name, users)
        for alias in self._catalog.aliases(name).names():
            self._catalog.aliases(name).delete(alias)
        for version in versions:
            self.delete(version)

    def _users_beyond_aliases(self, version: VersionId) -> Iterator[str]:
        return (user for user in self._catalog.users_of(version) if not user.startswith("alias "))


def _in_use(name: str, users: list[str]) -> Conflict:
    listed = ", ".join(dict.fromkeys(users))
    return Conflict(f"{name} is in use by {listed}", field="version", hint=f"first move or delete: {listed}")
