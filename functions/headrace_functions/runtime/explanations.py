"""Why a row has its answer, said with the answer: exact Shapley values of models that are trees, in milliseconds and without a further question.

They are read from the model that answers (``artifact_trees``), and believed only where they add up to its own answer. Other models are explained by
asking them about many rows, which is the business of ``headrace explain`` and no part of a request.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.attribution.ensembles import UNITS, Ensemble, NotDirectError
from headrace_functions.attribution.features import features_of
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


class Explainer:
    """Explains answers of one loaded version. For several threads."""

    def __init__(self, version: Version, artifact: Path, model: Any) -> None:
        self._version = version
        self._artifact = artifact
        self._model = model
        self._tables: dict[int | None, tuple[Ensemble, LeafTable]] = {}
        self._lock = threading.Lock()

    def explain(self, tensors: Tensors, outputs: Tensors) -> list[Explanation]:
        """An explanation for each row of checked inputs and the answers to them.

        ``TooLarge`` for more than ``MAX_ROWS`` rows, ``InvalidInput`` where the model is not made of trees that can be read.
        """
        rows, answers = self._rows(tensors), self._by_row(outputs)
        if len(rows) > MAX_ROWS:
            raise TooLarge(
                "the request asks for too many explanations",
                field="explain",
                expected=f"at most {MAX_ROWS} rows a request",
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
                expected="a model of trees: scikit-learn's trees and forests, gradient boosting of one sum of trees, XGBoost, LightGBM",
                hint=f"headrace explain {self._version.id} explains any model by asking it about many rows",
            ) from error

    def _one(self, row: Array, answer: Tensors) -> Explanation:
        outcome = choose(self._version.signature, answer)
        found, table = self._table(outcome)
        x = in_order(self._version.signature, found, row)[0]
        values = table.values(x)
        whole = table.base + float(values.sum())
        given = float(outcome.of(answer)[0])
        apart = abs(float(found.answer(np.array([whole]))[0]) - given) / max(abs(given), 1.0)
        if not apart <= found.close:
            raise NotDirectError(f"its trees differ from its answer by {apart:.3g}")
        names = [feature.name for feature in features_of(self._version.signature)]
        order = np.argsort(-np.abs(values), kind="stable")
        sources = places(self._version.signature, found)
        return {
            "output": outcome.name,
            "unit": UNITS[found.link],
            "base": table.base + found.offset,
            "answer": whole + found.offset,
            "values": {names[sources[i]]: float(values[i]) for i in order},
        }

    def _table(self, outcome: Outcome) -> tuple[Ensemble, LeafTable]:
        if outcome.answer is not None:
            raise NotDirectError("a category is no sum of trees")
        with self._lock:
            known = self._tables.get(outcome.place)
            if known is None:
                version = self._version
                found = artifact_trees.read(
                    self._artifact, version.framework, version.options, outcome.place, lambda: self._model
                )
                known = found, LeafTable(found)
                if len(self._tables) >= MAX_TABLES:
                    self._tables.clear()
                self._tables[outcome.place] = known
            return known

    def _rows(self, tensors: Tensors) -> Array:
        columns = self._by_row(tensors)
        fields = self._version.signature.inputs
        return np.hstack([columns[f.name].reshape(-1, f.size or 1).astype(object) for f in fields])

    def _by_row(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: np.asarray(a) if self._version.batch else np.asarray(a)[np.newaxis] for name, a in tensors.items()
        }
