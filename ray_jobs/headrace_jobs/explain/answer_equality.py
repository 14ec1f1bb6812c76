"""Whether an answer is the one that is explained: what rules and counterfactuals are about."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, Tensors
from headrace_functions.views import Array

NEAR = 0.25
"""A number is the same answer within so many standard deviations of the answers to the background."""
EVEN = 0.5
"""Where all answers lie in [0, 1], a number is a probability, and the same answer is the same side of this."""


@dataclass(frozen=True, slots=True)
class Same:
    """``said`` is the answer in words. ``place`` is the largest element of a vector, ``answer`` a category, else ``low`` to ``high``."""

    field: Field
    said: str
    place: int | None = None
    answer: Any = None
    low: float = -np.inf
    high: float = np.inf

    def of(self, outputs: Tensors) -> Array:
        """Which rows have the answer, bool ``(n,)``."""
        array = outputs[self.field.name]
        if self.place is not None:
            return np.asarray(array.reshape(len(array), -1).argmax(axis=1) == self.place)
        if self.answer is not None:
            return np.array([value == self.answer for value in array.tolist()], bool)
        numbers = array.astype(np.float64)
        return np.asarray((numbers >= self.low) & (numbers <= self.high))


def same_as(signature: Signature, outputs: Tensors, background: Tensors, wanted: str | None = None) -> Same:
    """The answer of one row, held against those of the background; by the output ``wanted``, else the first that serves:
    a vector with named columns, a category, a number."""
    name = wanted.partition("[")[0] if wanted else None
    fields = [f for f in signature.outputs if name in (None, f.name)]
    if not fields:
        known = ", ".join(f.name for f in signature.outputs)
        raise InvalidInput(f"output: there is no output {name!r}", field="output", expected=f"one of {known}", got=name)
    for field in sorted(fields, key=_rank):
        if not field.is_scalar and field.size is not None and field.dtype.is_number:
            place = int(outputs[field.name].reshape(-1).argmax())
            label = field.columns[place] if field.columns else str(place)
            return Same(field, f"{field.name} is largest at {label}", place=place)
        if field.is_scalar and _rank(field) == 1:
            answer = outputs[field.name].tolist()[0]
            return Same(field, f"{field.name} = {answer}", answer=answer)
        if field.is_scalar:
            return _near(field, float(outputs[field.name].reshape(-1)[0]), background[field.name].astype(np.float64))
    raise InvalidInput(
        f"{fields[0].name}: this output cannot be explained", field="output", expected="a scalar or numbers"
    )


def _rank(field: Field) -> int:
    if field.columns and not field.is_scalar:
        return 0
    categorical = field.profile == "categorical" or not field.dtype.is_number or field.categories is not None
    return 1 if field.is_scalar and categorical else 2 if field.is_scalar else 3


def _near(field: Field, value: float, answers: Array) -> Same:
    known = answers[np.isfinite(answers)]
    if len(known) and ((known >= 0) & (known <= 1)).all() and 0 <= value <= 1:
        if value >= EVEN:
            return Same(field, f"{field.name} ≥ {EVEN}", low=EVEN)
        return Same(field, f"{field.name} < {EVEN}", high=float(np.nextafter(EVEN, 0)))
    width = NEAR * float(known.std()) if len(known) else 0.0
    return Same(field, f"{field.name} is within {width:.3g} of {value:.4g}", low=value - width, high=value + width)
