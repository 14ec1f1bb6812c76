"""From an artifact to a function that keeps its signature, with errors that say what is wrong with either."""

import logging
import pickle
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import FunctionFailed, HeadraceError, InvalidInput
from headrace_functions.protocol.checks import check_outputs
from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.frameworks.port import Framework, Function
from headrace_functions.runtime.frameworks.streaming import Chunks, Streaming
from headrace_functions.signature import Signature, Tensors
from headrace_functions.user_text import text_of

log = logging.getLogger(__name__)

_DAMAGED = (EOFError, pickle.UnpicklingError, zlib.error)


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """User code behind its signature: checked inputs to checked outputs. May be called from any thread."""

    signature: Signature
    batch: bool
    function: Function
    adds_rows: bool = False
    """The framework works on rows alone, so for ``batch: false`` the row dimension is added and taken off here."""
    model: Any = None
    """What the framework has loaded."""

    def __call__(self, tensors: Tensors) -> Tensors:
        """Answer for one batch, or one row without ``batch``. ``FunctionFailed`` for what user code raises or answers wrongly."""
        rows = len(next(iter(tensors.values()))) if self.batch else None
        return check_outputs(self.unchecked(tensors), self.signature, self.batch, rows)

    @property
    def streams(self) -> bool:
        """Whether user code yields its answers."""
        return isinstance(self.function, Streaming)

    def chunks(self, tensors: Tensors) -> Chunks:
        """One run of user code that yields; of any other function its answer as the only chunk."""
        if isinstance(self.function, Streaming):
            return self.function.open(tensors)
        return (self.unchecked(tensors) for _ in range(1))  # not before it is asked for

    def unchecked(self, tensors: Tensors) -> Any:
        """What user code answers, whatever that is; ``FunctionFailed`` for what it raises, ``KeyboardInterrupt`` included."""
        alone = self.adds_rows and not self.batch
        if alone:
            tensors = {name: np.asarray(value)[np.newaxis] for name, value in tensors.items()}
        try:
            outputs = self.function(tensors)
        except FunctionFailed:
            raise
        except BaseException as error:
            raise FunctionFailed(f"the function raised {type(error).__name__}") from error
        return {name: np.asarray(array)[0] for name, array in outputs.items()} if alone else outputs


def load_model(framework: Framework, artifact: Path, options: Mapping[str, Any]) -> Any:
    """Load the artifact; whatever goes wrong is an ``InvalidInput`` that says what. Warnings go to the log."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return framework.load(artifact, options)
        except HeadraceError:
            raise
        except BaseException as error:  # user code may raise anything, KeyboardInterrupt included
            raise _explained(error) from error
        finally:
            _log_warnings(caught)


def _log_warnings(caught: list[warnings.WarningMessage]) -> None:
    """Each text once: a model made by another version of its library says so here."""
    for text in dict.fromkeys(f"{w.category.__name__}: {text_of(w.message)}" for w in caught):
        log.warning("%s", text)


def load_function(
    framework_name: str, artifact: Path, options: Mapping[str, Any], signature: Signature, *, batch: bool = True
) -> LoadedFunction:
    """A version's function, ready to be called."""
    framework = find(framework_name)
    model = load_model(framework, artifact, options)
    return bind(framework, model, options, signature, batch=batch)


def bind(
    framework: Framework, model: Any, options: Mapping[str, Any], signature: Signature, *, batch: bool
) -> LoadedFunction:
    """The loaded model behind a signature."""
    return LoadedFunction(signature, batch, framework.bind(model, options, signature), framework.ROWS, model)


def _explained(error: BaseException) -> InvalidInput:
    """What a user reads instead of the traceback, which the build log and the service log have."""
    said = f"{type(error).__name__}: {text_of(error)}"
    if isinstance(error, ModuleNotFoundError):
        distribution = (
            f"add {error.name.partition('.')[0]} to the requirements"
            if error.name
            else "add its distribution to the requirements"
        )
        return InvalidInput(
            f"loading the artifact needs the module {error.name!r}, which the environment lacks",
            field="requirements",
            got=said,
            hint=f"{distribution}, or the file that contains it to the payload",
        )
    if isinstance(error, _DAMAGED):
        return InvalidInput(f"the artifact is truncated or not a valid model file: {said}", field="payload", got=said)
    if isinstance(error, AttributeError) and "__main__" in said:
        return InvalidInput(
            f"the artifact refers to a definition in the script that created it: {said}",
            field="payload",
            hint="move the class or function to a module, and add the module to the payload or the requirements",
        )
    return InvalidInput(f"loading the artifact failed: {said}", field="payload", got=said)
