"""Where the platform's own packages and the folders that come with them are on this machine."""

import importlib.util
from pathlib import Path

from headrace_functions.errors import NotFound


def package_folder(name: str) -> Path:
    """Where one of our packages is installed; it is found, not imported (``headrace_jobs`` needs libraries we do not have)."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(f"the package {name} is not installed", hint="install headrace again")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def shipped(folder: str) -> Path:
    """A folder that comes with the platform: beside the packages in a checkout, inside this package in a wheel."""
    package = package_folder("headrace_controller")
    for candidate in (package / f"_{folder}", package.parents[1] / folder):
        if candidate.is_dir():
            return candidate
    raise NotFound(f"the folder {folder!r} that comes with headrace is missing", hint="install headrace again")
