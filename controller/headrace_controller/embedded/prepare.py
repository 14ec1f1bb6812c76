"""Environment and artifact of a version on this machine, made from the store where they are missing."""

import logging
from pathlib import Path

import orjson

from headrace_controller import archive
from headrace_controller.backends.local.launcher import Prepared
from headrace_controller.environments.named import functions_package
from headrace_controller.environments.virtual import VirtualEnvironments
from headrace_controller.settings import Settings
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

log = logging.getLogger("headrace.prepare")


class Preparation:
    """After a build everything is in place and this costs two looks at the disk; on a new machine it is made again."""

    def __init__(self, settings: Settings, objects: ObjectStore) -> None:
        self._settings = settings
        self._objects = objects
        self._environments = VirtualEnvironments(settings.environments)
        self._done: dict[str, Prepared] = {}

    def prepare(self, version: Version) -> Prepared:
        known = self._done.get(version.id.service)
        if known is not None and known.artifact.is_dir() and known.python.exists():
            return known
        python = self._environment(version.environment)
        artifact = self._settings.artifacts / version.artifact
        if not artifact.is_dir():
            archive.unpack_once(self._objects.get(layout.artifact(version.id)), artifact)
        prepared = Prepared(python, artifact, self._document(version))
        self._done[version.id.service] = prepared
        return prepared

    def _environment(self, key: str) -> Path:
        lock_text = (
            ""
            if self._environments.ready(key, key)
            else self._objects.get(layout.environment(key) + "lock.txt").decode()
        )
        return self._environments.ensure(key, lock_text, key, [functions_package()], log.info)

    def _document(self, version: Version) -> Path:
        """``version.json`` as a file beside the artifact's folder, where the store is no directory."""
        directory = self._objects.directory
        if directory is not None:
            return directory / layout.version_document(version.id)
        copy = self._settings.artifacts / f"{version.id.service}.json"
        copy.write_bytes(orjson.dumps(version.to_document()))
        return copy
