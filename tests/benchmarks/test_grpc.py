"""gRPC beside our HTTP with binary tensors, and beside MLServer's gRPC: one model of 30 features, 32 connections, one run.

The load over gRPC is made by h2load (nghttp2), which takes as little of the processors as wrk does, and beside MLServer also by ghz
(``go install github.com/bojand/ghz/cmd/ghz@latest``, or ``HEADRACE_GHZ``), a client on gRPC's own library, which takes as much as the server.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import joblib
import numpy as np
import orjson
import pytest
from google.protobuf import descriptor_pb2
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from benchmarks.load import WRK, wait_for, wrk
from benchmarks.test_function_server import MODEL_PINS, SECONDS, environment, free_port, running
from fixtures_platform import RunningPlatform
from headrace_controller.embedded.home import holder_of
from headrace_functions.rpc.descriptors import inference_file, message

GHZ = shutil.which(os.environ.get("HEADRACE_GHZ", "ghz"))
H2LOAD = shutil.which("h2load")

pytestmark = [
    pytest.mark.skipif(None in (WRK, GHZ, H2LOAD), reason="needs wrk, h2load and ghz"),
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("default"),
]


def ghz(address: str, request: bytes, folder: Path, seconds: int = SECONDS) -> tuple[float, float]:
    """Calls a second and the median latency in ms, 32 callers over 32 connections."""
    (folder / "request.bin").write_bytes(request)
    described = descriptor_pb2.FileDescriptorSet(file=[inference_file()])
    (folder / "protocol.bin").write_bytes(described.SerializeToString())
    command = [
        str(GHZ), "--insecure", "--connections", "32", "-c", "32", "-z", f"{seconds}s", "--format", "json", "--duration-stop", "ignore",
        "--protoset", str(folder / "protocol.bin"), "--call", "inference.GRPCInferenceService.ModelInfer", "-B", str(folder / "request.bin"), address,
    ]  # fmt: skip
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert {"OK"} == set(told["statusCodeDistribution"])
    median = next(p["latency"] for p in told["latencyDistribution"] if p["percentage"] == 50)
    return told["rps"], median / 1e6


def h2load(address: str, request: bytes, folder: Path, seconds: int = SECONDS) -> float:
    """Calls a second, one at a time on each of 32 connections; that they end well, ghz looks at."""
    (folder / "framed.bin").write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
    command = [
        str(H2LOAD), "-c32", "-m1", "-t1", f"-D{seconds}", "-d", str(folder / "framed.bin"), "-H", "content-type: application/grpc",
        "-H", "te: trailers", f"http://{address}/inference.GRPCInferenceService/ModelInfer",
    ]  # fmt: skip
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", told)
    assert counts is not None
    assert ("0", "0") == counts.group(2, 3)
    return int(counts[1]) / seconds


def infer_request(name: str, tensor: str, row: np.ndarray) -> bytes:
    request = message("inference.ModelInferRequest")(model_name=name)
    request.inputs.add(name=tensor, datatype="FP64", shape=[1, 30]).contents.fp64_contents.extend(row.tolist())
    return request.SerializeToString()


@pytest.fixture(scope="module")
def model() -> LogisticRegression:
    x, y = load_breast_cancer(return_X_y=True)
    return LogisticRegression(max_iter=10_000).fit(x, y)


def test_grpc_beside_http_and_beside_mlserver(model: LogisticRegression, tmp_path: Path, new_platform: object) -> None:
    row = load_breast_cancer(return_X_y=True)[0][0]
    platform: RunningPlatform = new_platform("--grpc-port", "0")  # type: ignore[operator]
    folder = tmp_path / "model"
    folder.mkdir()
    joblib.dump(model, folder / "model.joblib")
    (folder / "headrace.yaml").write_text("kind: Model\nname: m\nframework: sklearn\npayload: [model.joblib]\n")
    platform.apply(folder)
    holder = holder_of(platform.settings)
    assert holder is not None

    text = orjson.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [{"name": "rows", "shape": [1, 30], "datatype": "FP64", "parameters": {"binary_data_size": 240}}],
        }
    )
    binary = text + np.asarray(row, dtype=np.float64).tobytes()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    url = f"{platform.url}/v2/models/m/infer"
    request = infer_request("m", "rows", row)
    over_http, over_grpc, by_ghz = [], [], []
    wrk(url, binary, tmp_path, connections=8, seconds=2, headers=headers)
    for _ in range(3):
        over_http.append(wrk(url, binary, tmp_path, connections=32, seconds=SECONDS, headers=headers).per_second)
        over_grpc.append(h2load(holder.grpc, request, tmp_path))
        by_ghz.append(ghz(holder.grpc, request, tmp_path))
    platform.stop()
    theirs = mlserver(model, tmp_path / "mlserver", row)

    http, grpc, (ours, median) = np.median(over_http), np.median(over_grpc), sorted(by_ghz)[1]
    print(
        f"\nHTTP binary {http:.0f}/s, gRPC {grpc:.0f}/s, {grpc / http:.0%} of it (target 70 %); by ghz {ours:.0f}/s (p50 {median:.1f} ms)"
    )
    print(f"MLServer gRPC {theirs[0]:.0f}/s, ours {grpc / theirs[0]:.1f} times (target 3)")
    print(f"by ghz {theirs[1]:.0f}/s (p50 {theirs[2]:.1f} ms), ours {ours / theirs[1]:.1f} times")


def mlserver(model: LogisticRegression, folder: Path, row: np.ndarray) -> tuple[float, float, float]:
    python = environment("mlserver", ("mlserver", "mlserver-sklearn", *MODEL_PINS))
    folder.mkdir()
    joblib.dump(model, folder / "model.joblib")
    http, port = free_port(), free_port()
    server = {"host": "127.0.0.1", "http_port": http, "grpc_port": port, "metrics_port": free_port(), "parallel_workers": 0, "debug": False}  # fmt: skip
    implementation = {
        "name": "m",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib"},
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(implementation))
    (folder / "logging.json").write_text(json.dumps({"version": 1, "disable_existing_loggers": True}))
    with running(
        [str(python.parent / "mlserver"), "start", str(folder)], folder, MLSERVER_LOGGING_SETTINGS="logging.json"
    ) as alive:
        wait_for(f"http://127.0.0.1:{http}/v2/health/ready", seconds=120, alive=alive)
        request = message("inference.ModelInferRequest").FromString(infer_request("m", "predict", row))
        for output in ("predict", "predict_proba"):
            request.outputs.add(name=output)
        ghz(f"127.0.0.1:{port}", request.SerializeToString(), folder, 1)
        return h2load(f"127.0.0.1:{port}", request.SerializeToString(), folder), *ghz(
            f"127.0.0.1:{port}", request.SerializeToString(), folder
        )
