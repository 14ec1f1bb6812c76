"""The methods of ``inference.GRPCInferenceService``, each one request to the gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import orjson

from headrace_functions.errors import HeadraceError, Malformed
from headrace_functions.gateway.calls import DEFINITIONS, UNLOGGED, VERSION
from headrace_functions.gateway.upstream import Reply
from headrace_functions.names import Reference
from headrace_functions.rpc.calls import Call, Method, Unary
from headrace_functions.rpc.descriptors import METHODS, READ_REQUEST, SERVICE, STREAM, message, read
from headrace_functions.rpc.gateway import GatewayClient, header_lines, model_path
from headrace_functions.rpc.status import of_error, of_problem
from headrace_functions.rpc.tensors import http_body, infer_response
from headrace_functions.rpc.wire import CallFailed

_JSON_LENGTH = b"inference-header-content-length"
_TOLD = (VERSION, UNLOGGED, DEFINITIONS)
"""Headers of an answer that are told as trailing metadata."""
_PAGE = 1000
_MAX_INDEX = 100_000
"""Versions that ``RepositoryIndex`` lists at most."""

REQUEST_ID = b"x-request-id"


class _Refused(Exception):
    """An answer of the gateway that is no success."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class InferenceService:
    """Answers calls; one gateway behind it. Errors end calls with a status code and the problem in the trailing metadata."""

    def __init__(self, gateway: GatewayClient) -> None:
        self._gateway = gateway

    def methods(self) -> dict[bytes, Method]:
        """The handlers by path."""
        handlers: dict[str, Callable[[Any, _Call], Awaitable[Any]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        methods = {
            f"/{SERVICE}/{name}".encode(): Method(unary=_answering(name, handlers[name], self._gateway))
            for name in METHODS
        }
        methods[f"/{SERVICE}/{STREAM}".encode()] = Method(streaming=self._stream)
        return methods

    async def _server_live(self, request: Any, call: "_Call") -> Any:
        del request
        return message("inference.ServerLiveResponse")(live=await call.succeeds("/v2/health/live"))

    async def _server_ready(self, request: Any, call: "_Call") -> Any:
        del request
        return message("inference.ServerReadyResponse")(ready=await call.succeeds("/v2/health/ready"))

    async def _model_ready(self, request: Any, call: "_Call") -> Any:
        ready = await call.succeeds(f"{model_path(request.name, request.version)}/ready")
        return message("inference.ModelReadyResponse")(ready=ready)

    async def _server_metadata(self, request: Any, call: "_Call") -> Any:
        del request
        document = await call.document("GET", "/v2")
        return message("inference.ServerMetadataResponse")(
            name=document["name"], version=document["version"], extensions=document["extensions"]
        )

    async def _model_metadata(self, request: Any, call: "_Call") -> Any:
        document = await call.document("GET", model_path(request.name, request.version))
        response = message("inference.ModelMetadataResponse")(
            name=document["name"], versions=document["versions"], platform=document["platform"]
        )
        for side in ("inputs", "outputs"):
            for tensor in document[side]:
                getattr(response, side).add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        return response

    async def _model_infer(self, data: bytes, call: "_Call") -> Any:
        return await call.infer(data)

    async def _stream(self, requests: AsyncIterator[bytes], of: Call) -> AsyncIterator[bytes]:
        """Each request in turn; one that fails is answered by its words, and the stream goes on."""
        respond = message(f"inference.{STREAM}Response")
        async for data in requests:
            call = _Call(self._gateway, of, fresh_id=True)
            try:
                response = await call.infer(data)
            except _Refused as refused:
                told = of_problem(refused.reply.status, refused.reply.body)
                answer = respond(error_message=told.text, infer_response=_named(data))
            except HeadraceError as error:
                answer = respond(error_message=of_error(error, call.request_id).text, infer_response=_named(data))
            else:
                answer = respond(infer_response=response)
            yield answer.SerializeToString()

    async def _repository_index(self, request: Any, call: "_Call") -> Any:
        response = message("inference.RepositoryIndexResponse")()
        path = f"/api/v1/versions?limit={_PAGE}"
        token = ""
        while len(response.models) < _MAX_INDEX:
            page = await call.document("GET", path + (f"&page-token={quote(token)}" if token else ""))
            for item in page["items"]:
                released = item["state"] == "released"
                if released or not request.ready:
                    response.models.add(
                        name=item["model"],
                        version=str(item["number"]),
                        state="READY" if released else "LOADING" if item["state"] == "assembling" else "UNAVAILABLE",
                        reason=item.get("reason") or "",
                    )
            token = page.get("next") or ""
            if not token:
                break
        return response

    async def _load(self, request: Any, call: "_Call") -> Any:
        name = await self._tell("wake", request, call)
        return message("inference.RepositoryModelLoadResponse")(model_name=name, isLoaded=True)

    async def _unload(self, request: Any, call: "_Call") -> Any:
        name = await self._tell("sleep", request, call)
        return message("inference.RepositoryModelUnloadResponse")(model_name=name, isUnloaded=True)

    async def _tell(self, verb: str, request: Any, call: "_Call") -> str:
        """Start the service of a version, or stop one that nobody uses; a released version stays callable either way."""
        name: str = request.model_name or request.repository_name
        reference = Reference.parse(name, field="model_name")
        model, number = reference.name, reference.number
        if reference.alias is not None:
            number = (await call.document("GET", f"/api/v1/models/{model}/aliases/{reference.alias}"))["version"]
        elif number is None:
            number = (await call.document("GET", f"/api/v1/models/{model}"))["released"]
        if number is None:
            raise Malformed(f"{name} has no released version", field="model_name", got=name)
        await call.document("POST", f"/api/v1/services/{model}/{number}/{verb}")
        return name


class _Call:
    """One call: its metadata and its deadline, as the gateway hears them."""

    def __init__(self, gateway: GatewayClient, of: Call, *, fresh_id: bool = False) -> None:
        metadata = of.metadata
        if fresh_id:  # several requests of one stream cannot share one
            metadata = {name: value for name, value in metadata.items() if name != REQUEST_ID}
        self._gateway = gateway
        self._seconds: float | None = None
        if of.deadline is not None:
            self._seconds = of.deadline - asyncio.get_running_loop().time()
        told = metadata.get(b"x-headrace-timeout", b"")
        if told.isdigit() and len(told) < 12:
            limit = int(told) / 1000
            self._seconds = limit if self._seconds is None else min(limit, self._seconds)
        self.request_id, self._headers = header_lines(metadata)
        self.trailing = of.trailing
        self.trailing.append((REQUEST_ID.decode(), self.request_id))

    async def succeeds(self, path: str) -> bool:
        """Whether the gateway says yes. What it is not asked about at all, such as a name that is none, is an error."""
        reply = await self._gateway.ask("GET", path, self._headers, seconds=self._seconds)
        if reply.status not in (200, 404, 503):
            raise _Refused(reply)
        return reply.status == 200

    async def document(self, method: str, path: str) -> dict[str, Any]:
        reply = await self._gateway.ask(method, path, self._headers, seconds=self._seconds)
        if reply.status >= 300:
            raise _Refused(reply)
        found: dict[str, Any] = orjson.loads(reply.body) if reply.body else {}
        return found

    def _end_with(self, name: str, value: str) -> None:
        """With the call's end; once, of a stream's requests that are all told the same."""
        if (name, value) not in self.trailing:
            self.trailing.append((name, value))

    async def infer(self, data: bytes) -> Any:
        request = read(READ_REQUEST, data)
        body, json_length = http_body(request, data)
        headers = b"%bcontent-type: application/octet-stream\r\ninference-header-content-length: %d\r\n" % (
            self._headers,
            json_length,
        )
        path = f"{model_path(request.model_name, request.model_version)}/infer"
        reply = await self._gateway.ask("POST", path, headers, body, self._seconds)
        told = dict(reply.headers)
        for name in _TOLD:
            if name in told:
                self._end_with(name.decode(), told[name].decode("latin-1"))
        if reply.status != 200:
            raise _Refused(reply)
        length = told.get(_JSON_LENGTH)
        return infer_response(reply.body, int(length) if length is not None else None)


def _answering(name: str, handler: Callable[[Any, _Call], Awaitable[Any]], gateway: GatewayClient) -> Unary:
    """A handler of messages as one of bytes, with its errors told as gRPC tells errors."""
    request_of = message(f"inference.{name}Request")

    async def handle(data: bytes, of: Call) -> bytes:
        call = _Call(gateway, of)
        try:
            response = await handler(data if name == "ModelInfer" else read(request_of, data), call)
        except _Refused as refused:
            told = of_problem(refused.reply.status, refused.reply.body)
            retry = refused.reply.header(b"retry-after")
            if retry is not None:
                call.trailing.append(("retry-after", retry.decode("latin-1")))
        except HeadraceError as error:
            told = of_error(error, call.request_id)
        else:
            serialized: bytes = response.SerializeToString()
            return serialized
        raise CallFailed(told.code, told.text, [*call.trailing, *told.trailing])

    return handle


def _named(data: bytes) -> Any:
    """An answer without tensors that says which request it belongs to."""
    named = message("inference.ModelInferResponse")()
    with contextlib.suppress(HeadraceError):
        request = read(READ_REQUEST, data)
        named.model_name, named.model_version, named.id = request.model_name, request.model_version, request.id
    return named
