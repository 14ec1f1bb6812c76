"""Settings of a platform: read once at the composition root and passed as values."""

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from headrace_functions.errors import InvalidInput

SPOOL_CAP = 256 * 1024 * 1024
PURPOSE_TOKEN = "HEADRACE_PURPOSE_TOKEN"  # noqa: S105 -- the name of the variable that holds it
"""Environment variable by which jobs get the word that lets their questions stay out of the log."""
DEFAULT_HOME = "~/.headrace"
MAX_SOCKET_PATH = 100
"""Bytes of the path of a Unix socket that every system takes, with some to spare."""
LONGEST_SOCKET = 62
"""Bytes that the name of a socket may add: a model's 40, its version, a number and a suffix."""
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
SHORT = "/tmp"  # noqa: S108 -- below it a folder of our own, for its owner alone


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """``HEADRACE_HOME`` or ``~/.headrace``."""
    return Path(environment.get("HEADRACE_HOME") or DEFAULT_HOME).expanduser()


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host.lower() in ("localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


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
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages that may read answers of ``/v1`` and ``/v2``; ``*`` for all."""
    caller_requests: float = 0.0
    """Requests a second that one caller may send, 0 for no limit."""
    caller_bytes: float = 0.0
    """Bytes of request bodies a second that one caller may send, 0 for no limit."""
    callback_hosts: tuple[str, ...] = ()
    """Hosts that results of deferred requests may be sent to although they are this machine, or link-local."""
    grpc_port: int | None = None
    """Port of the gRPC server on the same host; 0 takes any free one, None starts none."""
    grpc_certificate: str = ""
    """PEM file with the certificate of the gRPC server; with ``grpc_key`` calls are encrypted."""
    grpc_key: str = ""
    tls_certificate: str = ""
    """PEM file with the certificate of the front door, and those between it and its authority; with ``tls_key`` it speaks TLS alone."""
    tls_key: str = ""
    insecure: bool = False
    """Whether other machines may connect, although nobody is asked who they are."""
    auth: bool = False
    """Whether callers are asked who they are: by API keys, and sessions on the pages."""
    public_url: str = ""
    """The URL by which people reach the platform where something stands before it, e.g. ``https://models.example.org``."""

    unconfined: bool = False
    """Whether functions may reach what the platform's user may, though the kernel could keep them from it."""
    function_paths: tuple[str, ...] = ()
    """Files and folders that functions may read beside their own."""
    function_network: bool = True
    """Whether functions may use TCP."""
    function_memory: int = 0
    """Bytes that a process of a function may allocate beyond its libraries, 0 for no limit."""
    trusted_keys: str = ""
    """Folder of public keys; where it is set, payloads must be signed by one of them."""
    release_key: str = field(default="", repr=False)
    """By which releases are signed and checked, in a cluster; they are neither where it is empty."""
    oidc_issuer: str = ""
    """URL of an OpenID Connect provider at which people log in, and whose tokens machines show; none where it is empty."""
    oidc_client_id: str = ""
    oidc_audience: str = ""
    """Audience of bearer tokens of machines; none are taken where it is empty."""
    oidc_groups_claim: str = "groups"
    oidc_name_claim: str = "email"
    oidc_scopes: str = "openid email profile"
    oidc_cli_client_id: str = ""
    """The public client at that provider for logins from a terminal; none are taken where it is empty."""

    def __post_init__(self) -> None:
        if self.oidc_issuer and not (self.auth and self.oidc_client_id):
            raise InvalidInput(
                "oidc-issuer: it requires --auth and --oidc-client-id",
                field="oidc-issuer",
                expected="all three options",
            )
        if not 0 <= self.port <= 65535:
            raise InvalidInput(
                f"port: {self.port} is not a port number", field="port", expected="0 to 65535", got=str(self.port)
            )
        if self.grpc_port is not None and not 0 <= self.grpc_port <= 65535:
            raise InvalidInput(
                f"grpc-port: {self.grpc_port} is not a port number",
                field="grpc-port",
                expected="0 to 65535",
                got=str(self.grpc_port),
            )
        for origin in self.cors_origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise InvalidInput(
                    f"cors-origin: {origin!r} is not an origin",
                    field="cors-origin",
                    expected="scheme and host, such as https://app.example.org, or *",
                )
        self._check_certificates()
        if self.public_url and urlsplit(self.public_url).scheme not in ("http", "https"):
            raise InvalidInput(
                f"public_url: {self.public_url!r} is not a URL", field="public_url", expected="http://… or https://…"
            )
        if not self.insecure and not self.auth and not is_loopback(self.host):
            raise InvalidInput(
                f"host: {self.host} can be reached from other machines, and callers are not authenticated",
                field="host",
                expected="a loopback address such as 127.0.0.1",
                got=self.host,
                hint="authenticate callers with --auth, or accept the risk with --insecure",
            )
        scheme = urlsplit(self.storage).scheme
        if scheme not in ("", "file", "s3"):
            raise InvalidInput(
                f"storage: {self.storage!r} is not supported",
                field="storage",
                expected="a path, file:///… or s3://bucket/prefix",
            )

    def _check_certificates(self) -> None:
        if bool(self.grpc_certificate) != bool(self.grpc_key):
            raise InvalidInput(
                "grpc-certificate and grpc-key must be given together",
                field="grpc-key",
                expected="both files, or neither",
            )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise InvalidInput(
                "--tls-cert and --tls-key must be given together", field="tls-key", expected="both files, or neither"
            )

    @property
    def scheme(self) -> str:
        return "https" if self.tls_certificate else "http"

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
    def sockets(self) -> Path:
        """Where Unix sockets are: ``run``, or a short private folder that ``run/sockets`` links to where the home's path is too long."""
        if len(os.fsencode(self.run)) + LONGEST_SOCKET <= MAX_SOCKET_PATH:
            return self.run
        return Path(SHORT) / f"headrace-{os.getuid()}-{hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]}"

    @property
    def purpose(self) -> Path:
        """The word that lets the platform's own questions stay out of the log; for the owner of the home alone."""
        return self.run / "purpose"

    @property
    def first_key(self) -> Path:
        """The first administrator's API key, until somebody takes it away; for the owner of the home alone."""
        return self.run / "first-admin-key"

    @property
    def hash_key(self) -> Path:
        """The key by which values of sensitive fields are hashed; for the owner of the home alone."""
        return self.home / "hash-key"

    @property
    def retired_hash_keys(self) -> Path:
        """Earlier hash keys, a line each, the oldest first."""
        return self.home / "hash-key.retired"

    def read_hash_keys(self) -> list[str]:
        """The hash key and those before it, the newest first."""
        try:
            retired = self.retired_hash_keys.read_text().split()
        except FileNotFoundError:
            retired = []
        return [key for key in (self.read_hash_key(), *reversed(retired)) if key]

    def read_hash_key(self) -> str:
        """The key, hexadecimal; empty where there is none, and a hash is then a drop."""
        try:
            return self.hash_key.read_text().strip()
        except FileNotFoundError:
            return ""

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
        return self.sockets / "controller.sock"

    @property
    def door_socket(self) -> Path:
        """The gateway's front door for the gRPC server."""
        return self.sockets / "door.sock"

    @property
    def gateway_socket(self) -> Path:
        """The gateway's private side, for the controller only."""
        return self.sockets / "gateway.sock"
