"""Metric models asked through the gateway, marked so that the questions do not enter the log as traffic.

The embedded platform asks over the gateway's private socket, a collector in a cluster at the gateway's URL.
"""

from collections.abc import Callable

import httpx

from headrace_controller.requestlog.model_requests import Reply, Unanswered
from headrace_functions.errors import StorageFailed
from headrace_functions.names import VersionId

SECONDS = 120.0
"""Longest wait for an answer, waking included; the version's own limits are stricter."""


class GatewayAsking:
    """An ``Ask`` over a client whose base is the gateway; ``purpose`` gives the platform's word, read for each question."""

    def __init__(self, client: httpx.Client, purpose: Callable[[], str]) -> None:
        self._client = client
        self._purpose = purpose

    def __call__(self, version: VersionId, body: bytes) -> Reply:
        path = f"/v2/models/{version.model}/versions/{version.number}/infer"
        try:
            headers = {"content-type": "application/json", "x-headrace-purpose": f"explain {self._purpose()}"}
            answer = self._client.post(path, content=body, headers=headers)
        except (httpx.TransportError, OSError, StorageFailed) as error:
            raise Unanswered(f"the gateway does not answer: {error}") from error
        return Reply(answer.status_code, answer.content)
