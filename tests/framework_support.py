"""What tests of frameworks share: a table, and loading what was fitted on it."""

from typing import Any

from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.loading import LoadedFunction, bind
from headrace_functions.signature import Field, Signature

X, Y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X.iloc[:, :3]
ROWS = X.to_numpy()
NAMES = tuple(X.columns)
MIXED = X.assign(plan=["a", "b"] * 284 + ["a"])


def mixed_pipeline() -> Any:
    columns = make_column_transformer(
        (StandardScaler(), list(NAMES)), (OneHotEncoder(handle_unknown="ignore"), ["plan"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(MIXED, Y)


def loaded(
    model: Any, outputs: tuple[Field, ...] | None = None, inputs: tuple[Field, ...] | None = None, batch: bool = True
) -> LoadedFunction:
    framework = find("sklearn")
    said = framework.describe(model, {})
    signature = Signature(inputs or said.inputs or (), outputs or said.outputs or ())
    return bind(framework, model, {}, signature, batch=batch)


def columns(frame: Any) -> dict[str, Any]:
    return {str(n): frame[n].to_numpy() for n in frame.columns}
