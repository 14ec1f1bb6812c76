"""What pods spare at their start: nothing that serves asks for it, and models answer as they do without."""

import importlib
import subprocess
import sys
import types

import pytest

from headrace_functions.runtime import deferred_modules

ESTIMATORS = (
    "calibration",
    "cluster",
    "compose",
    "covariance",
    "cross_decomposition",
    "decomposition",
    "discriminant_analysis",
    "dummy",
    "ensemble",
    "feature_extraction.text",
    "feature_selection",
    "gaussian_process",
    "impute",
    "isotonic",
    "kernel_approximation",
    "kernel_ridge",
    "linear_model",
    "manifold",
    "mixture",
    "model_selection",
    "multiclass",
    "multioutput",
    "naive_bayes",
    "neighbors",
    "neural_network",
    "pipeline",
    "preprocessing",
    "random_projection",
    "semi_supervised",
    "svm",
    "tree",
)
"""Every package of scikit-learn that holds estimators."""

ANSWERS = """
import hashlib, sys, warnings
from headrace_functions.runtime import lazy_imports, deferred_modules
if sys.argv[1] == "spared":
    lazy_imports.allow(deferred_modules.FRAMEWORKS["sklearn"])
with deferred_modules.plain_docstrings("sklearn" if sys.argv[1] == "spared" else "python"):
    from headrace_functions.runtime.frameworks import sklearn as _
import numpy as np
from sklearn import (calibration, covariance, discriminant_analysis, ensemble, feature_selection, gaussian_process, impute, isotonic,
    linear_model, metrics, neighbors, neural_network, preprocessing, svm)
from sklearn.datasets import load_iris
warnings.simplefilter("ignore")
x, y = load_iris(return_X_y=True)
holes = x.copy(); holes[::7, 1] = np.nan
models = [
    calibration.CalibratedClassifierCV(), discriminant_analysis.LinearDiscriminantAnalysis(), ensemble.HistGradientBoostingClassifier(max_iter=5),
    ensemble.RandomForestClassifier(5, random_state=0), ensemble.IsolationForest(n_estimators=5, random_state=0),
    gaussian_process.GaussianProcessClassifier(), linear_model.LogisticRegression(), linear_model.Ridge(positive=True),
    linear_model.QuantileRegressor(solver="highs"), neighbors.KNeighborsClassifier(metric="mahalanobis", metric_params={"V": np.cov(x.T)}),
    neural_network.MLPClassifier((4,), max_iter=20, random_state=0), svm.SVC(), covariance.EllipticEnvelope(random_state=0),
]
changes = [
    feature_selection.SelectKBest(feature_selection.f_classif, k=2), impute.SimpleImputer(strategy="most_frequent"),
    preprocessing.PowerTransformer(), preprocessing.QuantileTransformer(n_quantiles=10), preprocessing.SplineTransformer(),
]
told = [m.fit(x, y).predict(x) for m in models] + [c.fit(x, y).transform(x) for c in changes]
told += [impute.SimpleImputer(strategy="most_frequent").fit_transform(holes), isotonic.IsotonicRegression().fit(x[:, 0], y).predict(x[:, 0])]
told += [metrics.auc([0, 0.5, 1], [0, 0.5, 1]), metrics.roc_auc_score(y == 1, x[:, 1])]
print(hashlib.sha256(b"".join(np.ascontiguousarray(t).tobytes() for t in told)).hexdigest())
"""


def output(code: str, *arguments: str) -> str:
    return subprocess.check_output([sys.executable, "-c", code, *arguments], text=True, timeout=120).strip()


@pytest.mark.parametrize("listed", [deferred_modules.SERVER, *deferred_modules.FRAMEWORKS.values()])
def test_every_module_and_name_of_the_list_is_there(listed: dict[str, tuple[str, ...]]) -> None:
    for module, names in listed.items():
        for name in names:
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_no_estimator_wakes_what_waits() -> None:
    code = f"""
import importlib, sys
from headrace_functions.runtime import lazy_imports, deferred_modules
lazy_imports.allow(deferred_modules.FRAMEWORKS["sklearn"])
from headrace_functions.runtime.frameworks import sklearn as _
for name in {ESTIMATORS}:
    importlib.import_module("sklearn." + name)
print(*sorted(name for name, module in sys.modules.items() if isinstance(module, lazy_imports._StandIn)))
"""
    assert output(code).split() == sorted(deferred_modules.FRAMEWORKS["sklearn"])


def test_models_fit_and_answer_to_the_bit_as_they_do_without() -> None:
    assert output(ANSWERS, "spared") == output(ANSWERS, "whole")


def test_a_server_in_a_pod_imports_no_command_line() -> None:
    code = """
import sys
from headrace_functions.runtime import lazy_imports, deferred_modules
lazy_imports.allow(deferred_modules.SERVER)
import headrace_functions.runtime.process
print("uvicorn.server" in sys.modules, "click" in sys.modules)
"""
    assert output(code) == "True False"


def test_docstrings_of_special_functions_stay_as_they_were_written() -> None:
    code = """
import sys
from headrace_functions.runtime import deferred_modules
with deferred_modules.plain_docstrings(sys.argv[1]):
    import scipy.special
import scipy._lib._array_api as api
print(scipy.special.gammaln.__doc__.split()[0], "Array API" in scipy.special.gammaln.__doc__, api.FunctionDoc.__name__)
"""
    assert output(code, "python").split() == ["gammaln(x,", "True", "FunctionDoc"]
    assert output(code, "sklearn").split() == ["gammaln(x,", "False", "FunctionDoc"]


@pytest.mark.parametrize("there", [None, types.ModuleType("scipy._lib._array_api")])
def test_a_scipy_that_does_not_work_this_way_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, there: types.ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "scipy._lib._array_api", there)  # type: ignore[arg-type]
    with deferred_modules.plain_docstrings("sklearn"):
        pass
    assert not hasattr(there, "FunctionDoc")
