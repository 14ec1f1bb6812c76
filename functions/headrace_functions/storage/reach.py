"""What a pod that runs users' code may read and write in the store: pure rules over keys, nothing else is reachable for it.

============== ========================================== ==================================================
holder         reads                                      writes
============== ========================================== ==================================================
a function     ``version.json`` and artifact of its own   segments in its own folder of the inbox, each once
               version, and the layer that it names
a build Job    its question, and what that names          what its question names
============== ========================================== ==================================================

A build's question is written by the controller, and no build may write one. So a pod reaches what it was made for, whatever the
code in it does with its token.
"""

import re
from collections.abc import Mapping
from typing import Any

from headrace_functions.names import VersionId
from headrace_functions.record import EXTERNAL_SPOOL
from headrace_functions.storage import layout

READS, WRITES = "reads", "writes"
"""Members of a build's question: the keys that its Job may read and write beside the question itself."""
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[0-9]{12}\.seg")


def function_reads(version: VersionId) -> frozenset[str]:
    """What a function may read whatever its version says."""
    return frozenset((layout.version_document(version), layout.artifact(version)))


def layer_of(version: Mapping[str, Any]) -> str:
    """The key of the layer that a ``version.json`` names; empty where it names none."""
    runtime = version.get("runtime") or {}
    return layout.layer(str(version["environment"])) if runtime.get("layer") else ""


def is_own_segment(service: str, key: str) -> bool:
    """Whether ``key`` is that of a segment of this service in the inbox. Exchanges of elsewhere come from the platform alone."""
    folder = f"{layout.INBOX}{service}/"
    rest = key.removeprefix(folder)
    return key.startswith(folder) and not rest.startswith(EXTERNAL_SPOOL) and _SEGMENT.fullmatch(rest) is not None


def build_question(build: str) -> str:
    """The key of a build's question."""
    return layout.exchange(build, "question.json")
