"""The gRPC server's process: ``python -m headrace_controller.embedded.rpc SETTINGS.json GATEWAY PORT PARENT``.

``GATEWAY`` is the address of the front door, ``unix:/path``, ``PORT`` is kept by the supervisor, so that it is still ours after a restart.
"""

import sys
from pathlib import Path

import uvloop

from headrace_controller.embedded.process import die_with, settings_of
from headrace_controller.logging_setup import set_up_logging
from headrace_functions.rpc.__main__ import serve
from headrace_functions.rpc.server import RpcSettings


def main(path: str, gateway: str, port: str, parent: str) -> int:
    set_up_logging()
    die_with(int(parent))
    settings = settings_of(Path(path))
    files = [Path(f) if f else None for f in (settings.grpc_certificate, settings.grpc_key)]
    uvloop.run(
        serve(
            RpcSettings(
                gateway,
                settings.host,
                int(port),
                files[0],
                files[1],
                shared_port=True,
                drain=settings.drain,
            )
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
