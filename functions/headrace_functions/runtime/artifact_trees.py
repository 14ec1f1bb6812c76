"""The trees of an unpacked artifact: scikit-learn's own, LightGBM's and XGBoost's.

A pickle with a booster of those two is read without running it (``pickles``): the booster is a text, or bytes, in it. scikit-learn's estimators have
to be loaded, which runs what the artifact says; how, the caller gives.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headrace_functions.attribution import lightgbm, xgboost
from headrace_functions.attribution.ensembles import Ensemble, NotDirectError
from headrace_functions.attribution.estimators import ensemble
from headrace_functions.errors import HeadraceError
from headrace_functions.runtime.frameworks.model_files import LIGHTGBM, XGBOOST, only_file
from headrace_functions.runtime.frameworks.needs import model_file
from headrace_functions.runtime.frameworks.pickles import Inert, UnreadablePickleError, contents
from headrace_functions.runtime.frameworks.port import Options

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


def read(artifact: Path, framework: str, options: Options, place: int | None, estimator: Callable[[], Any]) -> Ensemble:
    """The trees that give class ``place``, or the value where it is None; ``NotDirectError`` where there are none to be had.

    ``estimator`` gives the unpickled estimator of a scikit-learn artifact, and is asked for no other.
    """
    if framework not in WITH_TREES:
        raise NotDirectError(f"a model of the framework {framework} is a black box")
    try:
        if framework in NATIVE:
            return _native(framework, only_file(artifact, options, NATIVE[framework]).read_bytes(), place)
        path = model_file(artifact, options)
    except (HeadraceError, OSError) as error:
        raise NotDirectError(f"the artifact cannot be loaded here: {error}") from error
    found = _booster(_contents(path))
    return _grown(found, place) if found is not None else ensemble(estimator(), place)


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
