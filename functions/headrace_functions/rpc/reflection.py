"""Server reflection: which services there are, and the files that describe them."""

from collections.abc import AsyncIterator
from typing import Any

from headrace_functions.errors import HeadraceError
from headrace_functions.rpc.calls import Call, Method
from headrace_functions.rpc.descriptors import HEALTH, POOL, REFLECTIONS, SERVICE, message, read
from headrace_functions.rpc.status import of_error
from headrace_functions.rpc.wire import Code

SERVICES = (SERVICE, HEALTH, *(f"{package}.ServerReflection" for package in REFLECTIONS))


def methods() -> dict[bytes, Method]:
    """The handlers by path, in each package of the service."""
    return {
        f"/{package}.ServerReflection/ServerReflectionInfo".encode(): Method(streaming=_Reflection(package).answers)
        for package in REFLECTIONS
    }


class _Reflection:
    def __init__(self, package: str) -> None:
        self._request = message(f"{package}.ServerReflectionRequest")
        self._response = message(f"{package}.ServerReflectionResponse")

    async def answers(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """One answer a request."""
        del call
        async for data in requests:
            try:
                request = read(self._request, data)
            except HeadraceError as error:
                raise of_error(error, "") from error
            yield self._answer(request).SerializeToString()

    def _answer(self, request: Any) -> Any:
        response = self._response(valid_host=request.host, original_request=request)
        wanted = request.WhichOneof("message_request")
        try:
            if wanted == "list_services":
                for name in SERVICES:
                    response.list_services_response.service.add(name=name)
            elif wanted == "file_by_filename":
                _add(response, POOL.FindFileByName(request.file_by_filename))
            elif wanted == "file_containing_symbol":
                _add(response, _file_of(request.file_containing_symbol))
            elif wanted == "all_extension_numbers_of_type":  # nothing of ours has extensions
                POOL.FindMessageTypeByName(request.all_extension_numbers_of_type)
                response.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
            else:
                raise KeyError
        except KeyError:
            response.error_response.error_code = Code.NOT_FOUND
            response.error_response.error_message = "there is no such file, symbol or extension"
        return response


def _file_of(symbol: str) -> Any:
    """The file of a service, message or method; protobuf's own search does not know methods."""
    try:
        return POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        service, _, method = symbol.rpartition(".")
        found = POOL.FindServiceByName(service)
        if method not in found.methods_by_name:
            raise
        return found.file


def _add(response: Any, file: Any) -> None:
    """A file behind those that it needs."""
    for needed in file.dependencies:
        _add(response, needed)
    response.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
