"""Builds: a definition and its files become a version, released or failed, never half done.

A build that is not over has a folder below ``<home>/builds``. What is found there at the start of the platform was cut
short by a crash, so its version is marked failed.
"""

import logging
import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from headrace_controller import clock
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.definitions import ModelDefinition
from headrace_controller.service import buildlog, precheck
from headrace_controller.service.assembly import Assembly, Given, content_digest
from headrace_controller.service.buildlog import BuildLog
from headrace_controller.service.services import Services
from headrace_functions.errors import HeadraceError, StorageFailed
from headrace_functions.names import VersionId

CONCURRENT_BUILDS = 2
INTERRUPTED = "the platform stopped while this version was built; apply it again"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submitted:
    version: VersionId
    created: bool
    """False where the same content is a version already."""


class Builds:
    def __init__(self, catalog: Catalog, assembly: Assembly, services: Services, folder: Path, logs: Path) -> None:
        self._catalog = catalog
        self._assembly = assembly
        self._services = services
        self._folder = folder
        self._logs = logs
        self._slots = threading.BoundedSemaphore(CONCURRENT_BUILDS)
        self._claiming = threading.Lock()
        self._over = threading.Condition()
        self._listeners: list[Callable[[VersionId], None]] = []

    def on_release(self, listener: Callable[[VersionId], None]) -> None:
        """Be told of each version that a build has released, in the build's thread."""
        self._listeners.append(listener)

    def new_folder(self) -> Path:
        """A folder for the files of one submission; ``submit`` takes it over."""
        folder = self._folder / uuid.uuid4().hex
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StorageFailed(
                f"builds need a folder in {self._folder}: {error.strerror}", hint="check the home directory"
            ) from error
        return folder

    def submit(self, definition: ModelDefinition, given: Given) -> Submitted:
        """Start the build of a definition, or find the version that has the same content.

        ``given.folder`` comes from ``new_folder`` and is removed when the build is over.
        """
        precheck.check(definition, given)
        self._catalog.claim_name(definition.name, "model")
        content = content_digest(definition, given)
        with self._claiming:  # two appliers of the same content share one version
            same = self._same_content(definition.name, content)
            if same is not None:
                shutil.rmtree(given.folder, ignore_errors=True)
                return Submitted(same, created=False)
            (given.folder / "model").write_text(definition.name)
            version = self._catalog.claim_version(definition.name, _claim(definition, given, content))
        self._catalog.add_status(version, "assembling")
        threading.Thread(
            target=self._build, args=(version, definition, given), name=f"build {version}", daemon=True
        ).start()
        return Submitted(version, created=True)

    def recover(self, *, home_lost: bool = False) -> list[VersionId]:
        """Mark failed what a crash interrupted; called once at start, before the first ``submit``.

        With ``home_lost`` every build that is not over counts as interrupted, for the folder does not tell which were ours.
        """
        interrupted = []
        models = {m.read_text() for m in self._folder.glob("*/model")} if not home_lost else self._catalog.models()
        for model in sorted(models):
            for found in self._catalog.versions(model):
                if found.state == "assembling":
                    self._catalog.add_status(found.id, "failed", INTERRUPTED)
                    interrupted.append(found.id)
        shutil.rmtree(self._folder, ignore_errors=True)
        return interrupted

    def log(self, version: VersionId, offset: int = 0) -> buildlog.Part:
        """The build log from byte ``offset`` on; poll until it is ``done``."""
        done = self._catalog.get(version).state != "assembling"
        return buildlog.read(self._logs, self._catalog.documents.objects, version, max(0, offset), done=done)

    def wait(self, version: VersionId, timeout: float) -> bool:
        """Wait until the build is over; False where it still runs after ``timeout`` seconds."""
        with self._over:
            return self._over.wait_for(lambda: self._catalog.get(version).state != "assembling", timeout)

    def _same_content(self, model: str, content: str) -> VersionId | None:
        versions = self._catalog.versions(model)
        return next((v.id for v in versions if v.given["content"] == content and v.state != "failed"), None)

    def _build(self, version: VersionId, definition: ModelDefinition, given: Given) -> None:
        log = BuildLog(buildlog.log_file(self._logs, version))
        try:
            with self._slots:
                reason = self._run(version, definition, given, log)
            log(f"{version} is released" if not reason else f"{version} failed: {reason}")
            log.store(self._catalog.documents.objects, version)
            self._catalog.add_status(version, "failed" if reason else "released", reason)
            log.file.unlink(missing_ok=True)
            shutil.rmtree(given.folder, ignore_errors=True)
        except (HeadraceError, OSError) as error:
            _log.exception("build of %s could not be finished", version)
            self._give_up(version, error)
        with self._over:
            self._over.notify_all()
        self._services.changed(version.model)
        built = self._catalog.find(version)  # None where it was deleted meanwhile
        if built is not None and built.released:
            for listener in self._listeners:
                listener(version)

    def _give_up(self, version: VersionId, error: Exception) -> None:
        """The home is full or the store away: say so in the store if it still takes a document, else at the next start."""
        try:
            self._catalog.add_status(version, "failed", f"the build could not be finished: {error}")
        except HeadraceError:
            _log.exception("%s stays assembling until the next start", version)

    def _run(self, version: VersionId, definition: ModelDefinition, given: Given, log: BuildLog) -> str:
        """Why the build failed, empty where it did not."""
        try:
            self._catalog.write_version(self._assembly.assemble(version, definition, given, log))
        except HeadraceError as error:
            for key, value in error.details().items():
                log(f"{key}: {value}")
            return f"{error.message} ({error.hint})" if error.hint else error.message
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave the version assembling for ever
            _log.exception("build of %s", version)
            return f"internal error: {type(error).__name__}: {error}"
        return ""


def _claim(definition: ModelDefinition, given: Given, content: str) -> dict[str, Any]:
    return {
        "definition": orjson.loads(orjson.dumps(definition.to_document())),
        "content": content,
        "artifact": given.payload_digest,
        "training": given.training.name if given.training else None,
        "created": clock.now(),
    }
