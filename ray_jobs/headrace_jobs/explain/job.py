"""The explain job: SHAP values of one row of one logged request."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.attribution.features import features_of, matrix, tensors
from headrace_functions.attribution.outcome import Outcome, choose
from headrace_functions.classes import text_of
from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column, output_column
from headrace_functions.names import VersionId
from headrace_functions.signature import Tensors
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs.explain.endpoint import Endpoint
from headrace_jobs.explain.shapley import Shapley, explain
from headrace_jobs.explain.subject import Subject, subject_of
from headrace_jobs.report.models import Contribution, Explanation, Scalar
from headrace_jobs.report_text import number

MIN_BUDGET, BUDGET, MAX_BUDGET = 2, 2000, 1_000_000
NAMED = 3

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class ExplainRun:
    """One run of the job. ``output`` is chosen (see ``outcome.choose``) where it is None."""

    version: VersionId
    request_id: str
    row: int
    endpoint: str
    budget: int = BUDGET
    output: str | None = None
    sequence: str = ""
    """Explain this sequence, of whose last stage ``version`` is one."""
    engine: str = "native"
    """Who looks for anchors."""

    def report(self, objects: ObjectStore, progress: Progress) -> Explanation:
        """Find, ask and explain; raises ``NotFound`` for a request that the log has not, or that was not answered."""
        if not MIN_BUDGET <= self.budget <= MAX_BUDGET:
            expected = f"{MIN_BUDGET} to {MAX_BUDGET} rows"
            raise InvalidInput(f"budget: {self.budget} is out of range", field="budget", expected=expected)
        subject = self.subject(objects)
        version = subject.version
        names = [f.name for f in features_of(version.signature)]
        logged = subject.logged(objects, self.request_id, self.row)
        row = matrix(version.signature, {f.name: [logged[input_column(f)]] for f in version.signature.inputs})[0]
        background, source = subject.background(objects)
        asked = 0
        with Endpoint(self.endpoint, version, subject.sequence, self.request_id) as endpoint:
            outcome = choose(version.signature, endpoint.ask(tensors(version.signature, row[None, :])), self.output)

            def model(rows: Array) -> Array:
                nonlocal asked
                answers = _finite(outcome.of(endpoint.ask(tensors(version.signature, rows))), outcome)
                asked += len(rows)
                progress(asked, len(rows), "rows asked")
                return answers

            found = explain(model, row, background, self.budget)
        described = self._describe(found, outcome, names, row, background, logged)
        return described.model_copy(update={"sequence": subject.title, "source": source})

    def subject(self, objects: ObjectStore) -> Subject:
        return subject_of(objects, self.version, self.sequence)

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
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else text_of(value)
