"""The trees of a version's artifact, which is fetched from the store. The only place that loads an artifact.

scikit-learn's estimators are unpickled only where the artifact names nothing but what estimators are made of and brings no code: a job has the store's credentials, which no
model code may have. What is not, cannot be loaded here, or was fitted by another scikit-learn, is asked through the endpoint instead.
"""

import importlib.machinery
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace_functions.attribution.ensembles import Ensemble, NotDirectError
from headrace_functions.errors import HeadraceError
from headrace_functions.runtime import artifact_trees
from headrace_functions.runtime.frameworks import safety
from headrace_functions.storage import layout, members
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

MAX_BYTES = 512 * 1024 * 1024
"""Of an artifact that is loaded."""


def read_trees(objects: ObjectStore, version: Version, place: int | None) -> Ensemble:
    """The trees that give class ``place``, or the value where it is None; ``NotDirectError`` where there are none to be had."""
    if version.framework not in artifact_trees.WITH_TREES:
        raise NotDirectError(f"a model of the framework {version.framework} is a black box")
    key = layout.artifact(version.id)
    if (size := objects.size(key)) > MAX_BYTES:
        raise NotDirectError(f"the artifact has {size:,} bytes, more than {MAX_BYTES:,}")
    with tempfile.TemporaryDirectory(prefix="headrace-artifact-") as folder:
        artifact = Path(folder)
        try:
            _unpack(objects.get(key), artifact)
        except (HeadraceError, OSError, ValueError, EOFError, tarfile.TarError) as error:
            raise NotDirectError(f"the artifact cannot be loaded here: {error}") from error
        return artifact_trees.read(
            artifact, version.framework, version.options, place, lambda: _unpickled(artifact, version)
        )


def _unpickled(artifact: Path, version: Version) -> Any:
    # scikit-learn takes two seconds, which only a window's explanation needs
    from headrace_functions.runtime.frameworks import sklearn

    _refuse_code(artifact, version)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # another version's estimator may mean something else
            return sklearn.load(artifact, version.options)
    except Exception as error:  # unpickling runs foreign code; whatever it raises, the endpoint is asked
        raise NotDirectError(f"the artifact cannot be loaded here: {error}") from error


def _refuse_code(artifact: Path, version: Version) -> None:
    """``NotDirectError`` for an artifact that would run something of its own here; what its definition allows counts for its function alone."""
    suffixes = tuple(importlib.machinery.all_suffixes())
    code = next((p.name for p in artifact.rglob("*") if p.name.endswith(suffixes)), None)
    if code is not None:
        raise NotDirectError(f"the artifact brings code of its own: {code}")
    try:
        safety.check("sklearn", artifact, version.options, ())
    except HeadraceError as error:
        raise NotDirectError(f"the artifact is not loaded here: {error.message}") from error


def _unpack(archive: bytes, folder: Path) -> None:
    # Not ``storage.unpacking``: this environment has no zstandard but Arrow's, and builds have checked the archive.
    with pa.CompressedInputStream(pa.BufferReader(archive), "zstd") as plain:
        members.extract(plain, folder)
