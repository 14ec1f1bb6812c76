"""Files of PyTorch and Keras."""

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import graphs, keras_files
from headrace_functions.runtime.frameworks.graphs import Tensor
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.runtime.frameworks.torch_files import kind_of
from headrace_functions.runtime.inspecting.found import Contents

_SCALARS = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "float32",
}
"""Types of tensors in an exported program, by the numbers of its schema; 13 is bfloat16, which is answered as float32."""
_FORWARD = re.compile(r"def forward\(self(?P<inputs>[^)]*)\)", re.DOTALL)
_ARGUMENT = re.compile(r"(\w+): (?:Tensor|Optional\[Tensor\])")
_HEADER = 1 << 27  # bytes of a safetensors header


def torch(path: Path, options: Options) -> Contents:
    """An exported program with its inputs and outputs; of TorchScript and of a module's state what they tell."""
    readers = {"exported": _exported, "script": _script, "state": _state}
    try:
        return readers[kind_of(path)](path, options)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, StopIteration, OSError) as error:
        raise InvalidInput(
            f"payload: {path.name} is cut short or damaged: {type(error).__name__}: {error}", field="payload"
        ) from error


def _exported(path: Path, options: Options) -> Contents:
    del options
    with zipfile.ZipFile(path) as archive:
        names = [
            n
            for n in archive.namelist()
            if n.endswith(".json") and ("/models/" in f"/{n}" or "serialized_exported" in n)
        ]
        program = json.loads(archive.read(names[0]))
    graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
    user = [
        s["user_input"]["arg"]["as_tensor"]["name"]
        for s in signature["input_specs"]
        if "as_tensor" in s.get("user_input", {}).get("arg", {})
    ]
    given = [
        s["user_output"]["arg"]["as_tensor"]["name"]
        for s in signature["output_specs"]
        if "as_tensor" in s.get("user_output", {}).get("arg", {})
    ]
    inputs = [_tensor(n, graph["tensor_values"][n]) for n in user]
    called = _output_names(program["graph_module"], given)
    outputs = [_tensor(name, graph["tensor_values"][n]) for name, n in zip(called, given, strict=True)]
    version = str(program.get("torch_version", "?"))
    unclear = [] if all(t.rows for t in inputs) else ["the number of rows is fixed, so it is run row by row"]
    if any(-1 in t.shape for t in outputs):
        unclear.append("sizes of outputs are found by trying")
    return Contents(
        {"torch": version}, "an exported program", graphs.fields(inputs), graphs.fields(outputs), tuple(unclear)
    )


def _output_names(module: Mapping[str, Any], given: Sequence[str]) -> list[str]:
    """The names under which the program returns its outputs, as its loader has them."""
    told = next((m["signature"] for m in module.get("module_call_graph", ()) if not m.get("fqn")), None)
    spec = json.loads(told["out_spec"])[1] if told else {}
    if str(spec.get("type", "")).endswith("dict"):
        keys = json.loads(spec["context"]) if isinstance(spec["context"], str) else spec["context"]
        if len(keys) == len(given):
            return [str(k) for k in keys]
    return list(graphs.named(list(given)))


def _tensor(name: str, value: Mapping[str, Any]) -> Tensor:
    sizes = [s.get("as_int", -1) for s in value["sizes"]]
    return graphs.tensor(name, _SCALARS.get(int(value["dtype"])), sizes)


def _script(path: Path, options: Options) -> Contents:
    del options
    with zipfile.ZipFile(path) as archive:
        code = [archive.read(n).decode("utf-8", "replace") for n in archive.namelist() if n.endswith(".py")]
    found = [m for text in code for m in _FORWARD.finditer(text)]
    names = _ARGUMENT.findall(found[0]["inputs"]) if found else []
    takes = f"it takes {', '.join(names)}" if names else "its inputs are not told"
    return Contents(
        {},
        "TorchScript",
        unclear=(f"{takes}, of shapes that the file does not tell: give training-data or a contract",),
        lines=_CONTRACT,
    )


_CONTRACT = ("training-data: train.csv   # or a contract with inputs",)


def _state(path: Path, options: Options) -> Contents:
    tensors = _safetensors(path) if path.suffix == ".safetensors" else {}
    numbers = sum(_product(t["shape"]) for t in tensors.values())
    about = (
        f"the state of a module, {len(tensors)} tensors of {numbers:,} numbers"
        if tensors
        else "the state of a module, or a pickled one"
    )
    unclear = ["its inputs and outputs are not in the file: give training-data or a contract"]
    lines = [*_CONTRACT]
    if "class" not in options:
        unclear.insert(0, "the class of the module is not in the file")
        lines.insert(0, 'options: {class: "network:Network"}   # network.py in the payload')
    return Contents({}, about, unclear=tuple(unclear), lines=tuple(lines))


def _product(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _safetensors(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= min(_HEADER, path.stat().st_size):
            raise ValueError("no header of safetensors")
        header = json.loads(file.read(size))
    if not isinstance(header, dict):
        raise ValueError("no header of safetensors")
    end = max((t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"), default=0)
    if path.stat().st_size < 8 + size + end:
        raise ValueError("it ends within a tensor")
    return {n: t for n, t in header.items() if n != "__metadata__"}


def keras(path: Path, options: Options) -> Contents:
    """A model of layers: those that its inputs and outputs are of."""
    del options
    keras_files.check_file(path)
    config = keras_files.config(path)
    made = keras_files.written_by(path)
    kind = str(config.get("class_name", ""))
    about = f"a {kind} model of {len(_layers(config))} layers" if kind else "a model"
    inputs = tuple(_inputs(config))
    unclear = [] if inputs else ["its inputs are told when it is loaded"]
    unclear.append(
        "its outputs are told when it is loaded"
        if not _output_layers(config)
        else f"its outputs are those of {', '.join(_output_layers(config))}; sizes are told when it is loaded"
    )
    if made.startswith(("1.", "2.")):
        unclear.append(f"Keras {made} wrote it; Keras 3 reads many such files, not all")
    return Contents({"keras": made} if made else {}, about, graphs.fields(inputs), (), tuple(unclear))


def _layers(config: Mapping[str, Any]) -> list[Any]:
    found = config.get("config", {})
    return list(found.get("layers", ())) if isinstance(found, dict) else list(found)


def _inputs(config: Mapping[str, Any]) -> Iterator[Tensor]:
    for layer in _layers(config):
        told = layer.get("config", {})
        shape = told.get("batch_shape") or told.get("batch_input_shape")
        if layer.get("class_name") == "InputLayer" or (shape and layer is _layers(config)[0]):
            kind = told.get("dtype", "float32")
            if shape:
                yield graphs.tensor(
                    str(told.get("name", "input")),
                    kind if isinstance(kind, str) else "float32",
                    [n or -1 for n in shape],
                )


def _output_layers(config: Mapping[str, Any]) -> list[str]:
    told = config.get("config", {})
    listed = told.get("output_layers") if isinstance(told, dict) else None
    if isinstance(listed, dict):
        return [str(k) for k in listed]
    if isinstance(listed, list) and listed:
        return [str(o[0]) for o in (listed if isinstance(listed[0], list) else [listed])]
    layers = _layers(config)
    return [str(layers[-1].get("config", {}).get("name", ""))] if layers and listed is None else []
