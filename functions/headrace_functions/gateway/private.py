"""The gateway's private side in a cluster, on a port of its own: the controller says what changed and asks what was counted.

``POST /changed`` and ``GET /summary``, for who shows the platform's secret.
"""

import orjson

from headrace_functions.errors import HeadraceError, NotFound, Unauthenticated
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.passthrough import Receive, Scope, Send
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.protocol.problems import problem


class GatewayPrivate:
    def __init__(self, resolver: Resolver, measures: GatewayMetrics, secret: PlatformSecret) -> None:
        self._secret = secret
        self._resolver = resolver
        self._measures = measures

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            if not self._secret.is_proof(dict(scope["headers"]).get(PROOF)):
                raise Unauthenticated("the gateway's private port is only for the controller")
            status, body = 200, orjson.dumps(self._answer(scope["method"], scope["path"]))
        except HeadraceError as error:
            answer = problem(error)
            status, body = answer.status, answer.body
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, method: str, path: str) -> dict[str, object]:
        match method, path:
            case "POST", "/changed":
                self._resolver.forget()
                return {}
            case "GET", "/summary":
                return self._measures.summary()
        raise NotFound(f"the gateway's private port has no route for {method} {path}")
