"""A platform in a cluster with a login provider, as docs/security.md says to set it up: people at the gateway's URL, and machines' tokens."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from headrace_controller.definitions import GrantDefinition
from support.certificates import make_certificate
from support.login_provider import RunningProvider, free_port, log_in
from support.login_provider import installed as provider_installed

from .installed import Installed, install, kubectl, until
from .tumours import ROWS, project, request_of

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not provider_installed(), reason="make test-cluster installs the provider with npm"),
]
HOST = os.environ.get("HEADRACE_TEST_S3_HOST", "127.0.0.1")
"""An address of this machine that pods reach."""
AUTHORITY = """
- op: add
  path: /spec/template/spec/containers/0/env/-
  value: {name: SSL_CERT_FILE, value: /etc/headrace/authority/cert.pem}
- op: add
  path: /spec/template/spec/containers/0/volumeMounts/-
  value: {name: authority, mountPath: /etc/headrace/authority}
- op: add
  path: /spec/template/spec/volumes/-
  value: {name: authority, configMap: {name: login-authority}}
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls") / "files", address=HOST)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port(HOST)


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, storage: str, certificate: tuple[Path, Path], port: int
) -> Iterator[Installed]:
    def prepare(namespace: str) -> None:
        kubectl(
            "create", "secret", "generic", "headrace-oidc", "-n", namespace, "--from-literal=client-secret=a-secret"
        )
        kubectl("create", "configmap", "login-authority", "-n", namespace, f"--from-file=cert.pem={certificate[0]}")

    settings = {
        "HEADRACE_AUTH": "1",
        "HEADRACE_PAGES": "1",
        "HEADRACE_OIDC_ISSUER": f"https://{HOST}:{port}",
        "HEADRACE_OIDC_CLIENT_ID": "headrace",
        "HEADRACE_OIDC_AUDIENCE": "urn:headrace",
        "HEADRACE_OIDC_SCOPES": "openid email groups",
        "HEADRACE_PUBLIC_URL": "http://headrace-gateway.{namespace}.headrace.test",
    }
    patch = {"target": {"kind": "Deployment", "name": "headrace-controller"}, "patch": AUTHORITY}
    with contextmanager(install)(
        tmp_path_factory.mktemp("overlay"), f"{storage}/people", [], [patch], prepare, **settings
    ) as installed:
        until(lambda: "first-admin" in installed.kubectl("get", "secrets", "-o", "name"), "there is a first key")
        installed.key = installed.secret("headrace-first-admin-key")["key"]
        yield installed


@pytest.fixture(scope="module")
def provider(platform: Installed, certificate: tuple[Path, Path], port: int) -> Iterator[RunningProvider]:
    redirect = f"{platform.gateway_url}/login/callback"
    found = RunningProvider(port, redirect, host=HOST, certificate=certificate).start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def model(platform: Installed, tmp_path_factory: pytest.TempPathFactory) -> str:
    platform.headrace("apply", "-f", str(project(tmp_path_factory.mktemp("models") / "1", 1.0)))
    with platform.client() as client:
        for name, subject, role in (("growth", "group:growth", "viewer"), ("robot", "machine:robot", "caller")):
            grant = {"kind": "Grant", "name": name, "subjects": [subject], "role": role, "names": ["tumour"]}
            client.apply_grant(GrantDefinition.model_validate(grant))
    return "tumour"


def known(platform: Installed) -> bool:
    return not any("reading the keys" in problem for problem in platform.headrace("status", "--json")["problems"])


def test_a_person_logs_in_at_the_gateways_url_and_may_what_their_groups_may(
    platform: Installed, provider: RunningProvider, model: str
) -> None:
    until(lambda: known(platform), "the controller has read the provider's keys")
    with httpx.Client(verify=provider.verify, trust_env=False, timeout=30) as browser:
        back = log_in(browser, platform.gateway_url, "ann@example.org", "/models/tumour")
        assert (303, "/models/tumour") == (back.status_code, back.headers["location"]), back.text
        who = browser.get(f"{platform.gateway_url}/api/v1/access/whoami").json()
        assert ("user:ann@example.org", ["growth"], ["viewer:tumour"]) == (who["subject"], who["groups"], who["roles"])
        assert 200 == browser.get(f"{platform.gateway_url}/models/tumour").status_code
    with httpx.Client(verify=provider.verify, trust_env=False, timeout=30) as browser:
        log_in(browser, platform.gateway_url, "bob@example.org", "/models/tumour")
        assert 403 == browser.get(f"{platform.gateway_url}/models/tumour").status_code


def test_a_machine_shows_its_token_and_known_ones_count_while_the_controller_is_away(
    platform: Installed, provider: RunningProvider, model: str
) -> None:
    until(lambda: known(platform), "the controller has read the provider's keys")

    def asked(token: str) -> httpx.Response:
        url = f"{platform.gateway_url}/v2/models/tumour/infer"
        shown = {"authorization": f"Bearer {token}"}
        return httpx.post(url, json=request_of(ROWS[:1]), headers=shown, timeout=90, trust_env=False)

    token, other = provider.token(), provider.token()
    until(lambda: asked(token).status_code == 200, "the grant has reached the gateway", 10)
    assert 401 == asked(f"{token[:-6]}forged").status_code
    until(
        lambda: "machine:robot" in [r["caller"] for r in platform.headrace("log", "query", "tumour:1", "--json")],
        "its name is in the log",
    )
    platform.kubectl("scale", "deployment/headrace-controller", "--replicas=0")
    until(lambda: not platform.pods("app.kubernetes.io/name=headrace-controller"), "the controller is away")
    try:
        assert 200 == asked(token).status_code
        unknown = asked(other)
        assert (502, True) == (unknown.status_code, "cannot be verified at the moment" in unknown.text)
    finally:
        platform.kubectl("scale", "deployment/headrace-controller", "--replicas=1")
        platform.kubectl("rollout", "status", "deployment/headrace-controller", "--timeout=120s")
    until(lambda: asked(other).status_code == 200, "a new token is verified again")
