"""Plain Python functions: ``load(path) -> model`` (optional) and ``predict(model, **inputs) -> dict`` in ``function.py``.

Options: ``entry``, the file in the artifact (default ``function.py``), and ``function``, the name of what is called in it (default
``predict``). A file called ``func_main.py`` is one of Hydrosphere's: its function takes the inputs of one row alone, without a model. The file's folder is on ``sys.path``, so files beside it can
be imported. Without ``load`` the model is None.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import hydrosphere
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.runtime.frameworks.python_names import ENTRY, FUNCTION, HYDROSPHERE, HYDROSPHERE_FUNCTIONS
from headrace_functions.runtime.frameworks.streaming import Streaming, yields
from headrace_functions.signature import Field, Signature, Tensors

ROWS = False
MODULE = "headrace_user_function"


@dataclass(frozen=True, slots=True)
class UserFunction:
    """The user's file, imported, and what its ``load`` returned."""

    entry: str
    predict: Callable[..., Any]
    model: Any
    takes_model: bool = True


def preload() -> None:
    """The part of numpy that loads late and that many functions use."""
    importlib.import_module("numpy.random")


def load(artifact: Path, options: Options) -> UserFunction:
    """Import the entry file and call its ``load``. What the user's code raises is let through."""
    entry = str(options.get("entry", ENTRY))
    path = (artifact / entry).resolve()
    if not path.is_relative_to(artifact.resolve()) or not path.is_file():
        have = ", ".join(sorted(p.name for p in artifact.iterdir())[:20]) or "nothing"
        raise InvalidInput(
            f"payload: there is no {entry}",
            field="payload",
            expected=entry,
            got=have,
            hint="set options.entry to the file",
        )
    module = _import(path, artifact)
    name = str(options.get("function", FUNCTION))
    names = (name, *HYDROSPHERE_FUNCTIONS) if path.name == HYDROSPHERE else (name,)
    predict = next((getattr(module, n) for n in names if callable(getattr(module, n, None))), None)
    if not callable(predict) or inspect.iscoroutinefunction(predict):
        found = "a coroutine function" if callable(predict) else "none"
        raise InvalidInput(
            f"{entry} has no function {name!r}",
            field="payload",
            expected=f"def {name}(model, **inputs) -> dict",
            got=found,
        )
    if path.name == HYDROSPHERE:
        return UserFunction(entry, predict, None, takes_model=False)
    loader = getattr(module, "load", None)
    model = loader(str(artifact)) if callable(loader) else None
    return UserFunction(entry, predict, model)


def _import(path: Path, artifact: Path) -> Any:
    sys.path.insert(0, str(path.parent))
    if path.name == HYDROSPHERE:
        return hydrosphere.imported(MODULE, path, artifact)
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise InvalidInput(
            f"{path.name} is not a Python file", field="payload", expected="a file that ends in .py", got=path.name
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module


def describe(model: UserFunction, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """Code says nothing of types; the signature is declared or found by trying."""
    del model, options, inputs
    return Description()


def bind(model: UserFunction, options: Options, signature: Signature) -> Function:
    """``predict`` with the inputs by name; ``InvalidInput`` where its parameters are not the signature's inputs."""
    del options
    _check_parameters(model, [f.name for f in signature.inputs])
    predict, loaded = model.predict, model.model
    if yields(predict):
        arguments = (loaded,) if model.takes_model else ()
        return Streaming(lambda tensors: predict(*arguments, **_texts_as_they_are(tensors)))
    if not model.takes_model:
        return lambda tensors: predict(**{n: v.item() if v.ndim == 0 else v for n, v in tensors.items()})

    def function(tensors: Tensors) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = predict(loaded, **_texts_as_they_are(tensors))
        return answer

    return function


def _texts_as_they_are(tensors: Tensors) -> Mapping[str, Any]:
    """The one text of a row as ``str`` or ``bytes``: an array without dimensions around it can be used for nothing that text is used for."""
    return {name: a.item() if a.ndim == 0 and a.dtype == object else a for name, a in tensors.items()}


def compare(model: UserFunction, signature: Signature, tensors: Tensors) -> list[str]:
    """Code does not say what it was made from."""
    del model, signature, tensors
    return []


def _check_parameters(model: UserFunction, names: list[str]) -> None:
    try:
        parameters = inspect.signature(model.predict)
        parameters.bind(*([None] if model.takes_model else []), **dict.fromkeys(names))
    except ValueError:
        return  # a callable without a signature, e.g. one written in C
    except TypeError as error:
        raise InvalidInput(
            f"{model.predict.__name__} in {model.entry} does not accept the signature's inputs: {error}",
            field="payload",
            expected=f"{model.predict.__name__}({', '.join(['model', *names] if model.takes_model else names)})",
            got=f"{model.predict.__name__}{parameters}",
        ) from error
