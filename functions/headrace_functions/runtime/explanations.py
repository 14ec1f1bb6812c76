"""Why a row has its answer, said with the answer: exact Shapley values of trees and linear models, in milliseconds and without a further question.

They are read from the model that answers (``artifact_trees``, ``attribution.linear``), and believed only where they add up to its own answer. Other models are explained by
asking them about many rows, which is the business of ``headrace explain`` and no part of a request.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.attribution.ensembles import SAME, UNITS, Link, NotDirectError
from headrace_functions.attribution.features import features_of
from headrace_functions.attribution.linear import last_step, linear
from headrace_functions.attribution.matrices import in_order, places
from headrace_functions.attribution.outcome import Outcome, choose
from headrace_functions.attribution.single import LeafTable
from headrace_functions.errors import InvalidInput, TooLarge
from headrace_functions.runtime import artifact_trees
from headrace_functions.signature import Tensors
from headrace_functions.version import Version
from headrace_functions.views import Array

MAX_ROWS = 100
"""Rows of one request that are explained."""
MAX_TABLES = 16
"""Outputs whose leaves are kept laid out; of a classifier each class is one."""

Explanation = dict[str, Any]
"""``output`` that is explained, its ``unit``, ``base`` (what training rows give in the mean), ``answer`` (``base`` plus all values) and ``values`` by feature, the largest first."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """One output of a version as a sum over its features. ``values`` takes a row of the model's features in its order."""

    names: tuple[str, ...] | None
    features: int
    base: float
    link: Link
    close: float
    values: Callable[[Array], Array]

    def answer(self, total: float) -> float:
        """What the model answers where ``base`` and all values come to ``total``."""
        if self.link == "logit":
            return float(1 / (1 + np.exp(-total)))
        return float(np.exp(total)) if self.link == "log" else total


class Explainer:
    """Explains answers of one loaded version. For several threads."""

    def __init__(self, version: Version, artifact: Path, model: Any) -> None:
        self._version = version
        self._artifact = artifact
        self._model = model
        self._sums: dict[int | None, _Sum] = {}
        self._lock = threading.Lock()

    def explain(self, tensors: Tensors, outputs: Tensors) -> list[Explanation]:
        """An explanation for each row of checked inputs and the answers to them.

        ``TooLarge`` for more than ``MAX_ROWS`` rows, ``InvalidInput`` where the model is none that can be taken apart.
        """
        rows, answers = self._rows(tensors), self._by_row(outputs)
        if len(rows) > MAX_ROWS:
            raise TooLarge(
                "the request asks for too many explanations",
                field="explain",
                expected=f"at most {MAX_ROWS} rows per request",
                got=f"{len(rows)} rows",
            )
        try:
            return [
                self._one(rows[i : i + 1], {name: a[i : i + 1] for name, a in answers.items()})
                for i in range(len(rows))
            ]
        except (NotDirectError, ValueError) as error:
            raise InvalidInput(
                f"{self._version.id} cannot be explained within a request: {error}",
                field="explain",
                expected="scikit-learn's trees, forests, gradient boosting of one sum of trees and linear models, also behind scalers; XGBoost; LightGBM",
                hint=f"headrace explain {self._version.id} explains any model by calling it with many rows",
            ) from error

    def _one(self, row: Array, answer: Tensors) -> Explanation:
        signature = self._version.signature
        outcome = choose(signature, answer)
        found = self._sum(outcome)
        x = in_order(signature, found, row)[0]
        values = found.values(x)
        whole = found.base + float(values.sum())
        given = float(outcome.of(answer)[0])
        apart = abs(found.answer(whole) - given) / max(abs(given), 1.0)
        if not apart <= found.close:
            raise NotDirectError(f"what it is made of differs from its answer by {apart:.3g}")
        names = [feature.name for feature in features_of(signature)]
        sources = places(signature, found)
        order = np.argsort(-np.abs(values), kind="stable")
        return {
            "output": outcome.name,
            "unit": UNITS[found.link],
            "base": found.base,
            "answer": whole,
            "values": {names[sources[i]]: float(values[i]) for i in order},
        }

    def _sum(self, outcome: Outcome) -> _Sum:
        if outcome.answer is not None:
            raise NotDirectError("a category is no sum")
        with self._lock:
            known = self._sums.get(outcome.place)
            if known is None:
                if len(self._sums) >= MAX_TABLES:
                    self._sums.clear()
                known = self._sums[outcome.place] = self._taken_apart(outcome.place)
            return known

    def _taken_apart(self, place: int | None) -> _Sum:
        version = self._version
        step = last_step(self._model) if version.framework == "sklearn" else None
        if step is not None and (found := linear(step, place)) is not None:
            of_row = found.values
            return _Sum(
                step.names, step.features, found.base, found.link, SAME, lambda x: of_row(step.transform(x[None])[0])
            )
        trees = artifact_trees.read(
            self._artifact, version.framework, version.options, place, lambda: step.estimator if step else self._model
        )
        table = LeafTable(trees)
        names = step.names if step is not None and step.names is not None else trees.names

        def values(x: Array) -> Array:
            row = x[None] if step is None else step.transform(x[None])
            return table.values(trees.seen(row)[0])

        return _Sum(names, trees.features, table.base + trees.offset, trees.link, trees.close, values)

    def _rows(self, tensors: Tensors) -> Array:
        columns = self._by_row(tensors)
        fields = self._version.signature.inputs
        return np.hstack([columns[f.name].reshape(-1, f.size or 1).astype(object) for f in fields])

    def _by_row(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: np.asarray(a) if self._version.batch else np.asarray(a)[np.newaxis] for name, a in tensors.items()
        }
