"""The messages and services of the Open Inference Protocol over gRPC, as descriptors built from tables.

Field names, numbers and types are the protocol's. Where two implementations of it differ, this reads what clients of both send:
``RepositoryModelLoad`` has the model's name in field 1 with KServe and in field 2 with Triton, whose field 1 names a repository.
The pool is our own, so that a program may also import the generated modules of a client.
"""

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from headrace_functions.errors import Malformed

PACKAGE = "inference"
SERVICE = "inference.GRPCInferenceService"

_TYPES = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13,
}  # fmt: skip
_MESSAGE, _ENUM = 11, 14
_OPTIONAL, _REPEATED = 1, 3

_CHOICES = {"ServerReflectionRequest": "message_request", "ServerReflectionResponse": "message_response"}
"""Names of messages' choices where it is not ``parameter_choice``."""

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


_READING = "headrace.reading"


def reading_file() -> descriptor_pb2.FileDescriptorProto:
    """``ModelInferRequest`` as it is read here: packed floating-point contents are the bytes of raw ones, so they are read as bytes."""
    names = (
        "InferParameter",
        "InferTensorContents",
        *(name for name in _MESSAGES if name.startswith("ModelInferRequest")),
    )
    messages = {name: _MESSAGES[name] for name in names}
    contents = messages["InferTensorContents"]
    messages["InferTensorContents"] = contents.replace("*float", "*bytes").replace("*double", "*bytes")
    return _file("headrace/reading.proto", _READING, messages)


HEALTH = "grpc.health.v1.Health"
REFLECTIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
"""Packages of the reflection service, whose messages are the same in both."""


def health_file() -> descriptor_pb2.FileDescriptorProto:
    """``grpc.health.v1``."""
    package = HEALTH.rpartition(".")[0]
    file = _file(
        "headrace/health.proto",
        package,
        {
            "HealthCheckRequest": "service 1 string",
            "HealthCheckResponse": "status 1 enum:.HealthCheckResponse.ServingStatus",
        },
    )
    states = file.message_type[1].enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        states.value.add(name=name, number=number)
    service = file.service.add(name="Health")
    types = {"input_type": f".{package}.HealthCheckRequest", "output_type": f".{package}.HealthCheckResponse"}
    service.method.add(name="Check", **types)
    service.method.add(name="Watch", **types, server_streaming=True)
    return file


def reflection_file(package: str) -> descriptor_pb2.FileDescriptorProto:
    """The reflection service in one of its packages."""
    file = _file(
        f"headrace/{package}.proto",
        package,
        {
            "ExtensionRequest": "containing_type 1 string, extension_number 2 int32",
            "ServerReflectionRequest": (
                "host 1 string, file_by_filename 3 |string, file_containing_symbol 4 |string,"
                " file_containing_extension 5 |.ExtensionRequest, all_extension_numbers_of_type 6 |string, list_services 7 |string"
            ),
            "FileDescriptorResponse": "file_descriptor_proto 1 *bytes",
            "ExtensionNumberResponse": "base_type_name 1 string, extension_number 2 *int32",
            "ServiceResponse": "name 1 string",
            "ListServiceResponse": "service 1 *.ServiceResponse",
            "ErrorResponse": "error_code 1 int32, error_message 2 string",
            "ServerReflectionResponse": (
                "valid_host 1 string, original_request 2 .ServerReflectionRequest, file_descriptor_response 4 |.FileDescriptorResponse,"
                " all_extension_numbers_response 5 |.ExtensionNumberResponse, list_services_response 6 |.ListServiceResponse,"
                " error_response 7 |.ErrorResponse"
            ),
        },
    )
    file.service.add(name="ServerReflection").method.add(
        name="ServerReflectionInfo",
        input_type=f".{package}.ServerReflectionRequest",
        output_type=f".{package}.ServerReflectionResponse",
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
            message.oneof_decl.add(name=_CHOICES.get(message.name, "parameter_choice"))
        field.oneof_index, kind = 0, kind[1:]
    if kind in _TYPES:
        field.type = _TYPES[kind]
    elif kind.startswith("enum:"):
        field.type, field.type_name = _ENUM, f".{package}{kind.removeprefix('enum:')}"
    else:
        field.type = _MESSAGE
        field.type_name = f".{package}{kind}" if kind.startswith(".") else f".{kind}"


POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
for _made in (inference_file(), reading_file(), status_file(), health_file(), *map(reflection_file, REFLECTIONS)):
    POOL.AddSerializedFile(_made.SerializeToString())


def message(name: str) -> Any:
    """The class of a message by its full name, e.g. ``inference.ModelInferRequest``."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


READ_REQUEST = message(f"{_READING}.ModelInferRequest")
"""``ModelInferRequest`` with floating-point contents as bytes."""


def read(kind: Any, data: bytes) -> Any:
    """The message of a class in ``data``; ``Malformed`` where it is none."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise Malformed(f"the message is not a {kind.DESCRIPTOR.name}") from error
