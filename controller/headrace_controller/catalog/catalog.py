"""The catalogue: models, versions, aliases, sequences, schedules and deployment configurations over storage documents.

Facts only; the rules of what may be done are in ``service``. Every number and name is given by a create-only write, so two
writers see who was first. Documents never change once written, so they are kept in memory and lists cost no storage calls.
"""

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, Literal

from headrace_controller import clock
from headrace_controller.catalog import noting
from headrace_controller.catalog.series import Series
from headrace_functions.errors import Conflict, DamagedDocument, NotFound
from headrace_functions.names import VersionId
from headrace_functions.sequence import Sequence
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, encode, interpret
from headrace_functions.storage.releases import ReleaseKey, read_release
from headrace_functions.suggestions import did_you_mean
from headrace_functions.version import BuildState, BuildStatus, Version

log = logging.getLogger(__name__)

Kind = Literal["model", "sequence"]
_RACES = 100
_SHOWN = 5  # versions that a hint names
_TOGETHER = 100  # versions read in one go
_READERS = 8  # threads that read; on S3 each document is a round trip


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version as it is now: what the user gave, how far its build is, and the immutable description once it is there."""

    id: VersionId
    given: Mapping[str, Any]
    """``definition.json``: ``definition``, ``content``, ``artifact``, ``created``."""
    status: BuildStatus
    version: Version | None
    damaged: bool = False
    """Whether a document of it is unreadable; ``status`` is then ``failed`` and names the document."""

    @property
    def state(self) -> BuildState:
        return self.status.state

    @property
    def released(self) -> bool:
        return self.status.state == "released" and self.version is not None

    @property
    def definition(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.given["definition"]
        return found

    @property
    def missing_values(self) -> list[str] | None:
        """The words of no value in its CSV files; None for the usual ones."""
        found: list[str] | None = self.definition.get("missing-values")
        return found

    @property
    def metadata(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.given["definition"].get("metadata", {})
        return found


class Catalog:
    def __init__(self, documents: Documents, release_key: ReleaseKey | None = None) -> None:
        """With a ``release_key`` releases are signed, and one that is not is damaged."""
        self.documents = documents
        self._release_key = release_key
        self.sequences = Series(documents, "sequence", layout.SEQUENCES, layout.revisions, Sequence.from_document)
        self.schedules = Series(documents, "schedule", layout.SCHEDULES, layout.schedule, itemgetter("name", "model"))
        self.deployments = Series(
            documents, "deployment configuration", layout.DEPLOYMENTS, layout.deployment, itemgetter("definition")
        )
        self.rules = Series(documents, "set of rules", layout.RULES, layout.rules, itemgetter("rules"))
        self.streams = Series(documents, "stream", layout.STREAMS, layout.stream, itemgetter("definition"))
        self._aliases: dict[str, Series] = {}
        self._lock = threading.RLock()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="catalogue")
        self._numbers: dict[str, list[int]] | None = None
        self._final: dict[VersionId, ModelVersion] = {}
        self._deleted: set[VersionId] = set()

    def reload(self) -> None:
        """Forget what may have changed by another writer; immutable documents stay."""
        keys = [i.key for i in self.documents.objects.walk(layout.MODELS)]
        tombstones = {key for key in keys if key.endswith("/deleted.json")}
        positions = _alias_positions(keys)
        with self._lock:
            self._numbers = None
            self._final = {v: held for v, held in self._final.items() if held.released}
            self._deleted |= {v for v in self._final if layout.version_tombstone(v) in tombstones}
            for series in (self.sequences, self.schedules, self.deployments, self.rules, self.streams):
                series.reload()
            for model, numbers in positions.items():
                self.aliases(model).reload(numbers)

    # Names

    def claim_name(self, name: str, kind: Kind) -> None:
        """Take a public name for a kind, for good; ``Conflict`` if it is the other kind's."""
        key = layout.public_name(name)
        try:
            self.documents.create(key, {"schema": 1, "kind": kind, "at": clock.now()})
        except Conflict:
            holder = self.documents.get(key)["kind"]
            if holder != kind:
                raise Conflict(
                    f"{name!r} is the name of a {holder}",
                    field="name",
                    hint="models and sequences share one namespace, and a name keeps its kind; choose another name",
                ) from None

    # Versions

    def models(self) -> list[str]:
        """Names of the models that have a version, sorted."""
        return [name for name in sorted(self._all_numbers()) if any(True for _ in self.version_ids(name))]

    def version_ids(self, model: str | None = None) -> Iterator[VersionId]:
        """Versions that are not deleted: models in the order of names, the newest version of each first."""
        numbers = self._all_numbers()
        for name in [model] if model is not None else sorted(numbers):
            for number in reversed(list(numbers.get(name, ()))):
                version = VersionId(name, number)
                if not self._is_deleted(version):
                    yield version

    def find(self, version: VersionId) -> ModelVersion | None:
        """The version, unless there is none or it is deleted."""
        if version.number not in self._all_numbers().get(version.model, ()) or self._is_deleted(version):
            return None
        held = self._final.get(version)
        if held is None:
            held = self._read(version)
            if held is None:
                return None
            if held.state != "assembling" and not held.damaged:
                self._final[version] = held
        return held

    def get(self, version: VersionId) -> ModelVersion:
        found = self.find(version)
        if found is None:
            raise NotFound(f"no version {version}", field="version", hint=self._near(version))
        return found

    def _near(self, version: VersionId) -> str:
        """What there is in the place of a version that is not there."""
        numbers = [v.number for v in islice(self.version_ids(version.model), _SHOWN)]
        if not numbers:
            return did_you_mean(version.model, self.models(), "'headrace model list' shows what there is")
        return f"the newest versions of {version.model} are {', '.join(map(str, numbers))}"

    def find_all(self, versions: Iterable[VersionId]) -> Iterator[ModelVersion]:
        """Those of the versions that there are, in the given order; documents not read before are read side by side."""
        asked = iter(versions)
        while chunk := list(islice(asked, _TOGETHER)):
            if all(v in self._final for v in chunk):
                yield from (self._final[v] for v in chunk)
            else:
                yield from (found for found in self._readers.map(self.find, chunk) if found is not None)

    def versions(self, model: str | None = None) -> Iterator[ModelVersion]:
        return self.find_all(self.version_ids(model))

    def newest_released(self, model: str) -> ModelVersion | None:
        # One by one: mostly the first is the one.
        found = (self.find(v) for v in self.version_ids(model))
        return next((v for v in found if v is not None and v.released), None)

    def claim_version(self, model: str, given: Mapping[str, Any]) -> VersionId:
        """Take the next number of a model by writing what the user gave."""
        with self._lock:
            numbers = self._all_numbers().setdefault(model, [])
            number = numbers[-1] + 1 if numbers else 1
            for candidate in range(number, number + _RACES):
                version = VersionId(model, candidate)
                try:
                    self.documents.create(
                        layout.definition(version), {"schema": 1, "model": model, "number": candidate, **given}
                    )
                except Conflict:
                    numbers.append(candidate)  # a writer that we did not know of was faster
                    continue
                numbers.append(candidate)
                noting.note(
                    "version", str(version), None, {n: given.get(n) for n in ("content", "artifact", "definition")}
                )
                return version
        raise Conflict(f"could not add a version to {model}: {_RACES} other writers were faster")

    def add_status(self, version: VersionId, state: BuildState, reason: str = "") -> None:
        self.documents.append(layout.status(version), BuildStatus(state, reason, clock.now()).to_document())

    def write_version(self, version: Version) -> None:
        content = encode(version.to_document())
        self.documents.objects.create(layout.version_document(version.id), content)
        if self._release_key is not None:
            self.documents.objects.put(
                layout.release_signature(version.id), self._release_key.sign(version.id, content)
            )

    def sign_release(self, version: VersionId) -> None:
        """Sign a release as it lies in the store. ``NotFound`` where there is none, ``Conflict`` on a platform that signs nothing."""
        if self._release_key is None:
            raise Conflict("this platform does not sign releases", hint="only platforms in a cluster do")
        if self.documents.find(layout.definition(version)) is None:
            raise NotFound(f"no version {version}", field="version", hint=self._near(version))
        content = self.documents.objects.get(layout.version_document(version))
        self.documents.objects.put(layout.release_signature(version), self._release_key.sign(version, content))
        noting.note("release signature", str(version), None, {"version.json": hashlib.sha256(content).hexdigest()})

    def sign_unsigned(self) -> None:
        """Sign every release that has no signature at all: of a store that is older than signatures."""
        objects = self.documents.objects
        keys = {info.key for info in objects.walk(layout.MODELS)}
        for version in self.version_ids():
            document, signature = layout.version_document(version), layout.release_signature(version)
            if document in keys and signature not in keys and layout.definition(version) in keys:
                log.info("signing %s as it is", version)
                self.sign_release(version)

    def delete_version(self, version: VersionId) -> None:
        self.get(version)
        self.documents.create(layout.version_tombstone(version), {"schema": 1, "at": clock.now()})
        self._deleted.add(version)
        noting.note("version", str(version), {"version": str(version)}, None)

    def deleted_versions(self) -> list[VersionId]:
        """Versions that were deleted, as far as ``versions`` has come across them."""
        return sorted(self._deleted)

    # Aliases

    def aliases(self, model: str) -> Series:
        """The aliases of a model; each state holds the number it points at as ``version``."""
        with self._lock:
            if model not in self._aliases:
                self._aliases[model] = Series(
                    self.documents,
                    "alias",
                    layout.aliases(model),
                    lambda a: layout.alias(model, a),
                    lambda document: VersionId(model, document["version"]),
                )
            return self._aliases[model]

    def alias_positions(self, model: str) -> dict[str, int]:
        """Number of the version that each alias of the model points at."""
        series = self.aliases(model)
        return {name: series.get(name).document["version"] for name in series.names()}

    # Who uses what

    def current_sequences(self) -> Iterator[Sequence]:
        for name in self.sequences.names():
            yield Sequence.from_document(self.sequences.get(name).document)

    def users_of(self, version: VersionId) -> list[str]:
        """What would break without the version, as people call it: ``alias prod``, ``sequence churn-score``…"""
        users = [
            f"alias {version.model}@{alias}"
            for alias, number in self.alias_positions(version.model).items()
            if number == version.number
        ]
        users += [f"sequence {s.name}" for s in self.current_sequences() if version in s.versions()]
        users += [
            f"schedule {n}" for n in self.schedules.names() if self.schedules.get(n).document["model"] == str(version)
        ]
        return users

    def _all_numbers(self) -> dict[str, list[int]]:
        with self._lock:
            if self._numbers is None:
                objects = self.documents.objects
                self._numbers = {
                    name: sorted(int(n) for n in objects.folders(layout.versions(name)) if n.isdigit())
                    for name in objects.folders(layout.MODELS)
                }
            return self._numbers

    def _is_deleted(self, version: VersionId) -> bool:
        # A version that was read and found whole is deleted only by us, so the store is asked once.
        if version in self._deleted:
            return True
        if version not in self._final and self.documents.objects.exists(layout.version_tombstone(version)):
            self._deleted.add(version)
            return True
        return False

    def _read(self, version: VersionId) -> ModelVersion | None:
        try:
            given = self.documents.find(layout.definition(version))
            if given is None:
                return self._read_unclaimed(version)
            return self._read_given(version, interpret(layout.definition(version), given, _whole))
        except DamagedDocument as error:
            log.error("version %s is out of order: %s", version, error.message)
            return ModelVersion(version, _NOTHING, BuildStatus("failed", error.message), None, damaged=True)

    def _read_unclaimed(self, version: VersionId) -> ModelVersion | None:
        """What lies where no version was made: its definition claims the number. None for nothing that looks like a version."""
        objects = self.documents.objects
        if not objects.exists(layout.version_document(version)) and not objects.names(layout.status(version)):
            return None
        key = layout.definition(version)
        raise DamagedDocument(
            f"{key} is missing: something other than this platform has written a version there", field=key
        )

    def _read_given(self, version: VersionId, given: dict[str, Any]) -> ModelVersion:
        folder = layout.status(version)
        last = self.documents.last(folder)
        status = interpret(folder, last, BuildStatus.from_document) if last is not None else BuildStatus("assembling")
        key = layout.version_document(version)
        released = status.state == "released"
        document = read_release(self.documents.objects, version, self._release_key) if released else None
        made = interpret(key, document, Version.from_document) if document is not None else None
        return ModelVersion(version, given, status, made)


def _alias_positions(keys: Iterable[str]) -> dict[str, dict[str, int]]:
    """By model and alias, the number of the last position, of all keys below ``layout.MODELS``."""
    found: dict[str, dict[str, int]] = {}
    for key in keys:
        model, _, rest = key.removeprefix(layout.MODELS).partition("/")
        numbers = found.setdefault(model, {})
        match rest.removesuffix(".json").split("/"):
            case ["aliases", alias, number] if number.isdigit():
                numbers[alias] = max(int(number), numbers.get(alias, 0))
    return found


_NOTHING: Mapping[str, Any] = {"definition": {}, "content": "", "artifact": "", "created": ""}
"""What is known of a version whose documents are damaged."""


def _whole(given: dict[str, Any]) -> dict[str, Any]:
    """The document, if it has what every version's has."""
    if not isinstance(given["definition"], dict):
        raise ValueError("'definition' is not an object")
    for member in ("content", "artifact", "created"):
        given[member]
    return given
