"""The environments of the analysis jobs, from the locks that are shipped with the platform; built on first use."""

import hashlib
from pathlib import Path
from typing import Literal

import headrace_functions
from headrace_controller.child_processes import Log
from headrace_controller.environments.interpreters import interpreter, running
from headrace_controller.environments.virtual import VirtualEnvironments
from headrace_controller.resources import package_folder, shipped
from headrace_functions.errors import InvalidInput

Engine = Literal["native", "alibi"]
_LOCKS: dict[str, str] = {"native": "jobs", "alibi": "jobs-alibi"}
_PYTHONS: dict[Engine, str] = {"native": ">=3.11", "alibi": ">=3.11,<3.13"}
"""Alibi Detect, and the NumPy that it takes, have no wheels for later ones."""


def functions_package() -> Path:
    return package_folder(headrace_functions.__name__)


class JobEnvironments:
    """``<home>/environments/jobs`` for the native engine, ``jobs-alibi`` for Alibi Detect."""

    def __init__(self, environments: VirtualEnvironments) -> None:
        self._environments = environments

    def python(self, engine: Engine, log: Log) -> Path:
        """The Python that runs jobs of an engine, its environment built now if it is not there.

        Raises ``InvalidInput`` where no Python of this machine can run the engine.
        """
        name = _LOCKS[engine]
        lock = (shipped("requirements") / f"{name}.txt").read_text()
        digest = hashlib.sha256(lock.encode()).hexdigest()
        packages = [functions_package(), package_folder("headrace_jobs")]
        return self._environments.ensure(name, lock, digest, packages, log, lambda: python_for(engine))


def python_for(engine: Engine) -> str:
    """The interpreter that an engine's environment is made of; ``InvalidInput`` where this machine has none."""
    versions = _PYTHONS[engine]
    found = interpreter(versions)
    if found is None:
        raise InvalidInput(
            f"engine: {engine} needs a Python {versions}; this platform runs on {running()}, and no other was found",
            field="engine",
            hint="install Python 3.12 as well, or use the engine native",
        )
    return found
