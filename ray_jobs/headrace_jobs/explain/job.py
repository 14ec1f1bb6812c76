"""The explain job: SHAP values of one row of one logged request."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.logtable import input_column, output_column
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Tensors
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array, categories, numbers
from headrace_jobs import inputs
from headrace_jobs.explain.endpoint import Endpoint
from headrace_jobs.explain.features import features_of, matrix, tensors
from headrace_jobs.explain.outcome import Outcome, choose
from headrace_jobs.explain.shapley import Shapley, explain
from headrace_jobs.report.models import Contribution, Explanation, Scalar
from headrace_jobs.statistics.sample import lowest, priorities
from headrace_jobs.wording import number

MIN_BUDGET, MAX_BUDGET = 2, 1_000_000
BACKGROUND = 1000
"""Rows of the training data that may be used at most."""
NAMED = 3

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class ExplainRun:
    """One run of the job. ``output`` is chosen (see ``outcome.choose``) where it is None."""

    version: VersionId
    request_id: str
    row: int
    endpoint: str
    budget: int = 2000
    output: str | None = None

    def report(self, objects: ObjectStore, progress: Progress) -> Explanation:
        """Find, ask and explain; raises ``NotFound`` for a request that the log has not, or that was not answered."""
        if not MIN_BUDGET <= self.budget <= MAX_BUDGET:
            expected = f"{MIN_BUDGET} to {MAX_BUDGET} rows"
            raise InvalidInput(f"budget: {self.budget} is out of range", field="budget", expected=expected)
        version = inputs.read_version(objects, self.version)
        names = [f.name for f in features_of(version.signature)]
        logged = self.logged(objects, version)
        row = matrix(version.signature, {f.name: [logged[input_column(f)]] for f in version.signature.inputs})[0]
        background = read_background(objects, version)
        asked = 0
        with Endpoint(self.endpoint, version) as endpoint:
            outcome = choose(version.signature, endpoint.ask(tensors(version.signature, row[None, :])), self.output)

            def model(rows: Array) -> Array:
                nonlocal asked
                answers = _finite(outcome.of(endpoint.ask(tensors(version.signature, rows))), outcome)
                asked += len(rows)
                progress(asked, len(rows), "rows asked")
                return answers

            found = explain(model, row, background, self.budget)
        return self._describe(found, outcome, names, row, background, logged)

    def logged(self, objects: ObjectStore, version: Version) -> dict[str, Any]:
        """The row of the log, by column."""
        table = inputs.open_log(objects, self.version)
        keys = inputs.newest_first(table, self.version) if table is not None else ()
        wanted = [input_column(f) for f in version.signature.inputs]
        wanted += [output_column(f) for f in version.signature.outputs]
        for key in keys:
            found = _find(objects, key, self.request_id, self.row, wanted)
            if found is not None:
                return found
        where = f"row {self.row} of request {self.request_id}"
        hint = "see headrace log query; only answered requests can be explained"
        raise NotFound(f"the log of {self.version} has no answered {where}", field="request-id", hint=hint)

    def _describe(
        self, found: Shapley, outcome: Outcome, names: list[str], row: Array, background: Array, logged: dict[str, Any]
    ) -> Explanation:
        used = background[: found.background]
        contributions = [
            Contribution(
                name=name,
                value=plain(row[i]),
                typical=_typical(used[:, i]),
                shap=float(found.values[i]),
                error=float(np.nan_to_num(found.errors[i])),
            )
            for i, name in enumerate(names)
        ]
        contributions.sort(key=lambda c: (-abs(c.shap), c.name))
        return Explanation(
            model=str(self.version),
            request_id=self.request_id,
            row=self.row,
            received=logged["received"].isoformat().replace("+00:00", "Z"),
            output=outcome.name,
            reason=outcome.reason,
            method="exact" if found.method == "exact" else "permutation",
            prediction=found.prediction,
            base=found.base,
            logged=_logged_answer(outcome, logged),
            background=found.background,
            asked=found.asked,
            sentence=_sentence(outcome, found, contributions),
            contributions=tuple(contributions),
        )


def read_background(objects: ObjectStore, version: Version) -> Array:
    """At most ``BACKGROUND`` rows of the training data as features ``(b, d)``, always the same ones, without missing fields."""
    training = inputs.read_training(objects, version)
    if training is None:
        raise InvalidInput(
            f"{version.id} has no training data to explain against",
            field="training-data",
            hint="give training-data in its definition and apply it again",
        )
    missing = [f.name for f in version.signature.inputs if f.name not in training.schema_arrow.names]
    if missing:
        raise InvalidInput(f"{missing[0]}: the training data has no such column", field=missing[0])
    rows = np.sort(lowest(priorities(str(version.id), training.metadata.num_rows), BACKGROUND))
    columns = {}
    for field in version.signature.inputs:
        column = training.read(columns=[field.name], use_threads=False).column(0)
        columns[field.name] = _typed(field, column.take(pa.array(rows)))
    if not len(rows):
        raise InvalidInput(f"{version.id}: the training data has no rows", field="training-data")
    return matrix(version.signature, columns)[np.argsort(priorities("order", len(rows)), kind="stable")]


def _typed(field: Field, column: Any) -> list[Any]:
    """Values as the field's type; a missing number of a type without NaN is the median of the others."""
    if not field.is_scalar:
        return list(column.to_pylist())
    values = np.array([*column.to_pylist(), None], object)[:-1]
    if not field.dtype.is_number:
        present = categories(values).tolist()
        return [value if value is not None else "" for value in present] if field.dtype.name == "string" else present
    found = numbers(values)
    if field.dtype.numpy.kind != "f":
        known = found[np.isfinite(found)]
        found = np.where(np.isfinite(found), found, np.median(known) if len(known) else 0).round()
        return [int(v) for v in found]
    return list(found.tolist())


