"""The reference: rows with their labels and the version's own answers on them, of the definition's ``reference-data``, else of its training data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_functions.errors import InvalidInput
from headrace_functions.profile import spread_rows
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.columns import Column, columns_of, series
from headrace_jobs.performance.cbpe import Known
from headrace_jobs.performance.counting import ANSWER, known_classes, numbers_of
from headrace_jobs.performance.features import Encoding, encodings_of, numbers
from headrace_jobs.performance.problem import Classes, Number, Problem, codes, problem_of


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that have an answer: columns of ``training`` (the reference data where ``honest``) are taken at ``rows``."""

    training: pq.ParquetFile
    answers: pq.ParquetFile
    rows: Array
    target: Any
    """Labels as an Arrow column ``(n,)``."""
    honest: bool = False
    """Whether the model has not learnt from these rows."""

    def column(self, name: str) -> Any | None:
        found = inputs.column(self.training, name)
        return None if found is None else found.take(pa.array(self.rows))


@dataclass(frozen=True, slots=True)
class Features:
    """Inputs of rows as numbers: ``matrix`` ``(n, d)`` by key in ``encodings``, of which ``columns`` a window has to have."""

    matrix: Array
    encodings: dict[str, Encoding]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class ClassRows:
    """Reference rows of known class: ``probabilities`` and ``answered`` are ``(n, k)``, ``actual`` ``(n,)`` places of classes.

    ``kept`` are their places among the rows of the source.
    """

    probabilities: Array
    answered: Array
    actual: Array
    kept: Array


@dataclass(frozen=True, slots=True)
class NumberRows:
    """Reference rows of known value: features ``(n, d)`` by key in ``encodings`` and the answer, ``answers`` and ``actual`` ``(n,)``."""

    features: Array
    encodings: dict[str, Encoding]
    columns: tuple[Column, ...]
    answers: Array
    actual: Array


def read(objects: ObjectStore, version: Version, output: str | None) -> tuple[Problem, Source]:
    """What the version predicts, and the rows that show how well; ``InvalidInput`` where something of it is not there."""
    if len(version.target) != 1:
        given = ", ".join(version.target) or "none"
        message = f"{version.id}: one target column is needed to measure performance"
        raise InvalidInput(message, field="target", got=given, hint="name the label column as 'target' and apply again")
    held = inputs.read_reference_data(objects, version.id)
    training = inputs.read_training(objects, version) if held is None else held
    answers = inputs.read_answers(objects, version.id) if held is None else held
    target = inputs.column(training, version.target[0]) if training is not None else None
    if training is None or answers is None or target is None:
        missing = "labels" if training is not None and answers is not None else "training data with answers"
        message = f"{version.id} has no {missing} to learn from"
        hint = "give training-data with its target column in the definition and apply it again"
        raise InvalidInput(message, field="training-data", hint=hint)
    problem = problem_of(version, target, answers, output)
    rows = spread_rows(training.metadata.num_rows, answers.metadata.num_rows)
    return problem, Source(training, answers, rows, target.take(pa.array(rows)), honest=held is not None)


def class_rows(problem: Classes, source: Source) -> ClassRows:
    """The reference rows whose label is one of the classes."""
    columns = {name: inputs.column(source.answers, name) for name in problem.columns}
    usable, probabilities, answered = problem.read(columns)
    actual = codes(source.target, problem.names)[usable]
    known = actual >= 0
    return ClassRows(probabilities[known], answered[known], actual[known], np.flatnonzero(usable)[known])


def features(source: Source, version: Version) -> Features:
    """The inputs of all rows of the source."""
    found, used = {}, []
    for column in columns_of(version.signature):
        values = source.column(column.field.name) if column.side == "input" else None
        if values is None:
            continue
        views = series(column.field, values)
        found.update({column.key(view): one for view, one in views.items()})
        used.append(column)
    encodings = encodings_of(found)
    matrix = np.column_stack(
        [np.empty((len(source.rows), 0)), *(numbers(found[key], encodings[key]) for key in encodings)]
    )
    return Features(matrix, encodings, tuple(used))


def number_rows(problem: Number, source: Source, version: Version) -> NumberRows:
    """The reference rows whose label and answer are finite numbers, with features for a model of the loss."""
    found = features(source, version)
    answers = problem.read({problem.columns[0]: inputs.column(source.answers, problem.columns[0])})
    actual = numbers_of(source.target)
    known = np.isfinite(answers) & np.isfinite(actual)
    matrix = np.column_stack([answers, found.matrix])
    return NumberRows(matrix[known], found.encodings, found.columns, answers[known], actual[known])


def feature_names(rows: NumberRows) -> tuple[str, ...]:
    """Keys of the columns of ``NumberRows.features``, as the sample of a window has them."""
    return (ANSWER, *rows.encodings)


def known_of(problem: Classes, rows: ClassRows, chosen: Array) -> Known:
    """Counts of some reference rows."""
    return known_classes(rows.probabilities[chosen], rows.answered[chosen], rows.actual[chosen], binary=problem.binary)
