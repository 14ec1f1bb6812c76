"""The environments of the analysis jobs, from the locks that are shipped with the platform; built on first use."""

import hashlib
from pathlib import Path
from typing import Literal

import headrace_functions
from headrace_controller.childprocess import Log
from headrace_controller.environments.virtual import VirtualEnvironments
from headrace_controller.shipped import package_folder, shipped

Engine = Literal["native", "alibi"]
_LOCKS: dict[str, str] = {"native": "jobs", "alibi": "jobs-alibi"}


def functions_package() -> Path:
    return package_folder(headrace_functions.__name__)


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
