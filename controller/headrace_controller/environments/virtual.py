"""The virtual environment of a lock: built once a machine, whole or not at all, shared by every version with that lock."""

import fcntl
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headrace_controller.child_processes import Log
from headrace_controller.environments import pytorch, tool
from headrace_functions.errors import StorageFailed

TIMEOUT = 1800.0  # seconds that uv may take to download and install
_READY = ".ready"  # holds the digest of the lock that was installed


def python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


class VirtualEnvironments:
    """Environments below one folder, ``<home>/environments``, each with our packages linked in.

    Our own packages are symbolic links, so an environment runs the code of the platform that uses it and is not built anew
    for each release. Third-party packages are hard links into uv's cache where the file system allows. It keeps the Python that it
    was built of, also under a platform that runs on a later one; if that Python is gone, it is built anew of what is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def ready(self, name: str, digest: str) -> bool:
        marker = self.path(name) / _READY
        return marker.is_file() and marker.read_text() == digest and python_of(self.path(name)).exists()

    def ensure(
        self,
        name: str,
        lock_text: str,
        digest: str,
        packages: Sequence[Path],
        log: Log,
        interpreter: Callable[[], str] = lambda: sys.executable,
    ) -> Path:
        """The Python of the environment ``name``, built now if it is not there. Builds of one name wait for each other.

        ``interpreter`` tells of which Python it is built. Raises ``InvalidInput`` with uv's words where a package cannot be installed.
        """
        if not self.ready(name, digest):
            with self._locked(name):
                if not self.ready(name, digest):
                    self._build(name, lock_text, digest, log, interpreter())
        _link(self.path(name), packages)
        return python_of(self.path(name))

    def _build(self, name: str, lock_text: str, digest: str, log: Log, interpreter: str) -> None:
        staging = self.folder / f".{name}.building"
        shutil.rmtree(staging, ignore_errors=True)  # what a build that was killed left
        try:
            # Relocatable, because it is built beside its place and moved there when it is whole.
            create = ["venv", "--quiet", "--relocatable", "--python", interpreter, str(staging)]
            tool.run(create, log, folder=self.folder, timeout=TIMEOUT)
            lock = staging / "lock.txt"
            lock.write_text(lock_text)
            install = ["pip", "install", "--python", str(python_of(staging)), "--no-deps", "--requirements", str(lock)]
            install += pytorch.installing(lock_text)
            tool.run(install, log, folder=self.folder, timeout=TIMEOUT)
            (staging / _READY).write_text(digest)
            shutil.rmtree(self.path(name), ignore_errors=True)  # an older lock of the same name
            staging.rename(self.path(name))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        log(f"environment {name} is built")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / f".{name}.lock").open("w")
        except OSError as error:
            raise StorageFailed(
                f"environments cannot be built in {self.folder}: {error.strerror}",
                hint="check the permissions of the home directory",
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _link(environment: Path, packages: Sequence[Path]) -> None:
    """Point ``site-packages/<package>`` at our packages; a link to elsewhere (an older install) is replaced at once."""
    site = next((environment / "lib").glob("python3.*/site-packages"))
    for package in packages:
        link = site / package.name
        if link.is_symlink() and link.readlink() == package:
            continue
        fresh = site / f".{package.name}.{uuid.uuid4().hex}"  # threads of one process link at the same time
        fresh.symlink_to(package, target_is_directory=True)
        fresh.replace(link)
