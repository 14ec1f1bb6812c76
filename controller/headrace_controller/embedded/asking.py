"""Metric models asked through the gateway's private socket, marked so that the questions do not enter the log as traffic."""

from pathlib import Path

import httpx

from headrace_controller.collector.asking import Reply, Unanswered
from headrace_functions.names import VersionId

_SECONDS = 120.0  # waking included; the version's own limits are stricter


class GatewayAsking:
    """An ``Ask`` over the Unix socket; ``purpose`` is the file with the platform's word."""

    def __init__(self, socket: Path, purpose: Path) -> None:
        self._purpose = purpose
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://gateway", timeout=_SECONDS
        )

    def __call__(self, version: VersionId, body: bytes) -> Reply:
        path = f"/v2/models/{version.model}/versions/{version.number}/infer"
        try:
            headers = {"content-type": "application/json", "x-headrace-purpose": f"explain {self._purpose.read_text()}"}
            answer = self._client.post(path, content=body, headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise Unanswered(f"the gateway does not answer: {error}") from error
        return Reply(answer.status_code, answer.content)

    def close(self) -> None:
        self._client.close()
