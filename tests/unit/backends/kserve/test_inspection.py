"""A cluster looked at through an API server on loopback: one without KServe, one that tells the caller nothing, one that is away."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from headrace_controller.backends.kserve.cluster_check import Unseen
from headrace_controller.backends.kserve.cluster_inspection import inspect
from headrace_controller.cli.entrypoint import front
from headrace_functions.errors import InvalidInput, Unreachable

Answers = dict[str, Any]
REVIEW = {"status": {"allowed": True}}
BARE: Answers = {
    "/version": {"gitVersion": "v1.34.1"},
    "/api/v1/namespaces/models": {"metadata": {"name": "models"}},
    "/api/v1/namespaces/models/secrets/headrace-storage": {"data": {"AWS_ACCESS_KEY_ID": "c2VjcmV0"}},
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": REVIEW,
    "/apis/authorization.k8s.io/v1/subjectaccessreviews": REVIEW,
}
"""A cluster with a namespace and nothing installed; what is not here is answered with 404."""
KNATIVE: Answers = {
    "/apis/serving.knative.dev/v1": {"resources": [{"name": "services"}]},
    "/apis/apps/v1/deployments": {
        "items": [
            {
                "metadata": {"labels": {"app.kubernetes.io/version": "1.21.3"}},
                "spec": {"template": {"spec": {"containers": [{"image": "r.example/controller@sha256:00"}]}}},
            }
        ]
    },
    "/api/v1/namespaces/knative-serving/configmaps/config-autoscaler": {"data": {"enable-scale-to-zero": "false"}},
}


class _Handler(BaseHTTPRequestHandler):
    answers: Answers
    refused: str

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        status, body = (200, self.answers[path]) if path in self.answers else (404, {"message": "not found"})
        if self.refused and path.startswith(self.refused):
            status, body = 403, {"message": f"{path} is forbidden"}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815 -- names that http.server looks for

    def log_message(self, *_: object) -> None:
        """The test's own output is enough."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Starts an API server with answers by path; gives the name of its context."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(answers: Answers, refused: str = "") -> str:
        handler = type("Handler", (_Handler,), {"answers": answers, "refused": refused})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        kubeconfig(tmp_path, monkeypatch, server.server_address[1])
        return "test"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(folder: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig"))


def test_a_cluster_without_knative_and_kserve_is_seen_as_such(cluster: Callable[..., str]) -> None:
    seen = inspect(cluster(BARE), "models")
    assert seen.versions == {"Kubernetes": "v1.34.1", "KServe": None, "KubeRay": None, "Knative Serving": None}
    assert (seen.namespace_there, seen.controller, seen.autoscaler) == (True, None, None)
    assert seen.foreign == ()


def test_versions_come_from_labels_and_settings_from_their_config_maps(cluster: Callable[..., str]) -> None:
    seen = inspect(cluster(BARE | KNATIVE), "models")
    assert seen.versions["Knative Serving"] == "1.21.3"
    assert seen.autoscaler == {"enable-scale-to-zero": "false"}


def test_what_the_caller_may_not_see_is_unknown_and_says_so(cluster: Callable[..., str]) -> None:
    seen = inspect(cluster(BARE | KNATIVE, refused="/api"), "models")
    for found in (seen.namespace_there, seen.secret_keys, seen.autoscaler, seen.account, seen.versions["KServe"]):
        assert isinstance(found, Unseen)
        assert "forbidden" in found.why


def test_of_the_secret_only_the_names_of_its_keys_are_kept(cluster: Callable[..., str]) -> None:
    seen = inspect(cluster(BARE), "models")
    assert seen.secret_keys == frozenset({"AWS_ACCESS_KEY_ID"})
    assert "c2VjcmV0" not in repr(seen)


def test_an_api_server_that_is_away_is_an_error_and_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        kubeconfig(tmp_path, monkeypatch, taken.getsockname()[1])
        with pytest.raises(Unreachable, match="API server does not answer"):
            inspect("test", "models")


def test_a_context_that_is_not_there_names_those_that_are(cluster: Callable[..., str]) -> None:
    cluster(BARE)
    with pytest.raises(InvalidInput) as caught:
        inspect("elsewhere", "models")
    assert (caught.value.field, caught.value.expected) == ("context", "test")


def test_the_command_ends_with_1_and_names_what_is_lacking(cluster: Callable[..., str]) -> None:
    cluster(BARE)
    asked = ["--namespace", "models", "cluster", "check"]
    environment = {"HEADRACE_URL": "", "HEADRACE_CONTEXT": ""}
    found = CliRunner().invoke(front, asked, env=environment, catch_exceptions=False)
    assert found.exit_code == 1
    assert "lacking    KServe: not installed" in found.stdout
    as_json = json.loads(CliRunner().invoke(front, [*asked, "--json"], env=environment).stdout)
    assert as_json["lacking"] == sum(c["level"] == "lacking" for c in as_json["checks"]) > 0
