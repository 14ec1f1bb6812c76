"""The attribution job: what the answers of a window depend on, feature by feature, and the rows that were looked at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.attribution.ensembles import NotDirectError
from headrace_functions.attribution.features import features_of, tensors
from headrace_functions.attribution.outcome import Outcome, choose
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.signature import Tensors
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.attribution.direct import Found, by_trees, middle
from headrace_jobs.attribution.rows import Choice, Chosen, Looking, choose_rows
from headrace_jobs.attribution.training import keep, of_values, shares
from headrace_jobs.execution import Executor
from headrace_jobs.explain.background import read_background
from headrace_jobs.explain.endpoint import Endpoint
from headrace_jobs.explain.job import plain
from headrace_jobs.explain.shapley import exact, permutation
from headrace_jobs.report.models import (
    AttributedField,
    AttributedRow,
    AttributionReport,
    Note,
    RowPart,
    Span,
)
from headrace_jobs.report_text import rows as counted
from headrace_jobs.report_text import share
from headrace_jobs.window import Window

MAX_COUNT = 10_000
MAX_BUDGET = 10_000_000
SHOWN = 50
"""Rows that a report tells one by one."""
PARTS = 5
"""Features that are told of a row."""
NAMED = 3
LEAST = 30
"""Explained rows below which no shift of a share is told."""
Z99 = 2.5758
EXACT_BACKGROUND = 16

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class AttributionRun:
    """One run of the job. At most ``count`` rows are explained; ``budget`` is of all questions to the endpoint together."""

    version: VersionId
    window: Window
    endpoint: str
    choice: Choice = "sample"
    count: int = 100
    budget: int = 100_000
    output: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise InvalidInput(f"count: {self.count} is out of range", field="count", expected=f"1 to {MAX_COUNT} rows")
        if not 1 <= self.budget <= MAX_BUDGET:
            expected = f"1 to {MAX_BUDGET} rows"
            raise InvalidInput(f"budget: {self.budget} is out of range", field="budget", expected=expected)

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> AttributionReport:
        """Choose, ask and explain; ``InvalidInput`` where the window has no such row."""
        version = inputs.read_version(objects, self.version)
        background = read_background(objects, version)
        looking = Looking(objects, version, self.window, self.count, executor, progress)
        chosen = choose_rows(looking, self.choice, background)
        if not len(chosen):
            what = "outliers" if self.choice == "outliers" else "answered rows"
            raise InvalidInput(f"the window has no {what}", field="window", hint="choose a longer window")
        with Endpoint(self.endpoint, version) as endpoint:
            model = _Model(version, endpoint, self.output, progress)
            outcome, answers = model.first(chosen.rows)
            notes: tuple[Note, ...] = ()
            try:
                found = by_trees(objects, version, outcome, chosen.rows, answers)
            except NotDirectError as error:
                notes = (Note(name="trees", reason=f"the endpoint was asked: {error}"),)
                found = self._by_asking(model, chosen.rows, background)
        if self.choice == "training":
            keep(objects, version.id, of_values(version, found.values))
        trained = shares(objects, version) if self.choice != "training" else {}
        return self._describe(version, found, chosen, outcome, model.asked, notes, trained)

    def _by_asking(self, model: "_Model", rows: Array, background: Array) -> "Found":
        features = rows.shape[1]
        each = max(1, self.budget // len(rows))
        whole = EXACT_BACKGROUND << features <= each
        values, base, answers = np.empty(rows.shape), np.empty(len(rows)), np.empty(len(rows))
        for i, row in enumerate(rows):
            if whole:
                one = exact(model, row, background[: each >> features])
            else:
                pairs = max(1, (each - 1) // max(1, 2 * features - 1))
                one = permutation(model, row, background[: min(pairs, len(background))], pairs)
            values[i], base[i], answers[i] = one.values, one.base, one.prediction
        return Found("exact" if whole else "permutation", "as the output", values, base, answers)

    def _describe(
        self,
        version: Version,
        found: "Found",
        chosen: Chosen,
        outcome: Outcome,
        asked: int,
        notes: tuple[Note, ...],
        trained: Mapping[str, float],
    ) -> AttributionReport:
        names = [f.name for f in features_of(version.signature)]
        size = np.abs(found.values)
        importance = size.mean(axis=0)
        total = float(importance.sum())
        top = np.bincount(size.argmax(axis=1), minlength=len(names))
        fields = [
            AttributedField(
                name=name,
                importance=float(importance[i]),
                share=float(importance[i]) / total if total else 0.0,
                mean=float(found.values[:, i].mean()),
                top=int(top[i]) if total else 0,
                **shift(size, i, trained.get(name)),
            )
            for i, name in enumerate(names)
        ]
        fields.sort(key=lambda f: (-f.importance, f.name))
        shown = 0 if self.choice == "training" else min(len(chosen), SHOWN)
        return AttributionReport(
            model=str(self.version),
            window=Span.of(self.window),
            chosen=self.choice,
            method=found.method,  # type: ignore[arg-type]  # pydantic checks it
            output=outcome.name,
            reason=outcome.reason,
            unit=found.unit,
            base=float(found.base.mean()),
            explained=len(chosen),
            asked=asked,
            residual=float(np.abs(found.base + found.values.sum(axis=1) - found.answers).max()),
            sentence=_sentence(outcome, fields, len(chosen), self.choice),
            fields=tuple(fields),
            rows=tuple(_row(names, chosen, found, i) for i in range(shown)),
            notes=notes,
        )


class _Model:
    """The endpoint as a function of rows; remembers how many it was asked."""

    def __init__(self, version: Version, endpoint: Endpoint, output: str | None, progress: Progress) -> None:
        self._version = version
        self._endpoint = endpoint
        self._output = output
        self._progress = progress
        self._outcome: Outcome | None = None
        self.asked = 0

    def first(self, rows: Array) -> tuple[Outcome, Array]:
        """The output that is explained, the same for all rows, and the rows' answers ``(n,)``."""
        outputs = self._ask(rows)
        chosen = choose(self._version.signature, {k: middle(v) for k, v in outputs.items()}, self._output)
        reason = chosen.reason if self._output else f"{chosen.reason}, on average over the rows"
        self._outcome = Outcome(chosen.field, chosen.name, reason, chosen.place, chosen.answer)
        return self._outcome, self._outcome.of(outputs)

    def __call__(self, rows: Array) -> Array:
        assert self._outcome is not None
        answers = self._outcome.of(self._ask(rows))
        if not np.isfinite(answers).all():
            message = f"{self._outcome.name}: the model answers NaN or infinity, which cannot be shared out"
            raise InvalidInput(message, field="output", hint="choose another --output")
        return answers

    def _ask(self, rows: Array) -> Tensors:
        outputs = self._endpoint.ask(tensors(self._version.signature, rows))
        self.asked += len(rows)
        self._progress(self.asked, self.asked, "rows asked")
        return outputs