def _find(objects: ObjectStore, key: str, request_id: str, row: int, wanted: list[str]) -> dict[str, Any] | None:
    parquet = inputs.open_parquet(objects, key)
    head = parquet.read(columns=["request_id", "row", "outcome", "received"], use_threads=False)
    mask = pc.and_(
        pc.equal(head["request_id"], request_id), pc.and_(pc.equal(head["row"], row), pc.equal(head["outcome"], "ok"))
    )
    places = np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))
    if not len(places):
        return None
    place = int(places[0])
    found = {"received": head["received"][place].as_py()}
    for name in wanted:
        column = inputs.column(parquet, name)
        found[name] = column[place].as_py() if column is not None else None
    return found


def _finite(answers: Array, outcome: Outcome) -> Array:
    if not np.isfinite(answers).all():
        message = (
            f"{outcome.name}: the model answers NaN or infinity for rows near this one, which cannot be shared out"
        )
        raise InvalidInput(message, field="output", hint="choose another --output")
    return answers


def _logged_answer(outcome: Outcome, logged: dict[str, Any]) -> float | None:
    value = logged.get(output_column(outcome.field))
    if value is None:
        return None
    array: Tensors = {outcome.field.name: np.array([value])}
    answer = float(outcome.of(array)[0])
    return answer if np.isfinite(answer) else None


def plain(value: Any) -> Scalar | None:
    """A value as JSON has it; None for what is missing or not finite."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if plain is None or plain != plain or plain in (np.inf, -np.inf) else plain


def _typical(values: Array) -> Scalar | None:
    kept = [v for v in map(plain, values) if v is not None]
    if not kept:
        return None
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in kept):
        return float(np.median(np.array(kept, np.float64)))
    return Counter(kept).most_common(1)[0][0]


def _sentence(outcome: Outcome, found: Shapley, contributions: list[Contribution]) -> str:
    leading = ", ".join(
        f"`{c.name}` = {_shown(c.value)} ({c.shap:+.3g})".replace("-", "−") for c in contributions[:NAMED]
    )
    return f"{outcome.name} is {number(found.prediction)} instead of {number(found.base)} on average, mostly because of {leading}."


def _shown(value: Scalar | None) -> str:
    if value is None:
        return "missing"
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
