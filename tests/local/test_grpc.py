"""The gRPC server, asked by clients that others wrote, by bad clients, and while what is behind it ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import orjson
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fixtures_platform import RunningPlatform, headrace, until
from fixtures_protocols import Served
from headrace_controller.embedded.home import holder_of
from headrace_functions.rpc.descriptors import METHODS, SERVICE, STREAM, message
from headrace_functions.rpc.server import MAX_MESSAGE
from headrace_functions.rpc.status import DETAILS, PROBLEM

EVERYTHING = """
def predict(model, a, half, wide, word):
    return {"sum": half.sum(axis=1), "a": a * 2, "wide": wide, "word": [w.upper() for w in word]}
"""


def number(kind: str, shape: Any = "scalar") -> dict[str, Any]:
    return {"shape": shape, "type": kind}


@pytest.fixture(scope="module")
def everything(served: Served) -> Served:
    """``everything:1``, which takes and gives one tensor of each kind that clients write differently."""
    inputs = {"a": number("double"), "half": number("float16", [2]), "wide": number("float"), "word": number("string")}
    outputs = {"sum": number("float16"), "a": number("double"), "wide": number("float"), "word": number("string")}
    contract = {"inputs": inputs, "outputs": outputs}
    served.platform.apply_python("everything", EVERYTHING, served.platform.home / "everything", contract=contract)
    return served


@pytest.fixture
def channel(served: Served) -> Any:
    with grpc.insecure_channel(served.grpc) as opened:
        yield opened


def call(channel: grpc.Channel, method: str, request: Any, **more: Any) -> Any:
    made = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=message(f"inference.{method}Response").FromString,
    )
    return made(request, timeout=more.pop("timeout", 20), **more)


def infer_request(name: str = "steady", *values: float, **members: Any) -> Any:
    request = message("inference.ModelInferRequest")(model_name=name, **members)
    tensor = request.inputs.add(name="x", datatype="FP64", shape=[len(values)])
    tensor.contents.fp64_contents.extend(values)
    return request


def refusal(channel: grpc.Channel, request: Any, **more: Any) -> tuple[grpc.StatusCode, dict[str, Any]]:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", request, **more)
    error: Any = caught.value
    trailing = dict(error.trailing_metadata())
    return error.code(), orjson.loads(trailing[PROBLEM]) if PROBLEM in trailing else {}


def test_tritons_clients_are_answered_the_same_over_http_and_grpc(everything: Served) -> None:
    script = Path(__file__).parent / "foreign" / "triton.py"
    http = everything.platform.url.removeprefix("http://")
    done = subprocess.run(
        [sys.executable, str(script), http, everything.grpc], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rows = {"sum": [1.5, 6.0], "a": [2.0, 4.0], "wide": [1.5, -2.0], "word": ["GRÜN", ""]}

    for client in ("tritonclient.http", "tritonclient.grpc"):
        answers = told[client]
        assert [True] * 4 + [False] == [answers[k] for k in ("live", "ready", "model", "version", "unknown")]
        assert rows == answers["rows"]
        assert {"word": ["GRÜN", ""]} == answers["one output"]
        assert rows == answers["bf16"]
        assert "wrong number of rows" in answers["no rows"]["error"]
        assert "'half' is missing" in answers["missing input"]["error"]
        assert "there is no model or sequence nobody" in answers["no such model"]["error"]
    assert "StatusCode.INVALID_ARGUMENT" == told["tritonclient.grpc"]["missing input"]["status"]
    assert "StatusCode.NOT_FOUND" == told["tritonclient.grpc"]["no such model"]["status"]
    assert ["everything", "1", "READY"] in told["index"]


@pytest.mark.filterwarnings("default")
def test_kserves_client_is_answered(everything: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv[:1])  # it reads the command line when it is imported
    kserve = pytest.importorskip("kserve")

    def tensor(name: str, kind: str, array: np.ndarray[Any, Any]) -> Any:
        made = kserve.InferInput(name, list(array.shape), kind)
        made.set_data_from_numpy(array, binary_data=True)
        return made

    async def ask() -> tuple[bool, bool, Any]:
        client = kserve.InferenceGRPCClient(url=everything.grpc)
        inputs = [
            tensor("a", "FP64", np.array([1.0])),
            tensor("half", "FP16", np.array([[0.5, 1.0]], dtype=np.float16)),
            tensor("wide", "FP32", np.array([1.5], dtype=np.float32)),
            tensor("word", "BYTES", np.array(["a"], dtype=object)),
        ]
        request = kserve.InferRequest("everything", inputs, request_id="from-kserve")
        answer = await client.infer(request)
        return await client.is_server_ready(), await client.is_model_ready("everything"), answer

    server, model, answer = asyncio.run(ask())

    assert (True, True) == (server, model)
    assert {"sum": [1.5], "a": [2.0], "wide": [1.5], "word": ["A"]} == {
        o.name: [e.decode() if isinstance(e, bytes) else e for e in o.as_numpy().tolist()] for o in answer.outputs
    }


def test_server_and_model_describe_themselves(served: Served, channel: grpc.Channel) -> None:
    live = call(channel, "ServerLive", message("inference.ServerLiveRequest")())
    server = call(channel, "ServerMetadata", message("inference.ServerMetadataRequest")())
    model = call(channel, "ModelMetadata", message("inference.ModelMetadataRequest")(name="steady@prod"))

    assert live.live
    assert "headrace" == server.name
    assert ("steady@prod", ["1"]) == (model.name, list(model.versions))
    assert [("x", "FP64", [-1])] == [(t.name, t.datatype, list(t.shape)) for t in model.inputs]


def test_an_answer_says_which_version_and_request_it_is_of(served: Served, channel: grpc.Channel) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    made = channel.unary_unary(
        f"/{SERVICE}/ModelInfer", lambda m: m.SerializeToString(), message("inference.ModelInferResponse").FromString
    )
    response, of = made.with_call(
        infer_request("steady", 1.0, id="mine"), metadata=(("x-request-id", "r-1"), ("traceparent", trace))
    )
    trailing = dict(of.trailing_metadata())

    assert ("steady", "1", "mine") == (response.model_name, response.model_version, response.id)
    assert ("r-1", "steady:1") == (trailing["x-request-id"], trailing["x-headrace-version"])
    lines = until(lambda: [r for r in served.platform.logged("steady:1") if r["request_id"] == "r-1"], "it is logged")
    assert [trace] == [line["traceparent"] for line in lines]


def test_metadata_that_is_no_usable_id_gets_a_new_one(channel: grpc.Channel) -> None:
    made = channel.unary_unary(f"/{SERVICE}/ModelInfer", lambda m: m.SerializeToString(), lambda b: b)
    _, of = made.with_call(infer_request("steady", 1.0), metadata=(("x-request-id", "two words"),))

    assert 32 == len(dict(of.trailing_metadata())["x-request-id"])


def test_a_call_stays_out_of_the_log_if_its_metadata_says_so(served: Served, channel: grpc.Channel) -> None:
    for request_id, log in (("left-out", "off"), ("kept", "on")):
        metadata = (("x-request-id", request_id), ("x-headrace-log", log))
        call(channel, "ModelInfer", infer_request("steady", 1.0), metadata=metadata)
    logged = until(
        lambda: [i for r in served.platform.logged("steady:1") if (i := r["request_id"]) in ("left-out", "kept")],
        "logged",
    )
    code, problem = refusal(channel, infer_request("steady", 1.0), metadata=(("x-headrace-log", "maybe"),))

    assert ["kept"] == logged
    assert (grpc.StatusCode.INVALID_ARGUMENT, "x-headrace-log") == (code, problem["field"])


def test_floats_are_read_however_they_are_written(channel: grpc.Channel) -> None:
    """Packed, one by one, and in two runs, as the format of messages allows."""
    tag, doubles = b"\x39", [b"\0\0\0\0\0\0\xf0\x3f", b"\0\0\0\0\0\0\0\x40"]
    written = {
        "packed": b"\x3a\x10" + b"".join(doubles),
        "one by one": b"".join(tag + d for d in doubles),
        "two runs": b"".join(b"\x3a\x08" + d for d in doubles),
        "both": b"\x3a\x08" + doubles[0] + tag + doubles[1],
    }
    made = channel.unary_unary(
        f"/{SERVICE}/ModelInfer", lambda b: b, message("inference.ModelInferResponse").FromString
    )
    for way, contents in written.items():
        tensor = b"\x0a\x01x\x12\x04FP64\x1a\x01\x02\x2a" + bytes([len(contents)]) + contents
        answer = made(b"\x0a\x06steady\x2a" + bytes([len(tensor)]) + tensor, timeout=20)
        assert [2.0, 3.0] == np.frombuffer(answer.raw_output_contents[0]).tolist(), way


def test_compressed_messages_are_read(served: Served) -> None:
    for kind in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        with grpc.insecure_channel(served.grpc, compression=kind) as channel:
            answer = call(channel, "ModelInfer", infer_request("steady", *([1.0] * 1000)))
        assert [2.0] * 1000 == np.frombuffer(answer.raw_output_contents[0]).tolist()


def test_what_is_no_message_of_the_method_is_refused(channel: grpc.Channel) -> None:
    made = channel.unary_unary(f"/{SERVICE}/ModelInfer", lambda b: b, lambda b: b)
    with pytest.raises(grpc.RpcError) as caught:
        made(b"\xff\xff\xff", timeout=20)
    error: Any = caught.value

    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert "the message is not a ModelInferRequest" == error.details()


def test_health_is_watched(channel: grpc.Channel) -> None:
    watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20)
    unknown = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="a.B"), timeout=20)

    assert health_pb2.HealthCheckResponse.SERVING == next(watched).status
    assert health_pb2.HealthCheckResponse.SERVICE_UNKNOWN == next(unknown).status
    watched.cancel()
    unknown.cancel()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.raw_input_contents.append(b"12345678"), "x"),
        (lambda r: r.inputs[0].ClearField("contents") or r.raw_input_contents.append(b"123"), "x"),
        (lambda r: r.raw_input_contents.extend([b"", b""]), "raw_input_contents"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP8"), "x"),
        (lambda r: setattr(r.inputs[0], "datatype", "INT64"), "x"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP16"), "x"),
        (lambda r: r.inputs[0].shape.append(3), "x"),
        (lambda r: r.inputs[0].shape.__setitem__(0, -1), "x"),
        (lambda r: r.ClearField("inputs"), "inputs"),
    ],
    ids=[
        "contents twice", "raw too short", "raw for two", "unknown datatype", "contents of another type", "FP16 has no contents",
        "more elements by the shape", "negative shape", "no tensor",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_tensors_name(channel: grpc.Channel, change: Any, field: str) -> None:
    request = infer_request("steady", 1.0)
    change(request)
    code, problem = refusal(channel, request)

    assert grpc.StatusCode.INVALID_ARGUMENT == code
    assert field == problem["field"]


def test_an_errors_details_are_a_status_of_googles_kind(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", infer_request("steady", 1.0, model_version="9"))
    error: Any = caught.value
    status = message("google.rpc.Status").FromString(dict(error.trailing_metadata())[DETAILS])
    info = message("google.rpc.ErrorInfo").FromString(status.details[0].value)

    assert (grpc.StatusCode.NOT_FOUND, 5) == (error.code(), status.code)
    assert ("NOT_FOUND", "headrace", "404") == (info.reason, info.domain, info.metadata["status"])
    assert "type.googleapis.com/google.rpc.ErrorInfo" == status.details[0].type_url


def test_a_message_above_the_limit_is_refused(served: Served) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        request = infer_request("steady")
        request.inputs[0].ClearField("contents")
        request.raw_input_contents.append(bytes(MAX_MESSAGE))
        code, _ = refusal(channel, request)

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == code


def test_a_deadline_ends_the_call_there_and_here(served: Served, channel: grpc.Channel) -> None:
    served.close_gate()
    code, _ = refusal(channel, infer_request("steady", 7.0), timeout=0.4, metadata=(("x-request-id", "late"),))
    lines = until(lambda: [r for r in served.platform.logged("steady:1") if r["request_id"] == "late"], "it is logged")
    served.open_gate()

    assert grpc.StatusCode.DEADLINE_EXCEEDED == code
    assert {lines[0]["outcome"]} <= {"timeout", "cancelled"}
    assert 1 == len(lines)


def test_a_stream_answers_each_request_in_turn_and_goes_on_after_one_that_fails(channel: grpc.Channel) -> None:
    made = channel.stream_stream(
        f"/{SERVICE}/{STREAM}",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=message(f"inference.{STREAM}Response").FromString,
    )
    requests = [
        infer_request("steady", 1.0, id="a"),
        infer_request("nobody", 1.0, id="b"),
        infer_request("steady", 2.0, id="c"),
    ]
    answers = list(made(iter(requests), timeout=20))

    assert ["a", "b", "c"] == [a.infer_response.id for a in answers]
    assert [2.0] == np.frombuffer(answers[0].infer_response.raw_output_contents[0]).tolist()
    assert "there is no model or sequence nobody" in answers[1].error_message
    assert [3.0] == np.frombuffer(answers[2].infer_response.raw_output_contents[0]).tolist()


def test_health_and_reflection_speak_of_the_service(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)

    def reflected(**asked: str) -> Any:
        return next(
            reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**asked)]), timeout=20)
        )

    serving = health_pb2.HealthCheckResponse.SERVING
    assert serving == health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20).status
    listed = {s.name for s in reflected(list_services="").list_services_response.service}
    reflections = {f"grpc.reflection.{v}.ServerReflection" for v in ("v1", "v1alpha")}
    assert {SERVICE, "grpc.health.v1.Health", *reflections} == listed
    for symbol in (SERVICE, f"{SERVICE}.ModelInfer", "grpc.health.v1.Health"):
        assert reflected(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto
    assert grpc.StatusCode.NOT_FOUND.value[0] == reflected(file_containing_symbol="a.B.c").error_response.error_code


def test_every_method_of_the_protocol_is_there() -> None:
    assert {
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
        "RepositoryModelLoad", "RepositoryModelUnload", "RepositoryIndex",
    } == set(METHODS)  # fmt: skip


def answered(channel: grpc.Channel) -> list[float]:
    """The answer, once there is one: a call that was on its way to a process that is killed may fail."""

    def ask() -> Any:
        try:
            return call(channel, "ModelInfer", infer_request("steady", 1.0), wait_for_ready=True)
        except grpc.RpcError:
            return None

    found: list[float] = np.frombuffer(until(ask, "a call is answered").raw_output_contents[0]).tolist()
    return found


def test_a_killed_grpc_server_comes_back_to_its_port(served: Served, channel: grpc.Channel) -> None:
    (pid,) = grpc_processes(served.platform)
    os.kill(pid, signal.SIGKILL)

    assert [2.0] == answered(channel)


def test_a_killed_gateway_is_waited_for(served: Served, channel: grpc.Channel) -> None:
    assert 1 == served.platform.kill("gateway")

    assert [2.0] == answered(channel)


def test_a_port_that_is_taken_is_told_before_anything_starts(served: Served, tmp_path: Path) -> None:
    port = served.grpc.rpartition(":")[2]
    done = headrace("up", "--home", str(tmp_path / "other"), "--port", "0", "--grpc-port", port)

    assert 1 == done.returncode
    assert "choose another with --grpc-port" in done.stderr


def test_calls_are_encrypted_with_a_certificate(new_platform: Any, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    platform: RunningPlatform = new_platform(
        "--grpc-port", "0", "--grpc-certificate", str(certificate), "--grpc-key", str(key)
    )
    holder = holder_of(platform.settings)
    assert holder is not None
    with grpc.secure_channel(holder.grpc, grpc.ssl_channel_credentials(certificate.read_bytes())) as channel:
        assert call(channel, "ServerLive", message("inference.ServerLiveRequest")()).live


def grpc_processes(platform: RunningPlatform) -> list[int]:
    wanted = f"headrace_controller.embedded.rpc {platform.settings.run}".encode()
    return [int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit() and wanted in _arguments(e)]


def _arguments(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""
