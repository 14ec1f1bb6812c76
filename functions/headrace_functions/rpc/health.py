"""``grpc.health.v1``: whether the gateway is ready, looked at again and again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from headrace_functions.errors import HeadraceError
from headrace_functions.rpc.calls import Call, Method
from headrace_functions.rpc.descriptors import HEALTH, SERVICE, message, read
from headrace_functions.rpc.gateway import GatewayClient
from headrace_functions.rpc.status import of_error
from headrace_functions.rpc.wire import CallFailed, Code

_Request = message("grpc.health.v1.HealthCheckRequest")
_Response = message("grpc.health.v1.HealthCheckResponse")
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
_KNOWN = ("", SERVICE)


class Health:
    """What is told of the server (``""``) and of the inference service; not serving until the first look."""

    def __init__(self) -> None:
        self._ready = False
        self._changed = asyncio.Event()
        self._over = False

    def methods(self) -> dict[bytes, Method]:
        path = f"/{HEALTH}/".encode()
        return {path + b"Check": Method(unary=self._check), path + b"Watch": Method(streaming=self._watch)}

    def tell(self, *, ready: bool) -> None:
        """Who watches hears of a change."""
        if ready != self._ready:
            self._ready = ready
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def end(self) -> None:
        """Not serving any more; who watches hears it last."""
        self._over = True
        self._ready = True
        self.tell(ready=False)

    async def follow(self, gateway: GatewayClient, every: float) -> None:
        """Ask the gateway every ``every`` seconds, until cancelled."""
        while True:
            ready = False
            with contextlib.suppress(HeadraceError):
                ready = (await gateway.ask("GET", "/v2/health/ready", b"", seconds=every)).status == 200
            self.tell(ready=ready)
            await asyncio.sleep(every)

    def _state(self) -> Any:
        return _Response(status=SERVING if self._ready else NOT_SERVING)

    async def _check(self, data: bytes, call: Call) -> bytes:
        del call
        service = _service(data)
        if service not in _KNOWN:
            raise CallFailed(Code.NOT_FOUND, f"there is no service {service}")
        state: bytes = self._state().SerializeToString()
        return state

    async def _watch(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        del call
        service = ""
        async for data in requests:
            service = _service(data)
            break
        while True:
            changed = self._changed
            yield (self._state() if service in _KNOWN else _Response(status=SERVICE_UNKNOWN)).SerializeToString()
            if self._over:
                return
            await changed.wait()


def _service(data: bytes) -> str:
    try:
        service: str = read(_Request, data).service
    except HeadraceError as error:
        raise of_error(error, "") from error
    return service
