"""What a gradient booster answers, from its objective: classes with their probabilities, or numbers. Imports no library.

A booster's own file knows classes by number alone: ``label`` is 0, 1, …, and ``probabilities`` are in that order. A contract may name instead
``probability``, that of the second of two classes, and ``value``, what the booster predicts without more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.signature import Field, Signature, dtype

_FLOAT, _INT = dtype("float64"), dtype("int64")
Predict = Callable[[Array], Array]
"""A matrix of features ``(n, d)`` to ``(n,)`` or ``(n, k)``."""


@dataclass(frozen=True, slots=True)
class Objective:
    """``classes`` is how many there are, 0 for a number; ``targets`` how many numbers are predicted a row."""

    classes: int = 0
    targets: int = 1
    probabilities: bool = True
    """False where a booster of several classes predicts the class alone."""

    def fields(self) -> dict[str, Field]:
        """Everything that can be answered, the default first."""
        if not self.classes:
            shape = (self.targets,) if self.targets > 1 else ()
            return {"value": Field("value", _FLOAT, shape, "numerical")}
        names = tuple(str(c) for c in range(self.classes))
        found = [Field("label", _INT, (), "categorical", categories=tuple(range(self.classes)))]
        if self.probabilities:
            found.append(Field("probabilities", _FLOAT, (self.classes,), "numerical", names))
            if self.classes == 2:
                found.append(Field("probability", _FLOAT, (), "numerical"))
        return {f.name: f for f in found}

    def defaults(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields().values() if f.name != "probability")


def answering(objective: Objective, predict: Predict, signature: Signature) -> Callable[[Array], Mapping[str, Any]]:
    """The outputs of a signature from one prediction a batch; one output of another name is the main one.

    Raises ``InvalidInput`` where the contract names what the booster cannot give.
    """
    offered = objective.fields()
    wanted = {f.name: f.name for f in signature.outputs}
    if len(wanted) == 1 and not wanted.keys() & offered.keys():
        (only,) = signature.outputs
        between = only.is_scalar and only.dtype.numpy.kind == "f" and "probability" in offered
        wanted = {only.name: "probability" if between else next(iter(offered))}
    for name, what in wanted.items():
        if what not in offered:
            raise InvalidInput(f"the model has no output {name!r}", field=name, expected=", ".join(offered), got=name)

    def function(rows: Array) -> Mapping[str, Any]:
        answers = _answers(objective, predict(rows))
        return {f.name: answers[wanted[f.name]].astype(f.dtype.numpy, copy=False) for f in signature.outputs}

    return function


def _answers(objective: Objective, predicted: Array) -> dict[str, Array]:
    if not objective.classes:
        return {"value": predicted}
    if not objective.probabilities:
        return {"label": predicted.astype(np.int64)}
    if objective.classes == 2 and predicted.ndim == 1:
        both = np.column_stack([1 - predicted, predicted])
        return {"label": (predicted > 0.5).astype(np.int64), "probabilities": both, "probability": predicted}
    return {"label": predicted.argmax(axis=1), "probabilities": predicted, "probability": predicted[:, -1]}
