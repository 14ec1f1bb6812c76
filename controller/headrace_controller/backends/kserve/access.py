"""The way from outside to a platform's management API: through the Kubernetes API server, with the caller's own rights.

Nothing has to be opened to the world for it: who may use ``services/proxy`` in the platform's namespace may use the platform.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from headrace_functions.errors import InvalidInput

SERVICE = "headrace-controller"


@dataclass(frozen=True, slots=True)
class Access:
    """A URL and what its server asks for."""

    url: str
    tls: ssl.SSLContext | bool
    authorization: Callable[[], str]
    """The header's value for the next request (tokens run out and are made anew), empty where a certificate says who asks."""


def access(context: str, namespace: str) -> Access:
    """The platform in a namespace of a kubeconfig context; ``InvalidInput`` names what there is where there is none of it."""
    configuration = choose_context(context)
    url = f"{configuration.host}/api/v1/namespaces/{namespace}/services/http:{SERVICE}:http/proxy"
    return Access(url, _tls(configuration), lambda: _authorization(configuration))


def choose_context(context: str | None) -> client.Configuration:
    """How to talk to a context of the kubeconfig, None for its current one; ``InvalidInput`` names the contexts there are."""
    configuration = client.Configuration()
    try:
        config.load_kube_config(context=context, client_configuration=configuration)
    except ConfigException as error:
        raise InvalidInput(
            f"context: {error}",
            field="context",
            expected=_contexts(),
            got=context or "the current one",
            hint="'kubectl config get-contexts' shows them; KUBECONFIG names the file",
        ) from error
    return configuration


def _contexts() -> str:
    try:
        found, _ = config.list_kube_config_contexts()
    except ConfigException:
        return "a kubeconfig file with contexts"
    return ", ".join(sorted(c["name"] for c in found)) or "a context of the kubeconfig"


def _tls(configuration: client.Configuration) -> ssl.SSLContext | bool:
    if not configuration.host.startswith("https:"):
        return True
    made = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:  # as the kubeconfig says: insecure-skip-tls-verify
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        made.load_cert_chain(configuration.cert_file, configuration.key_file)
    return made


def _authorization(configuration: client.Configuration) -> str:
    settings = configuration.auth_settings().get("BearerToken", {})
    return str(settings.get("value") or "")
