"""Settings of a platform: read once at the composition root and passed as values."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from headrace_functions.errors import InvalidInput

SPOOL_CAP = 256 * 1024 * 1024
PURPOSE_TOKEN = "HEADRACE_PURPOSE_TOKEN"  # noqa: S105 -- the name of the variable that holds it
"""Environment variable by which jobs get the word that lets their questions stay out of the log."""
DEFAULT_HOME = "~/.headrace"


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """``HEADRACE_HOME`` or ``~/.headrace``."""
    return Path(environment.get("HEADRACE_HOME") or DEFAULT_HOME).expanduser()


@dataclass(frozen=True, slots=True)
class Settings:
    """One embedded platform."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes any free port."""
    storage: str = ""
    """Storage URL; empty is ``<home>/data``. S3 takes credentials from ``AWS_*`` variables."""
    spool_cap: int = SPOOL_CAP
    """Bytes of records one process may hold back while the store is away; then records are dropped and counted."""
    collect_every: float = 0.5
    """Seconds between two looks of the collector for new segments."""
    collector_idle: float = 30.0
    """Seconds without a record after which the collector process ends; the next record starts it."""
    drain: float = 15.0
    """Seconds that open requests get when the platform stops."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidInput(f"port {self.port} is not one", field="port", expected="0 to 65535")
        scheme = urlsplit(self.storage).scheme
        if scheme not in ("", "file", "s3"):
            raise InvalidInput(
                f"storage {self.storage!r} is not a URL we know",
                field="storage",
                expected="a path, file:///… or s3://bucket/prefix",
            )

    @property
    def storage_url(self) -> str:
        return self.storage or str(self.home / "data")

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def purpose(self) -> Path:
        """The word that lets the platform's own questions stay out of the log; for the owner of the home alone."""
        return self.run / "purpose"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    @property
    def environments(self) -> Path:
        return self.home / "environments"

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def controller_socket(self) -> Path:
        return self.run / "controller.sock"

    @property
    def gateway_socket(self) -> Path:
        """The gateway's private side, for the controller only."""
        return self.run / "gateway.sock"
