"""The environments of the analysis jobs, from the locks that are shipped with the platform; built on first use."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Literal

import headrace_controller
import headrace_functions
from headrace_controller.childprocess import Log
from headrace_controller.environments.virtual import VirtualEnvironments
from headrace_functions.errors import NotFound

Engine = Literal["native", "alibi"]
_LOCKS: dict[str, str] = {"native": "jobs", "alibi": "jobs-alibi"}


def functions_package() -> Path:
    return package_folder(headrace_functions.__name__)


def package_folder(name: str) -> Path:
    """Where one of our packages is installed; it is found, not imported (``headrace_jobs`` needs libraries we do not have)."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(f"the package {name} is not installed", hint="install headrace again")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def shipped(folder: str) -> Path:
    """A folder that comes with the platform: beside the packages in a checkout, inside this package in a wheel."""
    package = package_folder(headrace_controller.__name__)
    for candidate in (package / f"_{folder}", package.parents[1] / folder):
        if candidate.is_dir():
            return candidate
    raise NotFound(f"the folder {folder!r} that comes with headrace is missing", hint="install headrace again")


class JobEnvironments:
    """``<home>/environments/jobs`` for the native engine, ``jobs-alibi`` for Alibi Detect."""

    def __init__(self, environments: VirtualEnvironments) -> None:
        self._environments = environments

    def python(self, engine: Engine, log: Log) -> Path:
        """The Python that runs jobs of an engine, its environment built now if it is not there."""
        name = _LOCKS[engine]
        lock = (shipped("requirements") / f"{name}.txt").read_text()
        digest = hashlib.sha256(lock.encode()).hexdigest()
        packages = [functions_package(), package_folder("headrace_jobs")]
        return self._environments.ensure(name, lock, digest, packages, log)
