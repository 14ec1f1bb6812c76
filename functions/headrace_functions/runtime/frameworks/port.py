"""What a framework's file offers: four verbs, as functions of the module."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from headrace_functions.signature import Field, Signature, Tensors

Function = Callable[[Tensors], Mapping[str, Any]]
"""Checked inputs to named outputs, not checked yet. Arrays are ``[n, *shape]``, or ``shape`` where the version says ``batch: false``."""

Options = Mapping[str, Any]
"""A version's ``options``, given by the user in its definition."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a loaded model says of its own signature; None where it does not know."""

    inputs: tuple[Field, ...] | None = None
    outputs: tuple[Field, ...] | None = None
    example: Mapping[str, list[Any]] | None = None
    """Rows that the artifact brings with it, by input; the build tries them where it has no others."""


class Framework(Protocol):
    """The verbs. User errors are ``InvalidInput`` naming ``payload``, ``options`` or the field."""

    ROWS: bool
    """True where the function always takes and gives rows; ``batch: false`` then adds and takes off the first dimension."""

    def preload(self) -> None:
        """Import the library and what nearly every model of it needs; called before forks, so it starts no threads."""

    def load(self, artifact: Path, options: Options) -> Any:
        """The model in the folder ``artifact``. Runs the artifact's code."""

    def describe(self, model: Any, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
        """What the model knows of its inputs and outputs; ``inputs`` where definition or training data say them already."""

    def bind(self, model: Any, options: Options, signature: Signature) -> Function:
        """The function that answers for the signature; ``InvalidInput`` where the model can never do so."""

    def compare(self, model: Any, signature: Signature, tensors: Tensors) -> list[str]:
        """Notes on rows that are not like those that the model was fitted on; ``InvalidInput`` where it cannot answer for them."""
