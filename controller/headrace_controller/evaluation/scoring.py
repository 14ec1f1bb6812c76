"""Answers held against labels: which output is the prediction, as a class or as a number."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headrace_controller.comparison.paired import class_of_row, number_column
from headrace_controller.evaluation.asking import Answers
from headrace_controller.evaluation.figures import ANSWERED, of_classes, of_numbers
from headrace_controller.evaluation.labelled import Labelled
from headrace_functions.classes import class_of, spellings
from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import output_column
from headrace_functions.signature import Field
from headrace_functions.version import Version

Row = Mapping[str, Any]


def figures_of(version: Version, data: Labelled, answers: Answers) -> Mapping[str, float]:
    """The figures of the rows that were answered, and the share of them. ``InvalidInput`` where no output is a prediction of the labels."""
    pairs = [(row, label) for row, label in zip(answers.rows, data.labels, strict=True) if row is not None]
    rows, labels = [row for row, _ in pairs], [label for _, label in pairs]
    share = {ANSWERED: len(pairs) / len(data.labels)}
    outputs = _candidates(version, data)
    answer = class_of_row(outputs)
    if answer is not None:
        given = [answer(row) for row in rows]
        return {**share, **_of_classes(version, data.classes, given, labels, rows)}
    numbers = _numbers(labels)
    column = number_column(outputs, numbers) if numbers is not None else None
    if column is None or numbers is None:
        raise InvalidInput(
            f"no output of {version.id} is a class or a number that labels can be compared with",
            field="target",
            expected="a categorical output, probabilities with columns, or a number and labels that are numbers",
        )
    predicted = [math.nan if row.get(column) is None else float(row[column]) for row in rows]
    return {**share, **of_numbers(numbers, predicted)}


def _candidates(version: Version, data: Labelled) -> Sequence[Field]:
    """The outputs that may be the prediction: the one with the target's name alone where it is of the labels' kind, else all."""
    named = version.signature.output(data.target)
    if named is None:
        return version.signature.outputs
    if class_of_row((named,)) is not None:
        fits = named.dtype.is_number or not all(isinstance(label, float) for label in data.labels)
    else:
        fits = named.is_scalar and named.dtype.is_number and not data.classes and _numbers(data.labels) is not None
    return (named,) if fits else version.signature.outputs


def _of_classes(
    version: Version, known: Sequence[str], given: Sequence[Any], labels: Sequence[Any], rows: Sequence[Row]
) -> Mapping[str, float]:
    names = list(known) or _names([*labels, *(g for g in given if g is not None)])
    actual = [class_of(label, names) for label in labels]
    answered = [-1 if g is None else class_of(g, names) for g in given]
    return of_classes(actual, answered, len(names), _scores(version, names, rows))


def _names(values: Sequence[Any]) -> list[str]:
    """The classes that values are of, each once however it is spelled, sorted."""
    found: dict[str, str] = {}
    for value in values:
        said = spellings(value)
        name = next((found[s] for s in said if s in found), said[1] if len(said) > 1 else said[0])
        found |= dict.fromkeys(said, name)
    return sorted(set(found.values()))


def _scores(version: Version, names: Sequence[str], rows: Sequence[Row]) -> list[float] | None:
    """The probability of the second of two classes in each row."""
    for output in version.signature.outputs:
        if output.columns and output.dtype.is_number and output.size == len(output.columns) == len(names) == 2:
            place = class_of(names[1], output.columns)
            values = [row.get(output_column(output)) for row in rows]
            if place >= 0 and all(v is not None and v[place] is not None and math.isfinite(v[place]) for v in values):
                return [float(v[place]) for v in values if v is not None]
    return None


def _numbers(labels: Sequence[Any]) -> list[float] | None:
    try:
        return [float(label) for label in labels]
    except ValueError:
        return None
