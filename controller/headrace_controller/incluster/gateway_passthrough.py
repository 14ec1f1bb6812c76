"""The management API and, behind the same address, the gateway: one URL for the client, as on one machine.

Callers of models use the gateway's own address; this way is for people with ``headrace --context`` and a port-forward.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import orjson
from werkzeug.wrappers import Request, Response

from headrace_controller.catalog.snapshot import CatalogSnapshot
from headrace_functions.access.roles import Caller
from headrace_functions.errors import Forbidden, HeadraceError, Overloaded, TooLarge, Unreachable
from headrace_functions.gateway import tokens
from headrace_functions.gateway.last_known import PATH
from headrace_functions.gateway.routes import route_document
from headrace_functions.names import Reference
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.protocol.problems import problem

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request that is passed on; larger ones go to the gateway itself."""
SECONDS = 900.0
HEALTH = "/healthz"
"""Answers as long as the process does; it asks nobody, so a store that is away kills no controller."""
_BOTH_WAYS = ("content-type", "inference-header-content-length", "traceparent", "x-request-id")
_PASSED_ON = (*_BOTH_WAYS, "content-encoding", "x-headrace-log", "x-headrace-time", "x-headrace-timeout")
_CREDENTIALS = ("authorization", "x-api-key")
_PASSED_BACK = (*_BOTH_WAYS, "retry-after", "x-headrace-version", "allow")
MAX_STREAMS = 8
"""Pages that may be followed here at once: each takes a thread, so many viewers use the gateway's own address."""
_MAX_TOKEN = 16 * 1024

_PROOF_VARIABLE = f"HTTP_{PROOF.decode().upper().replace('-', '_')}"

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Front:
    """WSGI: ``/v1``, ``/v2`` and the streams of live pages go to the gateway at ``gateway`` (a URL), all else to ``management``.

    Gateways ask for what they cannot read while the store is away below ``last_known.PATH``, and at ``tokens.PATH`` whose a bearer token is;
    they show the platform's ``secret``.
    """

    def __init__(
        self,
        management: Application,
        gateway: str,
        known: Callable[[], CatalogSnapshot],
        secret: PlatformSecret,
        verify: Callable[[str], tuple[Caller, float]],
    ) -> None:
        self._secret = secret
        self._verify = verify
        self._streams = threading.Semaphore(MAX_STREAMS)
        self._management = management
        self._known = known
        self._client = httpx.Client(base_url=gateway, timeout=SECONDS, trust_env=False)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == HEALTH:
            return Response("alive\n")(environ, start_response)
        if path.startswith(PATH) or path == tokens.PATH:
            return self._for_gateways(path, environ)(environ, start_response)
        if path == "/events" and "page=" in environ.get("QUERY_STRING", ""):
            return self._follow(Request(environ))(environ, start_response)
        if not path.startswith(("/v1/", "/v2/")) and path != "/v2":
            return self._management(environ, start_response)
        return self._forward(Request(environ))(environ, start_response)

    def close(self) -> None:
        self._client.close()

    def _for_gateways(self, path: str, environ: dict[str, Any]) -> Response:
        try:
            if not self._secret.is_proof(environ.get(_PROOF_VARIABLE, "").encode("latin-1")):
                raise Forbidden("this is available only to gateways")
            if path == tokens.PATH:
                token = Request(environ).stream.read(_MAX_TOKEN).decode("latin-1")
                caller, until = self._verify(token)
                document: Any = {"subject": caller.subject, "groups": caller.groups, "until": until}
            else:
                document = route_document(self._known().route(Reference.parse(path.removeprefix(PATH))))
        except HeadraceError as error:
            return _refusal(error)
        return Response(orjson.dumps(document), content_type="application/json")

    def _follow(self, request: Request) -> Response:
        """The stream of a live page, from the gateway that holds it; for who looks at pages by a port-forward."""
        if not self._streams.acquire(blocking=False):
            return _refusal(
                Overloaded(f"{MAX_STREAMS} pages are already being followed here, which is the maximum", retry_after=10)
            )
        headers = {n: v for n in (*_CREDENTIALS, "cookie") if (v := request.headers.get(n)) is not None}
        proof = {PROOF.decode(): self._secret.value}
        target = f"/events?{request.query_string.decode('latin-1')}"
        asked = self._client.build_request("GET", target, headers=headers | proof)
        try:
            answer = self._client.send(asked, stream=True)
        except httpx.TransportError as error:
            self._streams.release()
            return _refusal(
                Unreachable(f"the gateway does not answer: {error}", hint="check that the Service is ready")
            )
        kept = [(name, answer.headers[name]) for name in ("content-type", "cache-control") if name in answer.headers]
        pieces = _Pieces(answer, self._streams.release)
        return Response(pieces, status=answer.status_code, headers=kept, direct_passthrough=True)

    def _forward(self, request: Request) -> Response:
        if (request.content_length or 0) > MAX_BODY:
            return _refusal(TooLarge("the request body is too large", expected=f"at most {MAX_BODY} bytes here"))
        headers = {
            name: value for name in (*_PASSED_ON, *_CREDENTIALS) if (value := request.headers.get(name)) is not None
        }
        # As it came: a name's characters mean something escaped.
        target = request.environ.get("REQUEST_URI") or request.full_path.removesuffix("?")
        try:
            answer = self._client.request(request.method, target, content=request.get_data(), headers=headers)
        except httpx.TransportError as error:
            return _refusal(
                Unreachable(f"the gateway does not answer: {error}", hint="check that the Service is ready")
            )
        kept = [(name, answer.headers[name]) for name in _PASSED_BACK if name in answer.headers]
        return Response(answer.content, status=answer.status_code, headers=kept)


class _Pieces:
    """The body of a stream as it comes. The server closes it, whoever ended the stream."""

    def __init__(self, answer: httpx.Response, released: Callable[[], None]) -> None:
        self._answer = answer
        self._pieces = answer.iter_raw()
        self._released: Callable[[], None] | None = released

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except httpx.TransportError as error:  # the gateway has gone: browsers come back by themselves
            raise StopIteration from error

    def close(self) -> None:
        self._answer.close()
        if self._released is not None:
            self._released()
            self._released = None


def figures_alone(management: Application, secret: PlatformSecret) -> Application:
    """WSGI: ``/metrics`` of ``management`` and nothing else, so that who watches the platform need not be let in to change it.

    Nobody is asked who they are here: the port has nothing else, and network policies say who reaches it.
    """

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") != "/metrics" or environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return Response("only GET /metrics is answered here\n", status=404)(environ, start_response)
        return management(environ | {_PROOF_VARIABLE: secret.value}, start_response)

    return answer


def for_platform_alone(application: Application, runs_users_code: Callable[[str], bool]) -> Application:
    """WSGI: ``application`` for everybody but pods that run users' code, by the address that they ask from.

    A second line behind network policies, which some clusters do not enforce, and behind credentials, which some platforms do not ask
    for. A pod without privileges cannot send from another address.
    """

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if runs_users_code(environ.get("REMOTE_ADDR", "")):
            error = Forbidden("the management API is not available to pods that run users' code")
            return _refusal(error)(environ, start_response)
        return application(environ, start_response)

    return answer


def _refusal(error: HeadraceError) -> Response:
    found = problem(error)
    return Response(found.body, status=found.status, headers=dict(found.headers))
