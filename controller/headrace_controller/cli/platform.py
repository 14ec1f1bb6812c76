"""``headrace up`` and ``headrace down``: a platform on this machine."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from headrace_controller.app import up as run_platform
from headrace_controller.cli.output import json_option, print_json, progress
from headrace_controller.embedded.home import Holder, HomeLock, holder_of, listen, stop_holder
from headrace_controller.settings import SPOOL_CAP, Settings, default_home
from headrace_functions.errors import HeadraceError, NotReady
from headrace_functions.forking.process import log_tail
from headrace_functions.storage.layout import ACCESS_KEYS
from headrace_functions.storage.objects import ObjectStore

START_SECONDS = 60.0

_MB = 1024 * 1024
_home = click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Directory for everything the platform stores [HEADRACE_HOME, ~/.headrace].",
)


@click.command()
@_home
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. An address that other machines can reach requires --auth or --insecure.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Allow an address that other machines can reach, although requests are not authenticated.",
)
@click.option(
    "--auth",
    is_flag=True,
    envvar="HEADRACE_AUTH",
    help="Require authentication: API keys, and a login on the pages [HEADRACE_AUTH].",
)
@click.option(
    "--public-url",
    default="",
    help="URL that people use if a proxy is in front of the platform, e.g. https://models.example.org.",
)
@click.option(
    "--unconfined",
    is_flag=True,
    help="Do not confine functions: they may access whatever the platform's user can.",
)
@click.option(
    "--function-path",
    "function_paths",
    multiple=True,
    help="File or directory that functions may read in addition to their own. Can be repeated.",
)
@click.option(
    "--function-network/--no-function-network",
    default=True,
    help="Whether functions may open TCP connections and ports; denying it needs Linux 6.7. Default: they may.",
)
@click.option(
    "--function-memory",
    "function_memory_mb",
    type=click.IntRange(min=16),
    metavar="MB",
    help="Megabytes that each process of a function may allocate beyond its libraries. Default: no limit.",
)
@click.option(
    "--trusted-keys",
    default="",
    envvar="HEADRACE_TRUSTED_KEYS",
    help="Folder of public keys (PEM): build only payloads that one of them has signed [HEADRACE_TRUSTED_KEYS]. Needs headrace[signing].",
)
@click.option("--oidc-issuer", default="", help="URL of the OpenID Connect provider that people log in with.")
@click.option(
    "--oidc-client-id",
    default="",
    help="Client at that provider; its secret, if it has one, is read from HEADRACE_OIDC_CLIENT_SECRET.",
)
@click.option("--oidc-audience", default="", help="Accept the provider's bearer tokens for this audience.")
@click.option(
    "--oidc-groups-claim", default="groups", show_default=True, help="Claim with the groups that grants refer to."
)
@click.option("--oidc-name-claim", default="email", show_default=True, help="Claim with the NAME in user:NAME.")
@click.option("--oidc-scopes", default="openid email profile", show_default=True, help="Scopes to ask for.")
@click.option(
    "--oidc-cli-client-id",
    default="",
    help="Public client at that provider, with the device authorization grant, for: headrace login --provider.",
)
@click.option(
    "--tls-cert",
    "tls_certificate",
    default="",
    help="PEM file with the platform's certificate and any intermediate ones; the port then accepts only TLS.",
)
@click.option("--tls-key", default="", help="PEM file with the private key of --tls-cert.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on; 0 chooses a free port.")
@click.option(
    "--storage",
    default="",
    help="Where to store definitions, logs and reports: a directory or s3://bucket/prefix [<home>/data].",
)
@click.option(
    "--spool-cap",
    type=click.IntRange(min=64 * 1024),
    default=SPOOL_CAP,
    show_default=True,
    help="Bytes of records that each process buffers while the object store is unavailable; records beyond that are dropped and counted.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    help="Origin of web pages that may read responses of /v1 and /v2, e.g. https://app.example.org, or *. Can be repeated.",
)
@click.option(
    "--caller-requests",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Requests per second that one caller may send; more are refused with 429. Default: no limit.",
)
@click.option(
    "--caller-bytes",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Bytes of request bodies per second that one caller may send. Default: no limit.",
)
@click.option(
    "--callback-host",
    "callback_hosts",
    multiple=True,
    help="Host that results of deferred requests may be sent to although it is this machine. May be repeated.",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    help="Also serve gRPC (Open Inference Protocol) on this port; 0 chooses a free port. Needs headrace[grpc].",
)
@click.option(
    "--grpc-certificate", default="", help="PEM file with the gRPC server's certificate; encrypts gRPC calls."
)
@click.option("--grpc-key", default="", help="PEM file with the private key of --grpc-certificate.")
@click.option(
    "--detach",
    is_flag=True,
    help="Run in the background; returns once the platform responds. Stop it with: headrace down.",
)
@json_option
def up(home: Path | None, *, detach: bool, as_json: bool, **settings_given: Any) -> None:
    """Start a platform on this machine and serve until TERM or Ctrl-C.

    All state is stored in the home directory, so a platform can be stopped and started again. Only one platform can use a home at a time.
    """
    for name in ("tls_certificate", "tls_key"):  # found from whatever folder its processes run in
        settings_given[name] = str(Path(settings_given[name]).absolute()) if settings_given[name] else ""
    memory = settings_given.pop("function_memory_mb") or 0
    settings = Settings((home or default_home()).expanduser().resolve(), function_memory=memory * _MB, **settings_given)
    if detach:
        holder = _detached(settings)
        _announce(holder.url, settings, as_json=as_json, pid=holder.identity.pid)
        return
    run_platform(settings, lambda url: _announce(url, settings, as_json=as_json))


@click.command()
@_home
@json_option
def down(home: Path | None, *, as_json: bool) -> None:
    """Stop the platform that runs on a home directory, after open requests are answered and their records are logged."""
    settings = Settings((home or default_home()).expanduser().resolve())
    holder = stop_holder(settings)
    if as_json:
        print_json({"stopped": holder.url, "pid": holder.identity.pid})
    else:
        click.echo(f"stopped {holder.url}")


def _announce(url: str, settings: Settings, *, as_json: bool, **more: Any) -> None:
    holder = holder_of(settings)
    grpc = holder.grpc if holder else ""
    if as_json:
        served = {"grpc": grpc} if grpc else {}
        print_json({"url": url, **served, "home": str(settings.home), "storage": settings.storage_url, **more})
    else:
        click.echo(f"Headrace is up at {url}" + (f", gRPC at {grpc}" if grpc else ""))
        progress(f"home {settings.home}, logs in {settings.logs}")
        if settings.auth and settings.first_key.is_file():
            progress(
                f"callers are asked who they are; log in with the first administrator's key: headrace login < {settings.first_key}"
            )
        elif settings.auth:
            progress("callers are asked who they are: headrace login")
        elif _has_keys(settings):
            progress("warning: this platform has API keys, and without --auth nobody is asked for one")


def _has_keys(settings: Settings) -> bool:
    """Whether somebody made keys for the platform; False where the store cannot be asked, which the platform itself tells."""
    with contextlib.suppress(HeadraceError):
        return bool(ObjectStore(settings.storage_url).folders(ACCESS_KEYS))
    return False


def _login_options(settings: Settings) -> list[str]:
    options = ["--auth"] if settings.auth else []
    if settings.tls_certificate:
        options += ["--tls-cert", settings.tls_certificate, "--tls-key", settings.tls_key]
    options += ["--unconfined"] if settings.unconfined else []
    options += [part for path in settings.function_paths for part in ("--function-path", path)]
    options += [] if settings.function_network else ["--no-function-network"]
    options += ["--function-memory", str(settings.function_memory // _MB)] if settings.function_memory else []
    options += ["--trusted-keys", settings.trusted_keys] if settings.trusted_keys else []
    if settings.oidc_issuer:
        for name in ("issuer", "client_id", "audience", "groups_claim", "name_claim", "scopes", "cli_client_id"):
            value = getattr(settings, f"oidc_{name}")
            options += [f"--oidc-{name.replace('_', '-')}", value] if value else []
    return options


def _edge_options(settings: Settings) -> list[str]:
    options = [part for origin in settings.cors_origins for part in ("--cors-origin", origin)]
    options += [part for host in settings.callback_hosts for part in ("--callback-host", host)]
    if settings.caller_requests:
        options += ["--caller-requests", str(settings.caller_requests)]
    if settings.caller_bytes:
        options += ["--caller-bytes", str(settings.caller_bytes)]
    return options


def _grpc_options(settings: Settings) -> list[str]:
    if settings.grpc_port is None:
        return []
    options = ["--grpc-port", str(settings.grpc_port)]
    if settings.grpc_certificate:
        options += ["--grpc-certificate", settings.grpc_certificate, "--grpc-key", settings.grpc_key]
    return options


def _detached(settings: Settings) -> Holder:
    """Start the same command in a session of its own and wait until it answers."""
    HomeLock(settings).release()  # what is in the way is told here, not in a log
    listen(settings).close()
    log = settings.logs / "platform.log"
    command = [
        sys.executable, "-m", "headrace_controller.cli", "up", "--home", str(settings.home),
        "--host", settings.host, "--port", str(settings.port), "--storage", settings.storage,
        "--spool-cap", str(settings.spool_cap), *(["--insecure"] if settings.insecure else []),
        *_login_options(settings), "--public-url", settings.public_url, *_grpc_options(settings), *_edge_options(settings),
    ]  # fmt: skip
    with log.open("ab") as output:
        before = output.tell()  # earlier starts have written to it, too, and what they say is not of this one
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        holder = holder_of(settings)
        if holder is not None and holder.identity.pid == child.pid:
            return holder
        time.sleep(0.02)
    child.terminate()
    raise NotReady(f"the platform did not start; the end of {log}:\n{log_tail(log, since=before)}")
