"""The trees of a version's artifact: scikit-learn's own, LightGBM's and XGBoost's. The only place that loads an artifact.

A pickle with a booster of those two is read without running it (``pickles``): the booster is a text, or bytes, in it. scikit-learn's estimators are unpickled only
where the artifact names nothing but what estimators are made of and brings no code: a job has the store's credentials, which no model code may
have. What is not, cannot be loaded here, or was fitted by another scikit-learn, is asked through the endpoint instead.
"""

import importlib.machinery
import tarfile
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace_functions.errors import HeadraceError
from headrace_functions.runtime.frameworks import safety
from headrace_functions.runtime.frameworks.model_files import LIGHTGBM, XGBOOST, only_file
from headrace_functions.runtime.frameworks.needs import model_file
from headrace_functions.runtime.frameworks.pickles import Inert, UnreadablePickleError, contents
from headrace_functions.storage import layout, members
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.attribution import lightgbm, xgboost
from headrace_jobs.attribution.ensembles import Ensemble, NotDirectError
from headrace_jobs.attribution.estimators import ensemble

MAX_BYTES = 512 * 1024 * 1024
"""Of an artifact that is loaded."""
BOOSTERS = ("lightgbm.basic.Booster", "xgboost.core.Booster")
NATIVE = {"xgboost": XGBOOST, "lightgbm": LIGHTGBM}
"""Frameworks whose artifacts are boosters' own files, and how these end."""
WITH_TREES = ("sklearn", *NATIVE)
"""Frameworks whose artifacts may hold trees that are read here."""
WRITTEN = ("handle", "_handle")  # members of a pickled booster that it is written in, as text or bytes
WRAPPERS = (
    "lightgbm.",
    "xgboost.",
    "sklearn.preprocessing._label.LabelEncoder",
)  # what a booster's own estimator is made of
LIBRARIES = ("lightgbm.", "sklearn.", "xgboost.")


def read_trees(objects: ObjectStore, version: Version, place: int | None) -> Ensemble:
    """The trees that give class ``place``, or the value where it is None; ``NotDirectError`` where there are none to be had."""
    if version.framework not in WITH_TREES:
        raise NotDirectError(f"a model of the framework {version.framework} is a black box")
    key = layout.artifact(version.id)
    if (size := objects.size(key)) > MAX_BYTES:
        raise NotDirectError(f"the artifact has {size:,} bytes, more than {MAX_BYTES:,}")
    with tempfile.TemporaryDirectory(prefix="headrace-artifact-") as folder:
        artifact = Path(folder)
        try:
            _unpack(objects.get(key), artifact)
            if version.framework in NATIVE:
                data = only_file(artifact, version.options, NATIVE[version.framework]).read_bytes()
                return _native(version.framework, data, place)
            path = model_file(artifact, version.options)
        except (HeadraceError, OSError, ValueError, EOFError, tarfile.TarError) as error:
            raise NotDirectError(f"the artifact cannot be loaded here: {error}") from error
        found = _booster(_contents(path))
        if found is not None:
            return _grown(found, place)
        return ensemble(_unpickled(artifact, version), place)


def _native(framework: str, data: bytes, place: int | None) -> Ensemble:
    """The trees of a booster's own file."""
    if framework == "xgboost":
        return xgboost.booster(data, place)
    return lightgbm.booster(data.decode("utf-8", "replace"), place)


def _contents(path: Path) -> list[Inert]:
    try:
        return contents(path)
    except UnreadablePickleError:
        return []  # loading it will say what is wrong


def _booster(found: Sequence[Inert]) -> Inert | None:
    """The pickle's one booster; None where it holds none."""
    boosters = [o for o in found if o.path in BOOSTERS and o.state]
    if not boosters:
        return None
    others = [o.path for o in found if o.path.startswith(LIBRARIES) and not o.path.startswith(WRAPPERS)]
    if others or len(boosters) > 1:
        raise NotDirectError(f"its booster is a part of {others[0] if others else 'several'}")
    return boosters[0]


def _grown(found: Inert, place: int | None) -> Ensemble:
    written = next((found.state[name] for name in WRITTEN if isinstance(found.state.get(name), str | bytearray)), None)
    if isinstance(written, bytearray):
        return xgboost.booster(bytes(written), place)
    if written is None:
        raise NotDirectError("its booster is written in a form that is not known here")
    best = found.state.get("best_iteration")
    return lightgbm.booster(written, place, best if isinstance(best, int) else 0)


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
