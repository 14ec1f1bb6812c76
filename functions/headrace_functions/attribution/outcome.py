"""Which number is explained: an output, one element of it, or whether the answer is the one that was given."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, Tensors
from headrace_functions.views import Array


@dataclass(frozen=True, slots=True)
class Outcome:
    """The explained number and why it was chosen.

    ``place`` is the element of a vector; ``answer`` makes the number 1 where the output equals it and 0 elsewhere.
    """

    field: Field
    name: str
    reason: str
    place: int | None = None
    answer: Any = None

    def of(self, outputs: Tensors) -> Array:
        """The number for each row, float64 ``(n,)``."""
        array = outputs[self.field.name]
        if self.answer is not None:
            return np.array([value == self.answer for value in array.tolist()], np.float64)
        if self.place is not None:
            array = array.reshape(len(array), -1)[:, self.place]
        return array.astype(np.float64)


def choose(signature: Signature, outputs: Tensors, wanted: str | None = None) -> Outcome:
    """What to explain, given the answer for the row itself (arrays of one row).

    ``wanted`` names an output, or an element of one (``probabilities[yes]``). Without it: the probability of the predicted
    class where a vector of numbers has named columns, else the first number, else whether the answer stays the same.
    """
    if wanted is not None:
        return _named(signature, outputs, wanted)
    for field in signature.outputs:
        if _is_vector(field) and field.columns:
            return _largest(field, outputs)
    for field in signature.outputs:
        if field.is_scalar and field.dtype.is_number and field.profile != "categorical" and field.categories is None:
            return Outcome(field, field.name, "the first output that is a number")
    for field in signature.outputs:
        if _is_vector(field):
            return _largest(field, outputs)
    return _same(signature.outputs[0], outputs)


def _named(signature: Signature, outputs: Tensors, wanted: str) -> Outcome:
    name, _, label = wanted.removesuffix("]").partition("[")
    field = signature.output(name)
    if field is None:
        known = ", ".join(f.name for f in signature.outputs)
        raise InvalidInput(
            f"output: there is no output {name!r}", field="output", expected=f"one of {known}", got=wanted
        )
    if not _is_vector(field):
        plain = (
            field.is_scalar and field.dtype.is_number and field.categories is None and field.profile != "categorical"
        )
        return Outcome(field, name, "asked for") if plain else _same(field, outputs)
    if not label:
        return _largest(field, outputs)
    labels = _labels(field)
    if label not in labels:
        raise InvalidInput(
            f"output: {name} has no element {label!r}",
            field="output",
            expected=f"one of {', '.join(labels)}",
            got=wanted,
        )
    return Outcome(field, f"{name}[{label}]", "asked for", labels.index(label))


def _largest(field: Field, outputs: Tensors) -> Outcome:
    place = int(np.argmax(outputs[field.name].reshape(-1)))
    return Outcome(
        field,
        f"{field.name}[{_labels(field)[place]}]",
        "the largest element of this output: the predicted class",
        place,
    )


def _same(field: Field, outputs: Tensors) -> Outcome:
    if not field.is_scalar:
        raise InvalidInput(
            f"{field.name}: this output cannot be explained", field="output", expected="a scalar or numbers"
        )
    answer = outputs[field.name].tolist()[0]
    return Outcome(
        field, f"{field.name} = {answer}", "no output is a number: whether the answer stays the same", answer=answer
    )


def _is_vector(field: Field) -> bool:
    return not field.is_scalar and field.size is not None and field.dtype.is_number


def _labels(field: Field) -> list[str]:
    if field.columns and len(field.columns) == field.size:
        return list(field.columns)
    return [str(i) for i in range(field.size or 0)]
