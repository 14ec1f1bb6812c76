"""The function server as a real process on a Unix socket: protocol, limits, failures, records, drain."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from function_support import Deployed, Home, Notifications, client, scalars, serving, wait_until
from headrace_functions.record import Record, decode
from headrace_functions.recording.shipper import Shipper
from headrace_functions.runtime import RUNTIME_REQUIREMENTS
from headrace_functions.runtime.frameworks import find
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Limits

X, Y = load_breast_cancer(return_X_y=True)
TABLE = Signature(scalars("a"), scalars("y"))

MOODS = """
import time, sys, os
def predict(model, a):
    v = a[0]
    if v == 1: raise ValueError("secret of the model")
    if v == 2: time.sleep(1.5)
    if v == 3: return {"y": ["text"] * len(a)}
    if v == 4: os._exit(9)
    if v == 5: sys.exit(2)
    return {"y": a * 2}
"""


def values(*numbers: float) -> dict[str, Any]:
    return {"inputs": [{"name": "a", "datatype": "FP64", "shape": [len(numbers)], "data": list(numbers)}]}


def records(deployed: Deployed) -> list[Record]:
    """What the spool holds, read as the collector would after shipping."""
    assert deployed.settings.spool is not None
    root = deployed.settings.spool.parent
    objects = ObjectStore(str(root.parent / "data"))
    Shipper(root, objects).sweep()
    keys = [o.key for o in objects.walk(f"inbox/{deployed.settings.spool.name}/")]
    return [r for key in keys for r in decode(objects.get(key))]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def moody(home: Home) -> Deployed:
    return home.version(TABLE, code=MOODS, limits=Limits(max_body=2000, predict_timeout=0.5, queue=2))


def test_a_scikit_learn_model_answers_in_every_protocol(home: Home) -> None:
    """v2 JSON, v2 binary, v1 rows and columns give what the model predicts; metadata says how to ask."""
    model = LogisticRegression(max_iter=10_000).fit(X, Y)
    said = find("sklearn").describe(model, {})
    deployed = home.version(Signature(said.inputs or (), said.outputs or ()), framework="sklearn", model=model)
    wanted = model.predict_proba(X[:3])
    packed = {"name": "rows", "datatype": "FP64", "shape": [3, 30]}
    binary = orjson.dumps({"inputs": [{**packed, "parameters": {"binary_data_size": 720}}]})

    with serving(deployed), client(deployed) as http:
        about = http.get("/v2/models/m").json()
        v2 = http.post(deployed.infer_path, json={"id": "7", "inputs": [{**packed, "data": X[:3].tolist()}]})
        raw = http.post(
            "/v2/models/m/versions/1/infer",
            content=binary + X[:3].tobytes(),
            headers={"inference-header-content-length": str(len(binary))},
        )
        v1 = http.post("/v1/models/m:predict", json={"instances": X[:3].tolist()})
        columns = http.post("/v1/models/m:predict", json={"inputs": {f"x{i}": X[:3, i].tolist() for i in range(30)}})

    assert ("m", ["1"], "headrace_sklearn", 30) == (
        about["name"],
        about["versions"],
        about["platform"],
        len(about["inputs"]),
    )
    assert "7" == v2.json()["id"]
    for answer in (v2, raw):
        assert np.allclose(wanted, np.reshape(answer.json()["outputs"][1]["data"], (3, 2)))
    for answer in (v1, columns):
        assert np.allclose(wanted, [row["probabilities"] for row in answer.json()["predictions"]])


def test_documents_of_the_server_and_its_model(moody: Deployed) -> None:
    with serving(moody, platform="1.2.3"), client(moody) as http:
        assert {"name": "headrace", "version": "1.2.3", "extensions": ["binary_tensor_data"]} == http.get("/v2").json()
        assert {"live": True} == http.get("/v2/health/live").json()
        assert {"ready": True} == http.get("/v2/health/ready").json()
        assert {"name": "m", "ready": True} == http.get("/v2/models/m/ready").json()
        assert {"name": "m", "ready": True} == http.get("/v1/models/m").json()
        assert http.get("/v2/models/m/versions/1").json() == http.get("/v2/models/m").json()
        assert [404, 404, 405, 405] == [
            http.get("/v2/models/other").status_code,
            http.post("/v2/models/other/infer", json={}).status_code,
            http.get(moody.infer_path).status_code,
            http.post("/v2").status_code,
        ]


def test_what_is_refused_or_fails_is_answered_as_a_problem_and_recorded(moody: Deployed) -> None:
    """Statuses, codes, the field that is wrong, and one record for each exchange with the bytes of both sides."""
    cases: list[tuple[bytes, int, str, str]] = [
        (orjson.dumps(values(7)), 200, "", "ok"),
        (b"{", 400, "malformed", "refused"),
        (
            orjson.dumps({"inputs": [{"name": "b", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}),
            422,
            "signature-mismatch",
            "refused",
        ),
        (b" " * 3000, 413, "too-large", "refused"),
        (orjson.dumps(values(1)), 500, "function-failed", "failed"),
        (orjson.dumps(values(3)), 500, "function-failed", "failed"),
        (orjson.dumps(values(5)), 500, "function-failed", "failed"),
        (orjson.dumps(values(2)), 504, "deadline-exceeded", "timeout"),
    ]

    with serving(moody), client(moody) as http:
        for number, (body, status, code, _) in enumerate(cases):
            answer = http.post(moody.infer_path, content=body, headers={"x-request-id": f"r{number}"})
            assert status == answer.status_code, answer.text
            assert f"r{number}" == answer.headers["x-request-id"]
            if status != 200:
                assert "application/problem+json" == answer.headers["content-type"]
                assert (code, f"r{number}") == (answer.json()["code"], answer.json()["request_id"])
                assert "secret" not in answer.text

    kept = {r.header.request_id: r for r in records(moody)}
    assert {f"r{n}": (c[3], c[1]) for n, c in enumerate(cases)} == {
        i: (r.header.outcome, r.header.status) for i, r in kept.items()
    }
    assert orjson.dumps(values(7)) == kept["r0"].request
    assert [14.0] == orjson.loads(kept["r0"].response)["outputs"][0]["data"]
    assert "secret of the model" in kept["r4"].header.error
    log = moody.settings.version.with_name("service.log").read_text()
    assert "request r4 failed" in log
    assert "Traceback" in log


def test_the_service_lives_on_after_user_code_crashed(moody: Deployed) -> None:
    with serving(moody), client(moody) as http:
        for _ in range(3):
            assert 500 == http.post(moody.infer_path, json=values(1)).status_code
        assert 200 == http.post(moody.infer_path, json=values(7)).status_code


def test_health_answers_while_a_slow_prediction_runs(moody: Deployed) -> None:
    """The caller gets 504 in its time, health is quick, and a full queue is 429 with Retry-After."""
    with serving(moody), client(moody) as http, ThreadPoolExecutor(8) as pool:
        slow = pool.submit(http.post, moody.infer_path, json=values(2))
        wait_until(
            lambda: "headrace_running{" in http.get("/metrics").text and " 1\n" in _line(http, "headrace_running"),
            what="the run",
        )
        started = time.perf_counter()
        assert 200 == http.get("/v2/health/ready").status_code
        assert time.perf_counter() - started < 0.4
        waiting = [pool.submit(http.post, moody.infer_path, json=values(7)) for _ in range(6)]
        statuses = Counter(w.result().status_code for w in waiting)
        refused = [w.result() for w in waiting if w.result().status_code == 429]

    assert 504 == slow.result().status_code
    assert 4 == statuses[429]
    assert all("retry-after" in r.headers for r in refused)


def _line(http: httpx.Client, name: str) -> str:
    return "".join(line + "\n" for line in http.get("/metrics").text.splitlines() if line.startswith(name + "{"))


def test_a_caller_may_ask_for_less_time(moody: Deployed) -> None:
    with serving(moody), client(moody) as http:
        started = time.perf_counter()
        answer = http.post(moody.infer_path, json=values(2), headers={"x-headrace-timeout": "50"})

    assert 504 == answer.status_code
    assert time.perf_counter() - started < 5


def test_a_body_that_grows_too_large_while_it_is_read_is_refused(moody: Deployed) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 100

    with serving(moody), client(moody) as http:
        assert 413 == http.post(moody.infer_path, content=chunks()).status_code
        assert 200 == http.post(moody.infer_path, json=values(7)).status_code


def test_nan_goes_in_and_out(moody: Deployed) -> None:
    with serving(moody), client(moody) as http:
        body = b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": [3], "data": [NaN, null, 2]}]}'
        answer = http.post(moody.infer_path, content=body)

    assert [None, None, 4.0] == answer.json()["outputs"][0]["data"]
    assert body == records(moody)[0].request


def test_an_answer_is_one_piece_and_nothing_is_held_back(moody: Deployed) -> None:
    """Head and body arrive together; answers without a body, pipelined ones and 100 Continue arrive at all."""
    body = orjson.dumps(values(7))
    post = f"POST {moody.infer_path} HTTP/1.1\r\nhost: f\r\ncontent-length: {len(body)}\r\n".encode()

    with serving(moody), socket.socket(socket.AF_UNIX) as caller, client(moody) as http:
        caller.settimeout(10)
        caller.connect(str(moody.settings.address()))
        caller.sendall(post + b"\r\n" + body)
        whole = caller.recv(1 << 16)
        caller.sendall(2 * (post + b"\r\n" + body))
        pipelined = b""
        while pipelined.count(b"14.0") < 2:
            pipelined += caller.recv(1 << 16)
        caller.sendall(post + b"expect: 100-continue\r\n\r\n")
        interim = caller.recv(1 << 16)
        caller.sendall(body)
        last = caller.recv(1 << 16)
        head = http.head("/v2/health/ready")

    assert whole.startswith(b"HTTP/1.1 200")
    assert whole.endswith(b"[14.0]}]}")
    assert b"HTTP/1.1 100 Continue\r\n\r\n" == interim
    assert last.endswith(b"[14.0]}]}")
    assert (200, b"") == (head.status_code, head.content)


def test_what_the_gateway_says_is_in_the_record(moody: Deployed) -> None:
    headers = {
        "x-request-id": "r1", "x-headrace-sequence": "score", "x-headrace-stage": "2", "x-headrace-variant": "m:1",
        "x-headrace-shadow": "1", "x-headrace-time": "12345", "traceparent": "00-ab-cd-01", "x-headrace-proof": "s3cret",
    }  # fmt: skip

    with serving(moody, replica="m-v1-0", secret="s3cret"), client(moody) as http:
        http.post(moody.infer_path, json=values(7), headers=headers)
        http.post(moody.infer_path, json=values(7), headers={"x-request-id": "not usable"})

    with_gateway, direct = (r.header for r in records(moody))
    assert ("r1", "score", 2, "m:1", True, 12345, "00-ab-cd-01", "m-v1-0") == (
        with_gateway.request_id, with_gateway.sequence, with_gateway.stage, with_gateway.variant,
        with_gateway.shadow, with_gateway.caller_time, with_gateway.traceparent, with_gateway.replica,
    )  # fmt: skip
    assert ("", -1, False, None) == (direct.sequence, direct.stage, direct.shadow, direct.caller_time)
    assert "not usable" != direct.request_id
    assert 0 < with_gateway.latency_ms < 5000
    assert abs(with_gateway.received - time.time_ns()) < 60e9


@pytest.mark.parametrize(
    ("secret", "proof"), [("s3cret", ""), ("s3cret", "s3cre"), ("s3cret", "S3cret"), ("", ""), ("", "s3cret")]
)
def test_what_only_the_gateway_may_say_is_not_believed_without_its_proof(
    moody: Deployed, secret: str, proof: str
) -> None:
    headers = {
        "x-headrace-sequence": "score", "x-headrace-stage": "2", "x-headrace-variant": "m:1", "x-headrace-shadow": "1",
        "x-headrace-time": "12345", "x-headrace-proof": proof,
    }  # fmt: skip

    with serving(moody, secret=secret), client(moody) as http:
        http.post(moody.infer_path, json=values(7), headers=headers)
        http.post(moody.infer_path, json=values(7), headers={"x-headrace-unrecorded": "1", "x-headrace-proof": proof})

    first, second = (r.header for r in records(moody))
    assert ("", -1, "", False, 12345) == (first.sequence, first.stage, first.variant, first.shadow, first.caller_time)
    assert "ok" == second.outcome, "it is logged"


def test_questions_of_the_platform_are_not_logged(moody: Deployed) -> None:
    with serving(moody, secret="s3cret"), client(moody) as http:
        http.post(
            moody.infer_path, json=values(7), headers={"x-headrace-unrecorded": "1", "x-headrace-proof": "s3cret"}
        )

    assert [] == list(records(moody))


def test_an_unlogged_answer_says_so_and_is_counted(moody: Deployed) -> None:
    """When the spool is full the caller is served; the reply and the metrics tell of the loss."""
    with serving(moody, spool_cap=10), client(moody) as http:
        answer = http.post(moody.infer_path, json=values(7))
        metrics = _line(http, "headrace_records_dropped_total")

    assert (200, "1") == (answer.status_code, answer.headers["x-headrace-unlogged"])
    assert metrics.endswith(" 1\n")


def test_an_open_segment_is_sealed_by_age(moody: Deployed) -> None:
    spool = moody.settings.spool
    assert spool is not None
    with serving(moody, segment_age=0.2), client(moody) as http:
        for _ in range(2):
            http.post(moody.infer_path, json=values(7))
            sealed = wait_until(lambda: list(spool.glob("*/*.seg")), what="a sealed segment")
            for path in sealed:
                path.unlink()


def test_metrics_count_exchanges_and_batches(moody: Deployed) -> None:
    with serving(moody), client(moody) as http:
        http.post(moody.infer_path, json=values(7))
        http.post(moody.infer_path, json=values(1))
        text = http.get("/metrics").text

    assert 'headrace_requests_total{model="m",version="1",outcome="ok"} 1' in text
    assert 'headrace_requests_total{model="m",version="1",outcome="failed"} 1' in text
    assert 'headrace_request_seconds_count{model="m",version="1"} 2' in text
    assert 'headrace_batch_requests_count{model="m",version="1"} 2' in text


def test_many_callers_at_once_each_get_their_own_answer(home: Home) -> None:
    deployed = home.version(TABLE, code="def predict(model, a): return {'y': a * 2}")

    with (
        serving(deployed),
        client(deployed, limits=httpx.Limits(max_connections=32)) as http,
        ThreadPoolExecutor(32) as pool,
    ):
        answers = list(
            pool.map(lambda i: http.post(deployed.infer_path, json=values(i)).json()["outputs"][0]["data"], range(600))
        )

    assert [[2.0 * i] for i in range(600)] == answers
    assert 600 == len({r.header.request_id for r in records(deployed)})


def test_a_version_without_batch_takes_one_row(home: Home) -> None:
    sig = Signature((Field("x", dtype("float64"), (2, 2)),), (Field("y", dtype("float64")),))
    deployed = home.version(sig, code="def predict(model, x): return {'y': x.sum()}", batch=False)

    with serving(deployed), client(deployed) as http:
        one = http.post(
            deployed.infer_path,
            json={"inputs": [{"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}]},
        )
        v1 = http.post("/v1/models/m:predict", json={"instances": [[[1, 2], [3, 4]]]})
        shape = http.get("/v2/models/m").json()["inputs"][0]["shape"]

    assert ([], [10.0]) == (one.json()["outputs"][0]["shape"], one.json()["outputs"][0]["data"])
    assert {"predictions": [10.0]} == v1.json()
    assert [2, 2] == shape


def test_sigterm_finishes_what_is_open_and_keeps_its_record(home: Home) -> None:
    deployed = home.version(
        TABLE, code="import time\ndef predict(model, a):\n    time.sleep(a[0])\n    return {'y': a}"
    )

    with serving(deployed) as process, client(deployed) as http, ThreadPoolExecutor(1) as pool:
        open_request = pool.submit(http.post, deployed.infer_path, json=values(0.7))
        wait_until(lambda: _line(http, "headrace_running").endswith(" 1\n"), what="the run")
        process.send_signal(signal.SIGTERM)
        answer = open_request.result()
        code = process.wait(10)

    assert (200, 0) == (answer.status_code, code)
    assert ["ok"] == [r.header.outcome for r in records(deployed)]


def test_a_prediction_that_never_ends_does_not_keep_the_process(home: Home) -> None:
    deployed = home.version(
        TABLE, code="import time\ndef predict(model, a):\n    time.sleep(600)", limits=Limits(predict_timeout=300)
    )

    with serving(deployed, drain_timeout=1.0) as process, client(deployed) as http, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(lambda: http.post(deployed.infer_path, json=values(1)))
        wait_until(lambda: _line(http, "headrace_running").endswith(" 1\n"), what="the run")
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        assert time.monotonic() - started < 8
        assert hanging.exception(10) is not None or hanging.result().status_code >= 500


def test_processes_that_a_function_forks_and_ends_leave_the_server_running(home: Home) -> None:
    deployed = home.version(
        TABLE,
        code="import multiprocessing as mp\ndef predict(model, a):\n    with mp.get_context('fork').Pool(2) as pool:\n"
        "        return {'y': pool.map(abs, a.tolist())}",
    )

    with serving(deployed) as process, client(deployed) as http:
        answers = [http.post(deployed.infer_path, json=values(-2.0)) for _ in range(5)]
        assert ([200] * 5, None) == ([a.status_code for a in answers], process.poll())
        assert [2.0] == answers[-1].json()["outputs"][0]["data"]


def test_a_process_that_is_ended_as_soon_as_it_is_forked_ends_alone(home: Home) -> None:
    deployed = home.version(
        TABLE,
        code="import multiprocessing as mp, time\ndef predict(model, a):\n    for _ in range(40):\n"
        "        child = mp.get_context('fork').Process(target=time.sleep, args=(600,))\n"
        "        child.start()\n        child.terminate()\n        child.join()\n    return {'y': a}",
    )

    with serving(deployed) as process, client(deployed) as http:
        answer = http.post(deployed.infer_path, json=values(1.0))
        assert (200, None) == (answer.status_code, process.poll())


def test_an_idle_server_sleeps(moody: Deployed) -> None:
    """Without an open segment nothing wakes it: no timer, no polling."""

    def wake_ups(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    spool = moody.settings.spool
    assert spool is not None
    with serving(moody, segment_age=0.1) as process, client(moody) as http:
        http.post(moody.infer_path, json=values(7))
        wait_until(lambda: list(spool.glob("*/*.seg")), what="the seal")
        before = wake_ups(process.pid)
        threading.Event().wait(1.0)
        spent = wake_ups(process.pid) - before

    assert spent <= 2


@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"
)  # a client that connects as the server dies leaves a socket
def test_kill_9_loses_no_answer_that_was_given(home: Home) -> None:
    """Answered ids, counted by the callers, are all in the log; the log has no id twice."""
    deployed = home.version(TABLE, code="def predict(model, a): return {'y': a * 2}")
    answered: list[str] = []

    def call(http: httpx.Client, start: int) -> None:
        try:
            for number in range(start, start + 100_000):
                answer = http.post(deployed.infer_path, json=values(1), headers={"x-request-id": f"r{number}"})
                answered.append(answer.headers["x-request-id"])
        except httpx.TransportError:
            return

    with serving(deployed) as process, client(deployed) as http, ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call, http, i * 1_000_000) for i in range(4)]
        wait_until(lambda: len(answered) > 200, what="some answers")
        process.kill()
        process.wait()
        for done in calls:
            done.result(20)

    logged = Counter(r.header.request_id for r in records(deployed))
    assert set() == set(answered) - logged.keys()
    assert {1} == set(logged.values())
    assert len(logged) - len(answered) <= 4, "at most the requests in flight were logged and not answered"


@contextmanager
def failing(deployed: Deployed) -> Iterator[tuple[dict[str, Any], int]]:
    path = deployed.settings.version.parent / "n.sock"
    notifications = Notifications(path)
    file = deployed.settings.version.parent / "settings.json"
    file.write_bytes(orjson.dumps(replace(deployed.settings, notify=path).to_document()))
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace_functions.runtime", str(file)], stderr=subprocess.DEVNULL
    )
    try:
        yield notifications.next(), process.wait(20)
    finally:
        notifications.close()


def test_a_version_that_cannot_load_tells_why_and_ends(home: Home) -> None:
    deployed = home.version(TABLE, code="raise RuntimeError('no weights here')")

    with failing(deployed) as (told, code):
        assert ("failed", 1) == (told["state"], code)
        assert "no weights here" in told["reason"]
        assert deployed.settings.replica == told["replica"]


def test_a_stale_socket_file_is_replaced_and_a_taken_port_is_told(home: Home) -> None:
    deployed = home.version(TABLE, code="def predict(model, a): return {'y': a}")
    address = deployed.settings.address()
    assert isinstance(address, Path)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(address))
    with serving(deployed), client(deployed) as http:
        assert 200 == http.get("/v2/health/ready").status_code

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = replace(deployed.settings, listen=f"tcp:127.0.0.1:{holder.getsockname()[1]}")
        with failing(replace(deployed, settings=taken)) as (told, code):
            assert ("failed", 1) == (told["state"], code)
            assert "in use" in told["reason"]


def test_the_runtime_imports_nothing_beyond_its_requirements() -> None:
    """What a function's environment holds is enough: no library of the platform is imported."""
    script = (
        "import sys, json; import headrace_functions.runtime.zygote, headrace_functions.runtime.probe;"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    imported = set(json.loads(out))

    assert {"obstore", "pyarrow", "pydantic", "pandas", "sklearn", "flask", "httpx", "msgspec", "yaml"}.isdisjoint(
        imported
    )
    assert {"numpy", "orjson", "httptools", "uvicorn", "uvloop"} <= imported
    assert {"numpy", "orjson", "httptools", "uvicorn", "uvloop"} == {r.partition(">")[0] for r in RUNTIME_REQUIREMENTS}
