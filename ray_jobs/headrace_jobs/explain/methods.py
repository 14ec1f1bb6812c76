"""The other ways to explain one logged row: a rule, the nearest rows with another answer, the parts of an image."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column
from headrace_functions.signature import Field, Tensors
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.explain.anchors import Background, Predicate, anchor
from headrace_jobs.explain.counterfactuals import counterfactuals, scales
from headrace_jobs.explain.endpoint import Endpoint
from headrace_jobs.explain.features import features_of, matrix, tensors
from headrace_jobs.explain.fromlog import rows_with_another_answer
from headrace_jobs.explain.job import ExplainRun, Progress, plain
from headrace_jobs.explain.outcome import choose
from headrace_jobs.explain.saliency import rise
from headrace_jobs.explain.sameness import Same, same_as
from headrace_jobs.explain.subject import Subject
from headrace_jobs.report.models import (
    AnchorReport,
    Change,
    CounterfactualReport,
    CounterfactualRow,
    RulePart,
    SaliencyReport,
)
from headrace_jobs.wording import number, share

MAX_PIXELS = 4096
"""Of an image that is explained."""


@dataclass(slots=True)
class _Question:
    """A logged row, and whom to ask about it within the budget."""

    run: ExplainRun
    version: Version
    logged: dict[str, Any]
    subject: Subject
    endpoint: Endpoint
    progress: Progress
    asked: int = 0

    def ask(self, given: Tensors) -> Tensors:
        """The model's outputs; ``InvalidInput`` where the budget is used up."""
        self.asked += len(next(iter(given.values())))
        if self.asked > self.run.budget:
            raise InvalidInput(
                f"budget: {self.run.budget} rows are not enough", field="budget", hint="give a larger --budget"
            )
        self.progress(self.asked, self.run.budget, "rows asked")
        return self.endpoint.ask(given)

    @property
    def row(self) -> Array:
        columns = {f.name: [self.logged[input_column(f)]] for f in self.version.signature.inputs}
        return np.asarray(matrix(self.version.signature, columns)[0])

    @property
    def received(self) -> str:
        return str(self.logged["received"].isoformat().replace("+00:00", "Z"))

    def tensors(self, rows: Array) -> Tensors:
        return tensors(self.version.signature, rows)


@contextmanager
def _question(run: ExplainRun, objects: ObjectStore, progress: Progress) -> Iterator[_Question]:
    subject = run.subject(objects)
    version = subject.version
    with Endpoint(run.endpoint, version, subject.sequence, run.request_id) as endpoint:
        logged = subject.logged(objects, run.request_id, run.row)
        yield _Question(run, version, logged, subject, endpoint, progress)


def explain_by_rule(run: ExplainRun, objects: ObjectStore, progress: Progress) -> AnchorReport:
    """An anchor of the row."""
    with _question(run, objects, progress) as question:
        names = [f.name for f in features_of(question.version.signature)]
        background, _ = question.subject.background(objects)
        same, answers = _answers(question, background)
        found = anchor(_model(question, same), question.row, Background(background, same.of(answers)))
    parts = tuple(_part(names[p.feature], p) for p in found.predicates)
    said = " and ".join(f"`{p.name}` {p.relation} {_said(p.value)}" for p in parts) or "nothing in particular holds"
    return AnchorReport(
        model=str(run.version),
        request_id=run.request_id,
        row=run.row,
        received=question.received,
        sequence=question.subject.title,
        answer=same.said,
        rule=parts,
        precision=found.precision,
        precision_low=found.precision_low,
        coverage=found.coverage,
        held_out=found.held_out,
        asked=question.asked,
        sentence=f"Where {said}, {same.said} in {share(found.precision)} of rows; that is so for {share(found.coverage)} of the training data.",
    )


def explain_by_neighbours(run: ExplainRun, objects: ObjectStore, progress: Progress) -> CounterfactualReport:
    """The nearest rows of the log and of the training data that have another answer."""
    with _question(run, objects, progress) as question:
        names = [f.name for f in features_of(question.version.signature)]
        background, _ = question.subject.background(objects)
        same, answers = _answers(question, background)
        trained = background[~same.of(answers)]
        logged = _logged_otherwise(question, objects, same)
        others = np.concatenate((trained, logged)) if len(logged) else trained
        if not len(others):
            raise InvalidInput(
                f"{same.said} for all rows of the training data and of the log that were looked at",
                field="output",
                hint="there is no row with another answer to compare with",
            )
        row = question.row
        found = counterfactuals(_model(question, same), row, others, scales(background))
    rows = tuple(
        CounterfactualRow(
            source="training" if c.source < len(trained) else "log",
            distance=c.distance,
            changes=tuple(Change(name=names[i], before=plain(row[i]), after=plain(c.row[i])) for i in c.changed),
        )
        for c in found
    )
    first = ", ".join(f"`{c.name}` {_said(c.before)} → {_said(c.after)}" for c in rows[0].changes)
    return CounterfactualReport(
        model=str(run.version),
        request_id=run.request_id,
        row=run.row,
        received=question.received,
        sequence=question.subject.title,
        answer=same.said,
        rows=rows,
        compared=len(others),
        asked=question.asked,
        sentence=f"It would not be that {same.said} with {first}.",
    )


