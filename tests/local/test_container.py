"""The two programs of a container version's pod as processes: a server that knows nothing of Headrace, and the function server that is asked in its place."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from function_support import Deployed, Home, client, scalars, serving
from headrace_functions.record import Record, decode
from headrace_functions.recording.shipper import Shipper
from headrace_functions.signature import Signature
from headrace_functions.storage.objects import ObjectStore

SERVER = Path(__file__).parents[1] / "cluster" / "model_server" / "server.py"


@contextmanager
def model_server(folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[str], Deployed, httpx.Client]]:
    """The foreign server, a version whose container it is, and a client of the function server."""
    command, environment = [sys.executable, str(SERVER)], {"PORT": "0", **variables}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}/v2/models/served"
        options = {"url": url, "readiness": "/v2/health/ready", "start-timeout": 20.0}
        contract = Signature(scalars("x"), scalars("y", "calls"))
        deployed = Home(folder).version(contract, framework="container", options=options)
        try:
            with serving(deployed), client(deployed) as http:
                yield process, deployed, http
        finally:
            process.kill()


def tensor(*values: float, name: str = "x") -> dict[str, Any]:
    return {"inputs": [{"name": name, "shape": [len(values)], "datatype": "FP64", "data": list(values)}]}


def records(deployed: Deployed) -> list[Record]:
    assert deployed.settings.spool is not None
    root = deployed.settings.spool.parent
    objects = ObjectStore(str(root.parent / "data"))
    Shipper(root, objects).sweep()
    keys = [o.key for o in objects.walk(f"inbox/{deployed.settings.spool.name}/")]
    return [r for key in keys for r in decode(objects.get(key))]


def test_each_exchange_is_validated_and_logged_once_by_the_function_server(tmp_path: Path) -> None:
    with model_server(tmp_path, FACTOR="3", READY_AFTER="0.5") as (_, deployed, http):
        good = http.post(deployed.infer_path, json=tensor(1.0, 2.0))
        bad = http.post(deployed.infer_path, json=tensor(1.0, 2.0, name="z"))
        again = http.post("/v1/models/m:predict", json={"instances": [{"x": 5.0}]})
    assert {"y": [3.0, 6.0], "calls": [1.0, 1.0]} == {o["name"]: o["data"] for o in good.json()["outputs"]}
    assert 422 == bad.status_code
    assert {"predictions": [{"y": 15.0, "calls": 2.0}]} == again.json(), "what was refused never reached it"
    assert {"ok": 2, "refused": 1} == Counter(str(r.header.outcome) for r in records(deployed))


def test_a_container_that_ends_is_a_failed_request_and_not_the_end_of_the_function_server(tmp_path: Path) -> None:
    with model_server(tmp_path, READY_AFTER="0") as (process, deployed, http):
        assert 200 == http.post(deployed.infer_path, json=tensor(1.0)).status_code
        process.kill()
        process.wait(20)
        assert 500 == http.post(deployed.infer_path, json=tensor(1.0)).status_code
        assert 200 == http.get("/v2/health/live").status_code
    assert {"ok": 1, "failed": 1} == Counter(str(r.header.outcome) for r in records(deployed))
