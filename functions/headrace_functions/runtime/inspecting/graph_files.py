"""ONNX graphs and SavedModels: both are protocol buffers that tell names, types and shapes."""

from collections.abc import Sequence
from pathlib import Path

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import graphs
from headrace_functions.runtime.frameworks.graphs import Tensor
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.runtime.inspecting.found import Contents
from headrace_functions.runtime.inspecting.protobuf import (
    NotAMessageError,
    all_of,
    fields,
    number_of,
    one_of,
    signed,
    text,
)
from headrace_functions.signature import Field

_ONNX_TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}  # fmt: skip
_TF_TYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64", 10: "bool", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64"}  # fmt: skip
DEFAULT = "serving_default"
_OWN = "__saved_model_init_op"


def onnx(path: Path, options: Options) -> Contents:
    """A graph: its inputs that no initializer gives, its outputs, operator sets and who made it."""
    del options
    try:
        model = path.read_bytes()
        graph = one_of(model, 7)
        given = {text(one_of(i, 8)) for i in all_of(graph, 5)}
        inputs = [t for t in map(_value, all_of(graph, 11)) if t.name not in given]
        outputs = list(map(_value, all_of(graph, 12)))
        sets = [(text(one_of(s, 1)) or "ai.onnx", number_of(s, 2)) for s in all_of(model, 8)]
        maker, version = text(one_of(model, 2)), text(one_of(model, 3))
        nodes = len(all_of(graph, 1))
    except (NotAMessageError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"payload: {path.name} is truncated or not a valid ONNX graph: {error}", field="payload"
        ) from error
    if not inputs and not outputs:
        raise InvalidInput(
            f"payload: {path.name} is not an ONNX graph", field="payload", expected="a graph with inputs and outputs"
        )
    versions = {f"opset {domain}": str(number) for domain, number in sets}
    if maker:
        versions = {maker: version or "?", **versions}
    return _contents(inputs, outputs, versions, f"a graph of {nodes} nodes")


def _value(info: memoryview) -> Tensor:
    tensor = one_of(one_of(info, 2), 1)
    kind = _ONNX_TYPES.get(number_of(tensor, 1))
    sizes = [_dimension(d) for d in all_of(one_of(tensor, 2), 1)]
    return _as_tensor(text(one_of(info, 1)), kind, sizes)


def _dimension(dimension: memoryview) -> int:
    return next((signed(v) for n, v in fields(dimension) if n == 1 and isinstance(v, int)), -1)


def _as_tensor(name: str, kind: str | None, sizes: Sequence[int]) -> Tensor:
    return graphs.tensor(name, kind, sizes)


def saved_model(folder: Path, options: Options) -> Contents:
    """A SavedModel: the signature that would be served, and which others there are."""
    try:
        held = (folder / "saved_model.pb").read_bytes()
        meta = one_of(held, 2)
        signatures = {text(one_of(e, 1)): one_of(e, 2) for e in all_of(meta, 5)}
        version = text(one_of(one_of(meta, 1), 5))
        known = {name: s for name, s in signatures.items() if name != _OWN}
        wanted = str(options.get("signature", DEFAULT if DEFAULT in known or len(known) != 1 else next(iter(known))))
        chosen = known.get(wanted, memoryview(b""))
        inputs, outputs = _side(chosen, 1), _side(chosen, 2)
    except (NotAMessageError, OSError) as error:
        raise InvalidInput(
            f"payload: {folder.name} is truncated or not a valid SavedModel: {error}", field="payload"
        ) from error
    versions = {"tensorflow": version} if version else {}
    about = f"a SavedModel, signature {wanted}" if wanted in known else "a SavedModel"
    contents = _contents(inputs, outputs, versions, about)
    if wanted in known:
        return contents
    others = ", ".join(known)
    said = f"it has no signature {wanted}, but {others}" if known else "it has no signature, so it cannot be served"
    lines = (f"options: {{signature: {next(iter(known))}}}",) if known else ()
    return Contents(versions, about, unclear=(said,), lines=lines)


def _side(signature: memoryview, number: int) -> list[Tensor]:
    found = []
    for entry in all_of(signature, number):
        info = one_of(entry, 2)
        shape = one_of(info, 3)
        sizes = [signed(number_of(d, 1)) for d in all_of(shape, 2)]
        free = number_of(shape, 3) == 1
        found.append(_as_tensor(text(one_of(entry, 1)), _TF_TYPES.get(number_of(info, 2)), [-1] if free else sizes))
    return sorted(found, key=lambda t: t.name)


def _contents(inputs: Sequence[Tensor], outputs: Sequence[Tensor], versions: dict[str, str], about: str) -> Contents:
    unclear = []
    strange = [t.name for t in (*inputs, *outputs) if t.kind is None]
    if strange:
        unclear.append(
            f"{', '.join(strange)}: no tensor of a known type; found by trying, or declare it in the contract"
        )
    loose = [t.name for t in outputs if -1 in t.shape]
    if loose:
        unclear.append(f"the size of {', '.join(loose)} is found by trying")
    if any(not t.rows for t in inputs):
        unclear.append("the number of rows is fixed, so it is run row by row")
    return Contents(versions, about, _fields(inputs), _fields(outputs), tuple(unclear))


def _fields(tensors: Sequence[Tensor]) -> tuple[Field, ...]:
    return graphs.fields([t for t in tensors if t.kind])
