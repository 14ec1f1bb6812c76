"""What a build needs on this machine: the environment made and the artifact unpacked, each once."""

from collections.abc import Callable
from pathlib import Path

from headrace_controller import archive
from headrace_controller.child_processes import Log
from headrace_controller.environments.named import functions_package
from headrace_controller.environments.resolution import Lock, Resolver
from headrace_controller.environments.virtual import VirtualEnvironments
from headrace_functions.storage.documents import Documents


class Provisioning:
    """``environments`` and ``artifacts`` are folders of the home; both hold only what can be made again from the store."""

    def __init__(self, documents: Documents, environments: Path, artifacts: Path) -> None:
        self._resolver = Resolver(documents)
        self._artifacts = artifacts
        self.environments = VirtualEnvironments(environments)

    def resolve(self, requirements: list[str], log: Log) -> Lock:
        return self._resolver.resolve(requirements, log)

    def python(self, environment: str, log: Log) -> Path:
        """The Python of an environment by its key; built from the lock in the store if this machine has not got it."""
        if not self.environments.ready(environment, environment):
            lock = self._resolver.lock(environment)
            return self.environments.ensure(environment, lock.text, environment, [functions_package()], log)
        return self.environments.ensure(environment, "", environment, [functions_package()], log)

    def artifact(self, digest: str, fetch: Callable[[], bytes | Path]) -> Path:
        """The folder of an artifact by its SHA-256; ``fetch`` gives the archive if this machine has not unpacked it."""
        folder = self._artifacts / digest
        return folder if folder.is_dir() else archive.unpack_once(fetch(), folder)
