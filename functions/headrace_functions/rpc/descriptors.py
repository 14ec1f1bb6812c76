"""The messages and services of the Open Inference Protocol over gRPC, as descriptors built from tables.

Field names, numbers and types are the protocol's. Where two implementations of it differ, this reads what clients of both send:
``RepositoryModelLoad`` has the model's name in field 1 with KServe and in field 2 with Triton, whose field 1 names a repository.
The pool is our own, so that a program may also import the generated modules of a client.
"""

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = "inference.GRPCInferenceService"

_TYPES = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13,
}  # fmt: skip
_MESSAGE = 11
_OPTIONAL, _REPEATED = 1, 3

# A line is "NAME NUMBER TYPE"; "*TYPE" is repeated, "|TYPE" a member of the message's one choice, "map:TYPE" a map from texts.
_MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live 1 bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready 1 bool",
    "ModelReadyRequest": "name 1 string, version 2 string",
    "ModelReadyResponse": "ready 1 bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name 1 string, version 2 string, extensions 3 *string",
    "ModelMetadataRequest": "name 1 string, version 2 string",
    "ModelMetadataResponse": (
        "name 1 string, versions 2 *string, platform 3 string, inputs 4 *.ModelMetadataResponse.TensorMetadata,"
        " outputs 5 *.ModelMetadataResponse.TensorMetadata"
    ),
    "ModelMetadataResponse.TensorMetadata": "name 1 string, datatype 2 string, shape 3 *int64",
    "InferParameter": (
        "bool_param 1 |bool, int64_param 2 |int64, string_param 3 |string, double_param 4 |double, uint64_param 5 |uint64"
    ),
    "InferTensorContents": (
        "bool_contents 1 *bool, int_contents 2 *int32, int64_contents 3 *int64, uint_contents 4 *uint32,"
        " uint64_contents 5 *uint64, fp32_contents 6 *float, fp64_contents 7 *double, bytes_contents 8 *bytes"
    ),
    "ModelInferRequest": (
        "model_name 1 string, model_version 2 string, id 3 string, parameters 4 map:.InferParameter,"
        " inputs 5 *.ModelInferRequest.InferInputTensor, outputs 6 *.ModelInferRequest.InferRequestedOutputTensor,"
        " raw_input_contents 7 *bytes"
    ),
    "ModelInferRequest.InferInputTensor": (
        "name 1 string, datatype 2 string, shape 3 *int64, parameters 4 map:.InferParameter, contents 5 .InferTensorContents"
    ),
    "ModelInferRequest.InferRequestedOutputTensor": "name 1 string, parameters 2 map:.InferParameter",
    "ModelInferResponse": (
        "model_name 1 string, model_version 2 string, id 3 string, parameters 4 map:.InferParameter,"
        " outputs 5 *.ModelInferResponse.InferOutputTensor, raw_output_contents 6 *bytes"
    ),
    "ModelInferResponse.InferOutputTensor": (
        "name 1 string, datatype 2 string, shape 3 *int64, parameters 4 map:.InferParameter, contents 5 .InferTensorContents"
    ),
    "ModelStreamInferResponse": "error_message 1 string, infer_response 2 .ModelInferResponse",
    "RepositoryIndexRequest": "repository_name 1 string, ready 2 bool",
    "RepositoryIndexResponse": "models 1 *.RepositoryIndexResponse.ModelIndex",
    "RepositoryIndexResponse.ModelIndex": "name 1 string, version 2 string, state 3 string, reason 4 string",
    "RepositoryModelLoadRequest": "repository_name 1 string, model_name 2 string",
    "RepositoryModelLoadResponse": "model_name 1 string, isLoaded 2 bool",
    "RepositoryModelUnloadRequest": "repository_name 1 string, model_name 2 string",
    "RepositoryModelUnloadResponse": "model_name 1 string, isUnloaded 2 bool",
}
METHODS = (
    "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
    "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
)  # fmt: skip
"""Methods with one request and one answer, whose messages are called ``<method>Request`` and ``<method>Response``."""
STREAM = "ModelStreamInfer"
"""Triton's extension: any number of ``ModelInferRequest`` in, of ``ModelStreamInferResponse`` out."""


def inference_file() -> descriptor_pb2.FileDescriptorProto:
    """The protocol's file, as a compiler of ``.proto`` files would have made it."""
    file = _file("headrace/open_inference.proto", PACKAGE, _MESSAGES)
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for method in METHODS:
        service.method.add(
            name=method, input_type=f".{PACKAGE}.{method}Request", output_type=f".{PACKAGE}.{method}Response"
        )
    service.method.add(
        name=STREAM,
        input_type=f".{PACKAGE}.ModelInferRequest",
        output_type=f".{PACKAGE}.{STREAM}Response",
        client_streaming=True,
        server_streaming=True,
    )
    return file


def status_file() -> descriptor_pb2.FileDescriptorProto:
    """``google.rpc.Status`` and ``ErrorInfo``, in which gRPC libraries look for the details of an error."""
    file = _file(
        "headrace/status.proto",
        "google.rpc",
        {
            "Status": "code 1 int32, message 2 string, details 3 *google.protobuf.Any",
            "ErrorInfo": "reason 1 string, domain 2 string, metadata 3 map:string",
        },
    )
    file.dependency.append(any_pb2.DESCRIPTOR.name)
    return file


def _file(name: str, package: str, messages: dict[str, str]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for full, lines in messages.items():
        outer, _, inner = full.rpartition(".")
        made[full] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=full)
        for line in filter(None, (part.strip() for part in lines.split(","))):
            field, number, kind = line.split(" ")
            _add_field(made[full], f"{package}.{full}", package, (field, int(number), kind))
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, owner: str, package: str, spec: tuple[str, int, str]) -> None:
    name, number, kind = spec
    field = message.field.add(name=name, number=number, label=_OPTIONAL)
    if kind.startswith("map:"):
        entry = f"{name.title().replace('_', '')}Entry"
        nested = message.nested_type.add(name=entry)
        nested.options.map_entry = True
        _add_field(nested, f"{owner}.{entry}", package, ("key", 1, "string"))
        _add_field(nested, f"{owner}.{entry}", package, ("value", 2, kind.removeprefix("map:")))
        field.label, field.type, field.type_name = _REPEATED, _MESSAGE, f".{owner}.{entry}"
        return
    if kind.startswith("*"):
        field.label, kind = _REPEATED, kind[1:]
    elif kind.startswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index, kind = 0, kind[1:]
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type = _MESSAGE
        field.type_name = f".{package}{kind}" if kind.startswith(".") else f".{kind}"


POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
POOL.AddSerializedFile(inference_file().SerializeToString())
POOL.AddSerializedFile(status_file().SerializeToString())


def message(name: str) -> Any:
    """The class of a message by its full name, e.g. ``inference.ModelInferRequest``."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))
