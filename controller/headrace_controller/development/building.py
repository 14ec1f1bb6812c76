"""What a definition would be as a version: signature, profile and environment by the steps of a real build."""

import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from headrace_controller import archive
from headrace_controller.child_processes import Log
from headrace_controller.definitions import ModelDefinition, Source, read
from headrace_controller.projects.packaging import package
from headrace_controller.service.assembly import Assembly, Given
from headrace_controller.service.localroom import LocalBuildRoom
from headrace_controller.service.probing import RuntimeProbe
from headrace_controller.service.provisioning import Provisioning
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

NUMBER = 1
"""What is served is nobody's version; functions want a number."""


@dataclass(frozen=True, slots=True)
class Built:
    version: Version
    document: Path
    """Its ``version.json``."""
    artifact: Path
    python: Path
    profile: Profile | None


def definition_of(path: Path, name: str | None = None) -> tuple[ModelDefinition, Source]:
    """The one model of a file or folder, or the one called ``name``."""
    models = [(d, s) for d, s in read(str(path)) if isinstance(d, ModelDefinition) and name in (None, d.name)]
    if len(models) != 1:
        raise InvalidInput(
            f"{path} has {len(models)} models{f' called {name}' if name else ''}; only one can be served at a time",
            field="file",
            expected="one kind: Model",
            got=", ".join(d.name for d, _ in models) or "none",
            hint="name it with --model" if models else None,
        )
    return models[0]


class Bench:
    """Builds again and again. ``work`` is a folder that is thrown away; ``environments`` are the home's, so that they are there for ``apply``."""

    def __init__(self, work: Path, environments: Path) -> None:
        self._work = work
        self._documents = Documents(ObjectStore(str(work / "store")))
        self._provisioning = Provisioning(self._documents, environments, work / "artifacts")
        self._building = threading.Lock()
        self._builds = 0

    def build(self, path: Path, name: str | None, log: Log) -> Built:
        """Everything anew; a ``HeadraceError`` says what to correct. One at a time: who gives up on one does not end it."""
        with self._building:
            return self._build(path, name, log)

    def _build(self, path: Path, name: str | None, log: Log) -> Built:
        definition, source = definition_of(path, name)
        if definition.external is not None:
            raise InvalidInput("external: a model that runs elsewhere cannot be reloaded", field="external")
        if definition.container is not None:
            raise InvalidInput("container: a model in an image cannot be reloaded", field="container")
        self._builds += 1
        store = Documents(ObjectStore(str(self._work / f"build-{self._builds}")))
        room = LocalBuildRoom(self._provisioning, RuntimeProbe())
        with tempfile.TemporaryDirectory(dir=self._work) as made:
            folder = Path(made)
            packed = package(definition, source, folder, log)
            digests = {packed.training: archive.digest(packed.training)} if packed.training else {}
            given = Given(
                folder, packed.payload, archive.digest(packed.payload), packed.training, packed.sample, digests
            )
            it = VersionId(definition.name, NUMBER)
            version = Assembly(store, room).assemble(it, packed.definition, given, log)
        profile = store.find(layout.profile(it)) if version.training else None
        return Built(
            version,
            self._written(version),
            self._provisioning.artifact(version.artifact, lambda: b""),
            self._provisioning.python(version.environment, log),
            Profile.from_document(profile) if profile is not None else None,
        )

    def repacked(self, built: Built, path: Path, name: str | None) -> Built:
        """The same with the payload as it is now: signature, environment and profile stay."""
        definition, source = definition_of(path, name)
        with tempfile.TemporaryDirectory(dir=self._work) as made:
            packed = Path(made) / "payload.tar.zst"
            digest = archive.pack(definition.payload, source.folder, packed)
            artifact = self._provisioning.artifact(digest, lambda: packed)
        return replace(built, version=replace(built.version, artifact=digest), artifact=artifact)

    def _written(self, version: Version) -> Path:
        file = self._work / f"version-{self._builds}.json"
        document: dict[str, Any] = version.to_document()
        file.write_bytes(orjson.dumps(document))
        return file