def explain_by_masks(run: ExplainRun, objects: ObjectStore, progress: Progress) -> SaliencyReport:
    """Which pixels of an image input the answer needs."""
    with _question(run, objects, progress) as question:
        field = _image(question.version)
        given = question.tensors(question.row[None, :])
        image = given[field.name][0].astype(np.float64)
        background = question.tensors(question.subject.background(objects)[0])[field.name]
        outcome = choose(question.version.signature, question.ask(given), run.output)

        def model(images: Array) -> Array:
            repeated = {name: np.repeat(value, len(images), axis=0) for name, value in given.items()}
            repeated[field.name] = images.astype(field.dtype.numpy)
            return outcome.of(question.ask(repeated))

        hidden = background.astype(np.float64).mean(axis=0)
        found = rise(model, image, hidden, run.budget - 2)
    place = np.unravel_index(int(found.values.argmax()), found.values.shape)
    return SaliencyReport(
        model=str(run.version),
        request_id=run.request_id,
        row=run.row,
        received=question.received,
        sequence=question.subject.title,
        input=field.name,
        output=outcome.name,
        prediction=found.prediction,
        image=tuple(tuple(line) for line in _grey(image).tolist()),
        saliency=tuple(tuple(line) for line in found.values.tolist()),
        asked=question.asked,
        sentence=f"{outcome.name} is {number(found.prediction)}; it needs the part of `{field.name}` around row {place[0]}, column {place[1]} most.",
    )


METHODS: dict[
    str, Callable[[ExplainRun, ObjectStore, Progress], AnchorReport | CounterfactualReport | SaliencyReport]
] = {
    "anchors": explain_by_rule,
    "counterfactual": explain_by_neighbours,
    "rise": explain_by_masks,
}


def _logged_otherwise(question: _Question, objects: ObjectStore, same: Same) -> Array:
    """Rows of the log with another answer; none of a sequence, whose inputs and outputs do not stand in one log."""
    if question.subject.sequence:
        return np.empty((0, len(question.row)), object)
    return rows_with_another_answer(objects, question.version, same)


def _answers(question: _Question, background: Array) -> tuple[Same, Tensors]:
    """The answer of the row, and the outputs of the background; both asked at once."""
    found = question.ask(question.tensors(np.concatenate((question.row[None, :], background))))
    own, others = ({k: v[part] for k, v in found.items()} for part in (slice(0, 1), slice(1, None)))
    return same_as(question.version.signature, own, others, question.run.output), others


def _model(question: _Question, same: Same) -> Callable[[Array], Array]:
    return lambda rows: same.of(question.ask(question.tensors(rows)))


def _image(version: Version) -> Field:
    for field in version.signature.inputs:
        if field.dtype.is_number and len(field.shape) in (2, 3) and -1 not in field.shape:
            if field.shape[0] * field.shape[1] > MAX_PIXELS:
                raise InvalidInput(
                    f"{field.name}: {field.shape[0]} × {field.shape[1]} pixels are too many",
                    field=field.name,
                    expected=f"at most {MAX_PIXELS}",
                )
            return field
    raise InvalidInput(
        f"{version.id} has no image among its inputs",
        field="method",
        expected="an input of numbers of shape [height, width] or [height, width, channels]",
        hint="use --method shap or anchors",
    )


def _grey(image: Array) -> Array:
    """Brightness of each pixel, 0 to 1."""
    flat = image if image.ndim == 2 else image.mean(axis=2)
    low, high = float(flat.min()), float(flat.max())
    return np.asarray((flat - low) / (high - low) if high > low else np.zeros_like(flat))


def _part(name: str, predicate: Predicate) -> RulePart:
    return RulePart.model_validate({"name": name, "relation": predicate.relation, "value": predicate.value})


def _said(value: Any) -> str:
    if value is None:
        return "missing"
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
