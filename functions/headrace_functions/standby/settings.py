"""What a standby is told: by the variables of its container, read once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.gateway.incluster import store_proxy
from headrace_functions.startup import NAMESPACE, POD, WORK, port, required
from headrace_functions.storage.proxied import PROXY

FRAMEWORK = "HEADRACE_STANDBY_FRAMEWORK"
VERSIONS = "HEADRACE_STANDBY_VERSIONS"
REQUESTS = "HEADRACE_STANDBY_REQUESTS"
MEMORY = "HEADRACE_STANDBY_CHILD_MIB"
DISK = "HEADRACE_STANDBY_DISK_MIB"
IDLE = "HEADRACE_STANDBY_IDLE"
_SETTER = "knative/components/standby sets it"
_MIB = 1 << 20
_NUMBERS = {
    "versions": VERSIONS,
    "requests": REQUESTS,
    "child_bytes": MEMORY,
    "disk_bytes": DISK,
    "idle": IDLE,
}


@dataclass(frozen=True, slots=True)
class StandbySettings:
    """Settings of one standby process. Times are seconds."""

    proxy: str
    """URL of the store proxy; by whose token something is asked there, each request of a gateway says."""
    work: Path
    """Folder for what is fetched, sockets, and records on their way; all else may be read-only."""
    lock: str
    """SHA-256 of the image's lock: versions that were built for it can be answered for."""
    framework: str = "python"
    """Whose libraries the zygote has imported; other functions of the image can be forked too."""
    replica: str = "standby"
    host: str = "127.0.0.1"
    """In a pod behind Knative's proxy, which alone is to reach it."""
    port: int = 8080
    versions: int = 4
    """Function servers at once; for one more the least recently used idle one ends, and while none is idle it is refused."""
    requests: int = 100
    """Requests open at once for one version; one more waits for the version's own pod."""
    child_bytes: int = 384 * _MIB
    """Private memory of one function server, looked at once a second; one that has more ends, and its version is refused for ``PAUSE``."""
    disk_bytes: int = 1024 * _MIB
    """Unpacked artifacts that are kept; a packed one larger than a quarter of it is refused."""
    idle: float = 30.0
    """How long a function server lives without a request."""
    drain: float = 30.0
    """How long TERM waits for open requests."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], lock: Path) -> "StandbySettings":
        """What is not set keeps its default; ``InvalidInput`` names the variable that is missing or wrong."""
        if not lock.is_file():
            raise InvalidInput(f"this is not a runtime image: it has no {lock}", field="image")
        numbers = {name: _positive(environment, variable) for name, variable in _NUMBERS.items()}
        texts = {"framework": environment.get(FRAMEWORK), "replica": environment.get(POD)}
        given: dict[str, Any] = {k: v for k, v in (texts | numbers).items() if v}
        for name in ("child_bytes", "disk_bytes"):
            if name in given:
                given[name] *= _MIB
        return cls(
            proxy=environment.get(PROXY) or store_proxy(required(environment, NAMESPACE, hint=_SETTER)),
            work=Path(required(environment, WORK, hint=_SETTER)),
            port=port(environment),
            lock=hashlib.sha256(lock.read_bytes()).hexdigest(),
            **given,
        )


def _positive(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise InvalidInput(f"{name}: {value!r} is not a number", field=name, expected="1 or more", got=value)
    return int(value)
