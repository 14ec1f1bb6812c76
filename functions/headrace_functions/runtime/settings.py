"""What a function server is told when it starts: one frozen object, read once, as JSON in a file or through the zygote."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from headrace_functions.errors import InvalidInput
from headrace_functions.recording.spool import CAP_BYTES, SEGMENT_AGE, SEGMENT_BYTES
from headrace_functions.version import Version

_PATHS = {"version", "artifact", "spool", "notify", "log", "temporary"}


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """Settings of one function server. Paths are absolute; sizes are bytes, times seconds."""

    version: Path
    """The version's ``version.json``."""
    artifact: Path
    """Folder with the unpacked artifact."""
    listen: str
    """``unix:/path/to.sock``, or ``tcp:127.0.0.1:9000``; port 0 takes a free one."""
    replica: str = ""
    """Name of this process in records and notifications."""
    spool: Path | None = None
    """``spool/<service>``; None records nothing."""
    spool_cap: int = CAP_BYTES
    segment_bytes: int = SEGMENT_BYTES
    segment_age: float = SEGMENT_AGE
    notify: Path | None = None
    """Unix datagram socket that hears one JSON of ``ready`` or ``failed``."""
    log: Path | None = None
    """File for standard output and error, appended to; None leaves them as they are."""
    drain_timeout: float = 10.0
    """How long SIGTERM waits for open requests; after that the process ends anyway."""
    fast: float = 0.002
    """A function whose runs stay below this runs on the event loop, a slower one in a thread; 0 means always a thread."""
    batch_rows: int = 4096
    """Rows that waiting requests may add up to in one batch; a single request may be longer."""
    secret: str = field(default="", repr=False)
    """The platform's: without it as proof nothing is believed that only the gateway may say of a request. Empty believes nobody."""
    hash_key: str = field(default="", repr=False)
    """By which sensitive fields are hashed, hexadecimal; empty drops them."""
    confined: bool = False
    """Whether the process gives up, for good, what its function does not need; see ``confinement``."""
    temporary: Path | None = None
    """The one folder that a confined function may write to."""
    readable: list[str] = field(default_factory=list)
    """Further files and folders that a confined function may read."""
    network: bool = True
    """Whether a confined function may use TCP."""
    memory: int = 0
    """Bytes that a confined function may allocate beyond what its libraries have, 0 for no limit."""
    platform: str = ""
    """Version of Headrace, told by ``GET /v2``."""

    def to_document(self) -> dict[str, Any]:
        """JSON for ``from_document``; paths are texts."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: str(value) if isinstance(value, Path) else value for name, value in values}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "FunctionSettings":
        """Rebuild settings; ``InvalidInput`` for a member that is missing or unknown or a ``listen`` that cannot be one."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(document.keys() - known)
        missing = sorted({"version", "artifact", "listen"} - document.keys())
        if unknown or missing:
            name = (unknown or missing)[0]
            raise InvalidInput(
                f"settings: {name!r} is {'unknown' if unknown else 'missing'}",
                field=name,
                expected=", ".join(sorted(known)),
            )
        values: dict[str, Any] = {k: Path(v) if k in _PATHS and v is not None else v for k, v in document.items()}
        settings = cls(**values)
        settings.address()
        return settings

    @classmethod
    def read(cls, path: Path) -> "FunctionSettings":
        return cls.from_document(orjson.loads(path.read_bytes()))

    def read_version(self) -> Version:
        return Version.from_document(orjson.loads(self.version.read_bytes()))

    def address(self) -> Path | tuple[str, int]:
        """Where to listen: the path of a Unix socket, or host and port."""
        kind, _, rest = self.listen.partition(":")
        if kind == "unix" and rest.startswith("/"):
            return Path(rest)
        host, _, port = rest.rpartition(":")
        if kind == "tcp" and host and port.isdigit():
            return host, int(port)
        raise InvalidInput(
            f"listen: {self.listen!r} is not an address",
            field="listen",
            expected="unix:/path or tcp:HOST:PORT",
            got=self.listen,
        )
