"""PyTorch models: exported programs (``.pt2``), TorchScript (``.pt``), and the state of a module (``.safetensors``, ``.pt``) with its class. Imports torch.

Options: ``file``, the file in the artifact where there are several; ``class`` (``module:Class``, a Python file of the payload) and ``arguments`` (a mapping) for a
state; ``device``, ``cpu``, ``cuda`` or by default what there is. An exported program tells its inputs and outputs; TorchScript and a module tell the names of their inputs
alone, so training data or a contract say the rest. Outputs are those that the model returns by name (a dict or a named tuple), else ``output``, or
``output_0``, ``output_1``, … A pickled module is never loaded: it would run whatever it names.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import graphs
from headrace_functions.runtime.frameworks.graphs import Tensor
from headrace_functions.runtime.frameworks.model_files import TORCH, only_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.runtime.frameworks.torch_files import kind_of
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True
_STATES = ("state_dict", "model_state_dict")
"""Keys under which training loops keep the state of a module beside that of the optimizer."""


@dataclass(frozen=True, slots=True)
class Module:
    """Something to call with tensors, what its inputs are, and where they have to be."""

    call: Callable[[dict[str, Any]], Any]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    """Empty where it does not tell."""
    device: str
    floating: Any
    """The type of its parameters, which numbers are given in where an input does not say its own."""


def preload() -> None:
    """The library; it starts no threads before the first operation."""
    importlib.import_module("torch")


def load(artifact: Path, options: Options) -> Module:
    """The model in a file, in evaluation mode. ``InvalidInput`` says what is wrong with the file or the options."""
    path = only_file(artifact, options, TORCH, "torch.export.save(torch.export.export(model, example), 'model.pt2')")
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)  # a replica is one process of many: threads of its own would only make it wait
    device = _device(torch, options)
    readers = {"exported": _exported, "script": _script, "state": _state}
    try:
        return readers[kind_of(path)](torch, path, artifact, options, device)
    except HeadraceError:
        raise
    except Exception as error:  # the library's readers fail in many ways
        raise InvalidInput(
            f"payload: PyTorch {torch.__version__} cannot load {path.name}: {_said(error)}",
            field="payload",
            expected="a file that torch.export.save, torch.jit.save or safetensors wrote, by this version or an earlier one",
            got=_said(error),
        ) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _device(torch: Any, options: Options) -> str:
    wanted = str(options.get("device", "auto"))
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(
            "options: device is cuda, and PyTorch finds no GPU here",
            field="options",
            expected="device: cpu, or auto for a GPU where there is one",
            got=wanted,
        )
    return wanted


def _exported(torch: Any, path: Path, artifact: Path, options: Options, device: str) -> Module:
    del artifact, options
    program = torch.export.load(path)
    if device != "cpu":
        program = torch.export.passes.move_to_device_pass(program, device)
    nodes = {n.name: n for n in program.graph.nodes}
    inputs = tuple(_tensor(n, nodes[n].meta.get("val")) for n in program.graph_signature.user_inputs)
    for name, one in zip(program.graph_signature.user_inputs, inputs, strict=True):
        fixed = nodes[name].meta["val"].shape[:1]
        if not one.rows and fixed and int(fixed[0]) != 1:
            raise InvalidInput(
                f"payload: {path.name} takes exactly {int(fixed[0])} rows per call",
                field="payload",
                expected="a variable number of rows",
                hint=f"export it with dynamic_shapes={{'{name}': {{0: torch.export.Dim.AUTO}}}}",
            )
    unflatten = torch.utils._pytree.tree_unflatten  # noqa: SLF001 - what torch.export itself documents its specs by
    spec = program.call_spec
    given = list(program.graph_signature.user_outputs)
    told = graphs.named(unflatten(given, spec.out_spec))
    known = all(n in nodes for n in told.values() if isinstance(n, str))
    outputs = tuple(_tensor(name, nodes[n].meta.get("val")) for name, n in told.items()) if known else ()
    module = program.module()

    def call(tensors: dict[str, Any]) -> Any:
        args, kwargs = unflatten([tensors[t.name] for t in inputs], spec.in_spec)
        return module(*args, **kwargs)

    return Module(call, inputs, outputs, device, torch.float32)


def _tensor(name: str, value: Any) -> Tensor:
    if not hasattr(value, "dtype"):
        return Tensor(name, None, ())
    return graphs.tensor(name, _kind(value.dtype), [n if isinstance(n, int) else -1 for n in value.shape])


def _kind(dtype: Any) -> str | None:
    name = str(dtype).removeprefix("torch.")
    known = ("float16", "float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64")
    return name if name in known else "float32" if name == "bfloat16" else None


def _script(torch: Any, path: Path, artifact: Path, options: Options, device: str) -> Module:
    del artifact, options
    module = torch.jit.load(str(path), map_location=device).eval()
    arguments = module.forward.schema.arguments[1:]
    names = [a.name for a in arguments if not a.has_default_value()]
    return _module(torch, module, names, device)


def _state(torch: Any, path: Path, artifact: Path, options: Options, device: str) -> Module:
    made = _class(artifact, options, path)
    arguments = options.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise InvalidInput("options: arguments is not a mapping", field="options", expected="arguments: {width: 16}")
    if path.suffix == ".safetensors":
        state = importlib.import_module("safetensors.torch").load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = next(
            (state[k] for k in _STATES if isinstance(state, Mapping) and isinstance(state.get(k), Mapping)), state
        )
    module = made(**arguments)
    if not isinstance(module, torch.nn.Module):
        raise InvalidInput(
            f"options: {options['class']} does not create a torch.nn.Module", field="options", got=type(module).__name__
        )
    module.load_state_dict(state)
    parameters = inspect.signature(module.forward).parameters.values()
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [p.name for p in parameters if p.kind in plain and p.default is inspect.Parameter.empty]
    return _module(torch, module.to(device).eval(), names, device)


def _class(artifact: Path, options: Options, path: Path) -> Callable[..., Any]:
    where, _, name = str(options.get("class", "")).partition(":")
    if not where or not name:
        raise InvalidInput(
            f"options: {path.name} contains the state of a module, and its class is not specified",
            field="options",
            expected="class: module:Class, of a Python file in the payload",
            got=str(options.get("class", "nothing")),
        )
    folder = str(artifact.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return getattr(importlib.import_module(where), name)  # type: ignore[no-any-return]
    except AttributeError as error:
        raise InvalidInput(f"options: {where} has no class {name!r}", field="options", got=f"{where}:{name}") from error


def _module(torch: Any, module: Any, names: Sequence[str], device: str) -> Module:
    floating = next((p.dtype for p in module.parameters() if p.dtype.is_floating_point), torch.float32)
    alone = len(names) == 1
    inputs = tuple(Tensor(n, None, (-1,) if alone else ()) for n in names)
    return Module(lambda tensors: module(**tensors), inputs, (), device, floating)


def describe(model: Module, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """What an exported program tells; for the others inputs must be declared, and outputs are found by trying."""
    del options
    told = graphs.fields(model.inputs) if all(t.kind for t in model.inputs) else None
    return Description(inputs or told, graphs.outputs(model.outputs))


def bind(model: Module, options: Options, signature: Signature) -> Function:
    """One call a batch, or one a row for a program that was exported for one row."""
    del options
    torch: Any = importlib.import_module("torch")
    feed = graphs.feeding(model.inputs, signature.inputs)
    unsaid = {t.name for t in model.inputs if t.kind is None}
    by_row = any(t.kind and not t.rows for t in model.inputs)

    def given(name: str, array: Array) -> Any:
        if array.dtype == object:
            raise InvalidInput(f"{name}: PyTorch does not accept text", field=name, expected="numbers")
        tensor = torch.from_numpy(
            np.ascontiguousarray(array).copy() if not array.flags.writeable else np.ascontiguousarray(array)
        )
        floats = name in unsaid and array.dtype.kind == "f"
        return tensor.to(device=model.device, dtype=model.floating if floats else tensor.dtype)

    def run(tensors: Tensors) -> Mapping[str, Any]:
        with torch.inference_mode():
            answer = model.call({n: given(n, a) for n, a in feed(tensors).items()})
        return graphs.picked({n: _numpy(torch, v) for n, v in graphs.named(answer).items()}, signature)

    return graphs.answering(run, by_row=by_row)


def _numpy(torch: Any, value: Any) -> Array:
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    plain = value.detach().to("cpu")
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()  # type: ignore[no-any-return]


def compare(model: Module, signature: Signature, tensors: Tensors) -> list[str]:
    """A network does not say what rows it was trained on."""
    del model, signature, tensors
    return []