def shift(size: Array, place: int, trained: float | None) -> dict[str, Any]:
    """How a feature's share of ``size`` = |SHAP| ``(n, d)`` differs from its share in training, and whether chance explains that.

    The share is a ratio of means; its error is that of the linearised ratio (Cochran 1977, 6.3), taken as large again for the
    training rows, which are as many at least.
    """
    totals = size.sum(axis=1)
    n, total = len(size), float(totals.sum())
    if trained is None or total <= 0 or n < LEAST:
        return {"trained": trained, "shift": None, "told": False}
    now = float(size[:, place].sum()) / total
    error = float(np.std(size[:, place] - now * totals, ddof=1)) * np.sqrt(n) / total
    return {"trained": trained, "shift": now - trained, "told": bool(abs(now - trained) > Z99 * np.sqrt(2) * error)}


def _row(names: list[str], chosen: Chosen, found: Found, i: int) -> AttributedRow:
    order = np.argsort(-np.abs(found.values[i]), kind="stable")[:PARTS].tolist()
    return AttributedRow(
        request_id=chosen.ids[i],
        row=chosen.numbers[i],
        received=chosen.received[i],
        prediction=float(found.answers[i]),
        why=None if chosen.why is None else chosen.why[i],
        parts=tuple(
            RowPart(name=names[p], value=plain(chosen.rows[i, p]), shap=float(found.values[i, p])) for p in order
        ),
    )


def _sentence(outcome: Outcome, fields: list[AttributedField], rows: int, choice: Choice) -> str:
    which = {
        "sample": "a sample",
        "outliers": "the outliers",
        "drifted": "the rows least like training",
        "training": "training data",
    }[choice]
    over = which if choice == "training" else f"{which} of the window"
    leading = ", ".join(f"`{f.name}` ({share(f.share)})" for f in fields[:NAMED] if f.importance > 0)
    if not leading:
        return f"{outcome.name} depends on no input over {over} ({counted(rows)})."
    said = f"Over {over} ({counted(rows)}), {outcome.name} was moved most by {leading}."
    moved = max((f for f in fields if f.told and f.shift), key=lambda f: abs(f.shift or 0.0), default=None)
    if moved is None:
        return said
    more = "more" if (moved.shift or 0.0) > 0 else "less"
    return f"{said} It depends {more} on `{moved.name}` than in training: {share(moved.trained or 0.0)} → {share(moved.share)}."
