"""``python -m headrace_functions.rpc``: a gRPC server before a gateway, told by its environment.

``HEADRACE_GATEWAY`` is the gateway's address (``tcp:host:port`` or ``unix:/path``), ``PORT`` the port to listen on (8081). Without an address
it is the gateway of ``HEADRACE_NAMESPACE`` in a cluster.
"""

import gc
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.rpc.server import RpcServer, RpcSettings
from headrace_functions.serving import told_to_stop
from headrace_functions.startup import NAMESPACE, cannot_start

log = logging.getLogger("headrace.grpc")

_COLLECT_AFTER = 50_000  # objects: calls leave no cycles, and each look for garbage holds all of them up


async def serve(settings: RpcSettings) -> None:
    """Serve until TERM or INT."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)
    stop = told_to_stop()
    server = RpcServer(settings)
    try:
        port = await server.start()
        log.info("serving gRPC on port %d", port)
        await stop.wait()
        log.info("draining")
    finally:
        await server.stop()
    log.info("stopped")


def from_environment(environment: Mapping[str, str]) -> RpcSettings:
    namespace = environment.get(NAMESPACE)
    in_cluster = f"tcp:headrace-gateway.{namespace}.svc:80" if namespace else ""
    gateway, port = environment.get("HEADRACE_GATEWAY") or in_cluster, environment.get("PORT", "8081")
    if not gateway.startswith(("tcp:", "unix:")):
        raise InvalidInput(
            "HEADRACE_GATEWAY is not an address",
            field="HEADRACE_GATEWAY",
            expected="tcp:host:port or unix:/path",
            got=gateway,
        )
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise InvalidInput(f"PORT: {port!r} is not a port", field="PORT", expected="0 to 65535", got=port)
    files = [Path(v) if v else None for v in map(environment.get, ("HEADRACE_GRPC_CERTIFICATE", "HEADRACE_GRPC_KEY"))]
    return RpcSettings(gateway, environment.get("HEADRACE_HOST", "0.0.0.0"), int(port), files[0], files[1])  # noqa: S104 -- inside its pod


def main() -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
    )
    try:
        uvloop.run(serve(from_environment(os.environ)))
    except HeadraceError as error:
        sys.exit(cannot_start(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
