"""Custom predictors of KServe: a subclass of ``kserve.Model`` runs as it is, with the kserve SDK in its environment. Imports kserve when it loads.

Options: ``entry``, the Python file (``model.py``, else the only one); ``class``, where the file has several subclasses; ``name`` and ``arguments`` (a mapping) for its
constructor; ``protocol``, ``v1`` or ``v2``. By default a ``predict`` whose payload is annotated ``InferRequest`` gets one, every other ``{"instances": rows}``: rows
are values where there is one input, lists in the order of the inputs where all are numbers or texts of a table; ``instances: records`` makes them dicts. ``preprocess``,
``predict`` and ``postprocess`` may be coroutines. Of what it answers, ``predictions`` that are dicts become an output a key, others the output ``predictions``.
"""

import asyncio
import importlib
import importlib.util
import inspect
import sys
import threading
import typing
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import graphs
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True
MODULE = "headrace_kserve_model"
ENTRY = "model.py"
_WIRE = {"string": "BYTES", "bool": "BOOL"}


class Coroutines:
    """A loop of its own on a thread of its own: clients that a predictor opens belong to one, and the server's must not wait for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(self._loop,), name="kserve-model", daemon=True).start()
        weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    def result(self, given: Any) -> Any:
        """What a call gave, or what its coroutine comes to."""
        return (
            asyncio.run_coroutine_threadsafe(_awaited(given), self._loop).result()
            if inspect.isawaitable(given)
            else given
        )


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _awaited(given: Any) -> Any:
    return await given


@dataclass(frozen=True, slots=True)
class Predictor:
    model: Any
    v2: bool
    records: bool
    coroutines: Coroutines


def preload() -> None:
    """The SDK; it starts no threads."""
    importlib.import_module("kserve")


def load(artifact: Path, options: Options) -> Predictor:
    """The predictor, made and loaded. What its code raises is let through."""
    kserve: Any = importlib.import_module("kserve")
    entry = _entry(artifact, options)
    made = _class(_import(entry), kserve.Model, entry, options)
    arguments = options.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise InvalidInput(
            "options: arguments is not a mapping", field="options", expected="arguments: {threshold: 0.5}"
        )
    model = made(str(options.get("name", "model")), **arguments)
    coroutines = Coroutines()
    if not getattr(model, "ready", False):
        coroutines.result(model.load())
    return Predictor(model, _speaks_v2(model, kserve, options), options.get("instances") == "records", coroutines)


def _entry(artifact: Path, options: Options) -> Path:
    own = sorted(p.relative_to(artifact).as_posix() for p in artifact.rglob("*.py"))
    name = str(options.get("entry", ENTRY if ENTRY in own else own[0] if len(own) == 1 else ""))
    path = (artifact / name).resolve()
    if not name or not path.is_relative_to(artifact.resolve()) or not path.is_file():
        raise InvalidInput(
            f"payload: there is no {name or ENTRY}",
            field="payload",
            expected=f"{ENTRY}, or options.entry",
            got=", ".join(own[:20]) or "no Python file",
        )
    return path


def _import(path: Path) -> Any:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path.name} is not a Python file", field="payload", expected="a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module


def _class(module: Any, base: type, entry: Path, options: Options) -> Callable[..., Any]:
    own = {n: c for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, base) and c is not base}
    here = {n: c for n, c in own.items() if c.__module__ == MODULE} or own
    wanted = options.get("class", next(iter(here)) if len(here) == 1 else None)
    if wanted in own:
        return own[str(wanted)]
    raise InvalidInput(
        f"{entry.name} has {'no subclass of kserve.Model' if not here else 'several subclasses of kserve.Model'}"
        if wanted is None
        else f"{entry.name} has no subclass of kserve.Model called {wanted!r}",
        field="options" if here else "payload",
        expected=f"class: one of {', '.join(here)}" if here else "class Predictor(kserve.Model)",
        got=str(wanted) if wanted else None,
    )


def _speaks_v2(model: Any, kserve: Any, options: Options) -> bool:
    told = options.get("protocol")
    if told is not None:
        if told not in ("v1", "v2"):
            raise InvalidInput(f"options: protocol {told!r} is not known", field="options", expected="v1 or v2")
        return bool(told == "v2")
    for verb in (model.preprocess, model.predict):
        if type(model).preprocess is kserve.Model.preprocess and verb == model.preprocess:
            continue  # the SDK's own takes either
        parameters = list(inspect.signature(verb).parameters.values())
        annotation = str(_hints(verb).get(parameters[0].name, parameters[0].annotation)) if parameters else ""
        if "InferRequest" in annotation or "Dict" in annotation or "dict" in annotation:
            return "InferRequest" in annotation and "ict" not in annotation.replace("predict", "")
    return False


def _hints(verb: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(verb)
    except (NameError, TypeError):
        return {}


def describe(model: Predictor, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """Code says nothing of types; the signature is declared or found by trying."""
    del model, options, inputs
    return Description()


def bind(model: Predictor, options: Options, signature: Signature) -> Function:
    """One call of the predictor a batch, with what KServe's own server would give it."""
    del options
    request = _v2_request if model.v2 else _v1_request

    def function(tensors: Tensors) -> Mapping[str, Any]:
        answer = model.coroutines.result(model.model(request(model, signature, tensors)))
        given = answer[0] if isinstance(answer, tuple) else answer
        return graphs.picked(_answers(given), signature)

    return function


def _v1_request(model: Predictor, signature: Signature, tensors: Tensors) -> Any:
    names = [f.name for f in signature.inputs]
    columns = [tensors[n].tolist() for n in names]
    if model.records:
        return {"instances": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]}
    return {"instances": columns[0] if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]}


def _v2_request(model: Predictor, signature: Signature, tensors: Tensors) -> Any:
    kserve: Any = importlib.import_module("kserve")
    inputs = []
    for field in signature.inputs:
        array = tensors[field.name]
        kind = _WIRE.get(field.dtype.name) or field.dtype.name.upper().replace("FLOAT", "FP")
        one = kserve.InferInput(name=field.name, shape=list(array.shape), datatype=kind)
        one.set_data_from_numpy(array, binary_data=False)
        inputs.append(one)
    return kserve.InferRequest(model_name=model.model.name, infer_inputs=inputs)


def _answers(given: Any) -> dict[str, Array]:
    """What a predictor answered as arrays by name; ``InvalidInput`` where it is none of the protocols'."""
    if hasattr(given, "outputs") and not isinstance(given, Mapping):
        return {str(o.name): np.asarray(o.as_numpy()) for o in given.outputs}
    if isinstance(given, Mapping) and isinstance(given.get("outputs"), list):
        return {str(o["name"]): np.asarray(o["data"]).reshape(o["shape"]) for o in given["outputs"]}
    predictions = given.get("predictions") if isinstance(given, Mapping) else given
    if isinstance(predictions, np.ndarray):
        return {"predictions": predictions}
    if not isinstance(predictions, list) or not predictions:
        raise InvalidInput(
            "the predictor did not return predictions",
            field="payload",
            expected='{"predictions": [...]}, or an InferResponse',
            got=type(given).__name__,
        )
    if all(isinstance(p, Mapping) for p in predictions):
        return {str(n): np.asarray([p[n] for p in predictions]) for n in predictions[0]}
    return {"predictions": np.asarray(predictions)}


def compare(model: Predictor, signature: Signature, tensors: Tensors) -> list[str]:
    """Code does not say what it was made from."""
    del model, signature, tensors
    return []
