"""The client of the Kubernetes API against a scripted API server on loopback: watches, races, words of errors."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from headrace_controller.backends.kserve import cluster as cluster_module
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import Conflict, HeadraceError, InvalidInput, NotReady, Unreachable

Json = dict[str, Any]
OURS = {"app.kubernetes.io/managed-by": "headrace", "headrace.dev/platform": "headrace"}
WANTED = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "m-v1"}}


def item(name: str = "m-v1", revision: str = "7", **more: Any) -> Json:
    return {"metadata": {"name": name, "resourceVersion": revision, "uid": "u", "labels": OURS, **more}}


def failure(code: int, message: str) -> tuple[int, Json]:
    return code, {"kind": "Status", "code": code, "message": message}


class ApiServer(ThreadingHTTPServer):
    """Answers each request with the next of its script; a list is the lines of a watch. It remembers what was asked."""

    daemon_threads = True

    def __init__(self, *script: tuple[int, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(script)
        self.asked: list[tuple[str, dict[str, str], Json]] = []
        self.over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append((self.command, query, json.loads(body or b"{}")))
        if not self.server.script:
            self.server.over.set()
            self.server.script = [(503, {"message": "the script has passed"})]
        status, content = self.server.script.pop(0)
        data = (
            b"".join(json.dumps(e).encode() + b"\n" for e in content)
            if isinstance(content, list)
            else json.dumps(content).encode()
        )
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = do_DELETE = _answer  # noqa: N815 -- names that http.server looks for

    def log_message(self, *_: object) -> None:
        """The test's own output is enough."""


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts an API server with a script; gives it with a client of it."""
    monkeypatch.setattr(cluster_module, "_FIRST_PAUSE", 0.01)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    started: list[tuple[ApiServer, threading.Thread, Cluster]] = []

    def start(*script: tuple[int, Any]) -> tuple[ApiServer, Cluster]:
        server = ApiServer(*script)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        kubeconfig = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "test", "user": {}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        client = Cluster(ClusterSettings("s3://b"))
        started.append((server, thread, client))
        return server, client

    yield start
    for server, thread, client in started:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def heard(server: ApiServer, client: Cluster) -> list[list[str]]:
    """What a watch tells until the script is over: the names and revisions of each state."""
    told: list[list[str]] = []

    def listen(_: str, objects: dict[str, Json]) -> None:
        told.append(sorted(f"{n}@{o['metadata']['resourceVersion']}" for n, o in objects.items()))

    watching = threading.Thread(target=client.watch, args=("services", listen))
    watching.start()
    assert server.over.wait(20)
    client.close()
    watching.join(20)
    assert not watching.is_alive()
    return told


def listing(revision: str, *items: Json) -> tuple[int, Json]:
    return 200, {"metadata": {"resourceVersion": revision}, "items": list(items)}


def test_a_watch_goes_on_where_it_ended(serving: Any) -> None:
    added = {"type": "ADDED", "object": item("b", "8")}
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "20"}}}
    deleted = {"type": "DELETED", "object": item("a", "21")}
    server, client = serving(listing("7", item("a")), (200, [added, bookmark]), (200, [deleted]))
    assert heard(server, client) == [["a@7"], ["a@7", "b@8"], ["b@8"]]
    assert [q.get("resourceVersion") for _, q, _ in server.asked[:4]] == [None, "7", "20", "21"]
    assert server.asked[0][1]["labelSelector"] == ",".join(f"{k}={v}" for k, v in OURS.items())


@pytest.mark.parametrize(
    "forgotten",
    [(200, [{"type": "ERROR", "object": {"code": 410, "message": "too old"}}]), failure(410, "too old")],
    ids=["in the stream", "as an answer"],
)
def test_a_watch_whose_place_is_forgotten_lists_anew(serving: Any, forgotten: tuple[int, Any]) -> None:
    server, client = serving(listing("7", item("a")), forgotten, listing("99", item("c", "50")), (200, []))
    assert heard(server, client)[:2] == [["a@7"], ["c@50"]]


def test_an_api_server_that_fails_is_asked_again(serving: Any) -> None:
    server, client = serving(failure(500, "etcd is away"), failure(403, "forbidden for now"), listing("7", item("a")))
    assert heard(server, client) == [["a@7"]]


def test_a_write_that_lost_a_race_looks_again_and_wins(serving: Any) -> None:
    raced = failure(409, "the object has been modified")
    server, client = serving((200, item(revision="1")), raced, (200, item(revision="2")), (200, item(revision="3")))
    assert client.apply(WANTED)["metadata"]["resourceVersion"] == "3"
    written = [body["metadata"]["resourceVersion"] for verb, _, body in server.asked if verb == "PATCH"]
    assert written == ["1", "2"]
    assert all(q["fieldManager"] == "headrace" for verb, q, _ in server.asked if verb == "PATCH")


def test_what_is_new_is_not_forced_over_what_somebody_else_makes_meanwhile(serving: Any) -> None:
    missing = failure(404, 'inferenceservices.serving.kserve.io "m-v1" not found')
    foreign = {"metadata": {"name": "m-v1", "resourceVersion": "1", "labels": {"team": "others"}}}
    server, client = serving(missing, failure(409, "conflict with others"), (200, foreign))
    with pytest.raises(Conflict, match="does not belong to this platform"):
        client.apply(WANTED)
    assert [q.get("force") for verb, q, _ in server.asked if verb == "PATCH"] == ["False"]


def test_what_is_not_ours_is_neither_written_nor_deleted(serving: Any) -> None:
    others = {
        "metadata": {
            "name": "m-v1",
            "resourceVersion": "1",
            "uid": "u",
            "labels": {**OURS, "headrace.dev/platform": "b"},
        }
    }
    server, client = serving((200, others), (200, others))
    with pytest.raises(Conflict, match="does not belong to this platform"):
        client.apply(WANTED)
    with pytest.raises(Conflict, match="does not belong to this platform"):
        client.delete("m-v1")
    assert {verb for verb, _, _ in server.asked} == {"GET"}


def test_what_is_being_removed_is_waited_for(serving: Any) -> None:
    _, client = serving((200, item(deletionTimestamp="2026-11-22T09:00:00Z")))
    with pytest.raises(NotReady, match="still being removed"):
        client.apply(WANTED)


def test_the_absent_is_deleted_and_only_the_one_that_was_looked_at(serving: Any) -> None:
    missing = failure(404, 'inferenceservices.serving.kserve.io "m-v1" not found')
    server, client = serving(missing, (200, item()), (200, {}))
    client.delete("m-v1")
    client.delete("m-v1")
    (deletion,) = [body for verb, _, body in server.asked if verb == "DELETE"]
    assert deletion["preconditions"] == {"uid": "u"}
    assert deletion["propagationPolicy"] == "Foreground"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            failure(403, "inferenceservices is forbidden: User x cannot get"),
            InvalidInput,
            "give the platform's account",
        ),
        (failure(401, "Unauthorized"), InvalidInput, "Unauthorized"),
        (failure(404, "the server could not find the requested resource"), InvalidInput, "cannot get"),
        (failure(422, 'admission webhook "w" denied the request: no'), InvalidInput, "change the deployment"),
        (failure(500, "a: field not declared in schema"), InvalidInput, "field not declared"),
        (failure(500, "etcd is away"), Unreachable, "etcd is away"),
        (failure(429, "slow down"), Unreachable, "slow down"),
    ],
)
def test_an_answer_of_the_api_server_says_what_to_do(
    serving: Any, answer: tuple[int, Json], kind: type[HeadraceError], words: str
) -> None:
    _, client = serving(answer)
    with pytest.raises(kind) as caught:
        client.find("m-v1")
    assert words in caught.value.message
    assert "InferenceService headrace/m-v1" in caught.value.message


def test_an_api_server_that_is_away_is_unreachable(serving: Any) -> None:
    server, client = serving()
    server.socket.close()
    with pytest.raises(Unreachable, match="does not answer"):
        client.find("m-v1")


def test_no_kubeconfig_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="no cluster"):
        Cluster(ClusterSettings("s3://b"))


def test_a_service_whose_mode_changes_is_made_anew(serving: Any) -> None:
    """KServe refuses to change it; the next attempt finds the old one gone, or still going."""
    server, cluster = serving((200, item()), (200, item()), (200, {}))
    wanted = WANTED | {"metadata": {"name": "m-v1", "annotations": {"serving.kserve.io/deploymentMode": "Standard"}}}
    with pytest.raises(NotReady, match="recreated in mode Standard"):
        cluster.apply(wanted)
    assert ["GET", "GET", "DELETE"] == [verb for verb, _, _ in server.asked]
