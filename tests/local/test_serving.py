"""Serving through a real platform: protocols, sleep and wake, failures of user code, sequences under load."""

import asyncio
import concurrent.futures
import json
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from fixtures_platform import ADDER, NUMBER, Load, RunningPlatform, body, headrace, until

Start = Callable[..., RunningPlatform]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # kserve's client imports what it deprecates


def state(platform: RunningPlatform, version: str) -> str:
    with platform.client() as client:
        return client.service(version).state


def test_kserves_own_client_reads_metadata_readiness_and_predicts_in_json_and_binary(platform: RunningPlatform) -> None:
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    async def ask(binary: bool) -> list[float]:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await client.is_server_live(platform.url)
        assert await client.is_server_ready(platform.url)
        assert await client.is_model_ready(platform.url, "adder")
        tensor = InferInput("x", [3], "FP64")
        tensor.set_data_from_numpy(np.array([1.0, 2.0, 3.0]), binary_data=binary)
        request = InferRequest(model_name="adder", infer_inputs=[tensor], parameters={"binary_data_output": binary})
        response = await client.infer(platform.url, request, model_name="adder")
        await client.close()
        return response.outputs[0].as_numpy().tolist()

    assert asyncio.run(ask(binary=False)) == [2.0, 3.0, 4.0]
    assert asyncio.run(ask(binary=True)) == [2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", "name"),
        ("/v2/health/live", "live"),
        ("/v2/health/ready", "ready"),
        ("/v2/models/adder", "inputs"),
        ("/v2/models/adder/versions/1", "inputs"),
        ("/v2/models/adder/ready", "ready"),
        ("/v2/models/adder/versions/1/ready", "ready"),
        ("/v1/models/adder", "ready"),
        ("/api/v1/openapi.json", "paths"),
        ("/api/v1/status", "version"),
    ],
)
def test_every_reading_route_answers(platform: RunningPlatform, path: str, expected: str) -> None:
    reply = httpx.get(platform.url + path)

    assert reply.status_code == 200
    assert expected in reply.json()


def test_v1_predicts(platform: RunningPlatform) -> None:
    reply = httpx.post(f"{platform.url}/v1/models/adder:predict", json={"instances": [{"x": 1.0}, {"x": 5.0}]})

    assert reply.json() == {"predictions": [2.0, 6.0]}


@pytest.mark.parametrize(
    ("content", "status", "field"),
    [
        (b"no json", 400, None),
        (b"{}", 400, None),
        (json.dumps({"inputs": []}).encode(), 400, None),
        (json.dumps({"inputs": [{"name": "z", "shape": [1], "datatype": "FP64", "data": [1]}]}).encode(), 422, None),
        (
            json.dumps({"inputs": [{"name": "x", "shape": [1, 2, 3], "datatype": "FP64", "data": [1] * 6}]}).encode(),
            422,
            "x",
        ),
        (json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}).encode(), 422, "x"),
        (json.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1]}]}).encode(), 400, "x"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_problem_that_names_the_field_and_is_logged(
    platform: RunningPlatform, content: bytes, status: int, field: str | None
) -> None:
    request_id = f"bad-{abs(hash(content))}"
    reply = httpx.post(
        f"{platform.url}/v2/models/adder/infer",
        content=content,
        headers={"content-type": "application/json", "x-request-id": request_id},
    )

    problem = reply.json()
    assert (status, "application/problem+json") == (reply.status_code, reply.headers["content-type"]), problem
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
    if field:
        assert problem["field"] == field
    lines = until(
        lambda: [line for line in platform.logged("adder:1") if line["request_id"] == request_id],
        "the refusal is logged",
    )
    assert [("refused", status)] == [(line["outcome"], line["status"]) for line in lines]


def test_nan_and_infinity_are_accepted_and_logged(platform: RunningPlatform) -> None:
    content = b'{"inputs":[{"name":"x","shape":[3],"datatype":"FP64","data":[NaN, Infinity, 1]}]}'
    reply = httpx.post(
        f"{platform.url}/v2/models/adder/infer",
        content=content,
        headers={"content-type": "application/json", "x-request-id": "nan"},
    )

    assert reply.json()["outputs"][0]["data"] == [None, None, 2.0]
    lines = until(lambda: [line for line in platform.logged("adder:1") if line["request_id"] == "nan"], "it is logged")
    assert [line["in.x"] for line in lines][1:] == [np.inf, 1.0]
    assert np.isnan(lines[0]["in.x"])


def test_a_hundred_requests_at_once_to_a_sleeping_version_start_one_process(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    code = "import os\ndef load(path):\n    import time; time.sleep(0.3)\ndef predict(model, x):\n    return {'y': x * 0 + os.getpid()}\n"
    platform.apply_python("pids", code, tmp_path / "pids")

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda _: platform.infer("pids", 1.0), range(100)))

    assert {200} == {r.status_code for r in replies}
    assert len({r.json()["outputs"][0]["data"][0] for r in replies}) == 1


def test_an_idle_version_has_no_process_and_the_next_request_wakes_it(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    platform.apply_python("sleepy", ADDER, tmp_path / "sleepy", scaling={"idle-timeout": "300ms"})
    assert platform.infer("sleepy", 1.0).status_code == 200

    until(lambda: state(platform, "sleepy:1") == "asleep", "it fell asleep")
    until(lambda: platform.pids("sleepy-v1") == [], "its process is gone")

    assert platform.infer("sleepy", 1.0).json()["outputs"][0]["data"] == [2.0]


def test_user_code_that_crashes_is_500_with_the_id_and_the_service_lives_on(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    code = "def predict(model, x):\n    if x[0] == 13: raise ValueError('secret of the code')\n    return {'y': x}\n"
    platform.apply_python("moody", code, tmp_path / "moody")

    reply = platform.infer("moody", 13.0, request_id="crash-1")

    assert (500, "crash-1") == (reply.status_code, reply.json()["request_id"])
    assert "secret of the code" not in reply.text, "the traceback stays in the service's log"
    assert "secret of the code" in (platform.settings.logs / "moody-v1.log").read_text()
    assert platform.infer("moody", 1.0).status_code == 200


def test_a_process_that_user_code_ends_is_502_and_back_on_the_next_request(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    code = "import os\ndef predict(model, x):\n    if x[0] == 13: os._exit(7)\n    return {'y': x}\n"
    platform.apply_python("exiting", code, tmp_path / "exiting")

    assert platform.infer("exiting", 13.0).status_code == 502
    assert platform.infer("exiting", 1.0).status_code == 200


def test_a_version_whose_load_fails_at_run_time_is_503_with_the_reason_and_backs_off(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    code = f"import os\ndef load(path):\n    if not os.path.exists({str(flag)!r}): raise OSError('the licence server is away')\ndef predict(model, x):\n    return {{'y': x}}\n"
    platform.apply_python("fragile", code, tmp_path / "fragile")
    flag.unlink()

    first = platform.infer("fragile", 1.0)
    second = platform.infer("fragile", 1.0)

    assert (503, 503) == (first.status_code, second.status_code)
    assert "the licence server is away" in first.json()["detail"]
    assert int(second.headers["retry-after"]) >= 1
    assert state(platform, "fragile:1") == "failed"
    flag.touch()
    until(lambda: platform.infer("fragile", 1.0).status_code == 200, "it serves after the back-off")


def test_replicas_are_added_under_load_and_share_it(platform: RunningPlatform, tmp_path: Path) -> None:
    code = "import os, time\ndef predict(model, x):\n    time.sleep(0.05)\n    return {'y': x * 0 + os.getpid()}\n"
    platform.apply_python("wide", code, tmp_path / "wide", scaling={"max-replicas": 2, "concurrency": 1}, batch=True)

    def two_answered() -> bool:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: platform.infer("wide", 1.0), range(24)))
        assert {200} == {r.status_code for r in replies}
        return len({r.json()["outputs"][0]["data"][0] for r in replies}) == 2

    until(two_answered, "two replicas answer")


def sequence(name: str, *stages: list[dict[str, object]], timeout: str = "10s") -> str:
    return yaml.safe_dump({"kind": "Sequence", "name": name, "pipeline": list(stages), "timeout": timeout})


@pytest.fixture(scope="module")
def two_versions(platform: RunningPlatform, tmp_path_factory: pytest.TempPathFactory) -> RunningPlatform:
    for n in (1, 2):
        code = f"def predict(model, x):\n    return {{'y': x + {n * 100}}}\n"
        platform.apply_python("pair", code, tmp_path_factory.mktemp("pair"))
    return platform


def test_updates_and_rollbacks_of_a_sequence_lose_no_request_under_load(two_versions: RunningPlatform) -> None:
    platform = two_versions
    platform.apply("-", sequence("live", [{"model": "pair:1"}]))
    load = Load(platform, "live")
    with load.running():
        for _ in range(3):
            load.wait_for(150)
            platform.apply("-", sequence("live", [{"model": "pair:2"}]))
            load.wait_for(150)
            done = headrace("sequence", "rollback", "live", "--url", platform.url)
            assert done.returncode == 0, done.stderr

    assert {200} == set(load.counts())
    assert platform.infer("live", 0.0).json()["outputs"][0]["data"] == [100.0]


def test_moving_an_alias_changes_who_answers_without_a_lost_request(two_versions: RunningPlatform) -> None:
    platform = two_versions
    with platform.client() as client:
        client.move_alias("pair", "prod", 1)
        load = Load(platform, "pair@prod")
        with load.running():
            load.wait_for(100)
            client.move_alias("pair", "prod", 2)
            load.wait_for(100)

    assert {200} == set(load.counts())
    assert platform.infer("pair@prod", 0.0).json()["outputs"][0]["data"] == [200.0]


def test_every_stage_variant_and_shadow_of_a_sequence_is_logged(two_versions: RunningPlatform, tmp_path: Path) -> None:
    platform = two_versions
    platform.apply_python("rename", "def predict(model, x):\n    return {'y': x, 'x': x}\n", tmp_path / "rename",
                          contract={"inputs": {"x": NUMBER}, "outputs": {"y": NUMBER, "x": NUMBER}})  # fmt: skip
    platform.apply(
        "-", sequence("traced", [{"model": "rename:1"}], [{"model": "pair:1"}, {"model": "pair:2", "shadow": True}])
    )

    assert platform.infer("traced", 5.0, request_id="trace-me").json()["outputs"][0]["data"] == [105.0]

    def seen() -> set[tuple[str, int, bool]]:
        versions = ("rename:1", "pair:1", "pair:2")
        lines = [line for v in versions for line in platform.logged(v) if line["request_id"] == "trace-me"]
        return {(line["variant"], line["stage"], line["shadow"]) for line in lines}

    expected = {("rename:1", 0, False), ("pair:1", 1, False), ("pair:2", 1, True)}
    until(lambda: seen() == expected, "all three exchanges are logged")


def test_a_sequence_that_takes_longer_than_its_deadline_is_504(platform: RunningPlatform, tmp_path: Path) -> None:
    code = "import time\ndef predict(model, x):\n    if x[0] > 0: time.sleep(5)\n    return {'y': x}\n"
    platform.apply_python("slow", code, tmp_path / "slow")
    platform.apply("-", sequence("hasty", [{"model": "slow:1"}], timeout="400ms"))
    assert platform.infer("slow", 0.0).status_code == 200

    reply = platform.infer("hasty", 1.0)

    assert reply.status_code == 504, reply.text


def test_a_platform_on_s3_serves_and_logs(new_platform: Start, s3_url: str, tmp_path: Path) -> None:
    platform = new_platform("--storage", s3_url)
    platform.apply_python("adder", ADDER, tmp_path / "adder")

    assert platform.infer("adder", 1.0, request_id="on-s3").json()["outputs"][0]["data"] == [2.0]

    until(
        lambda: [line for line in platform.logged("adder:1", s3_url) if line["request_id"] == "on-s3"],
        "it is logged in S3",
    )


def test_a_second_platform_on_the_same_home_is_refused_and_told_who_holds_it(platform: RunningPlatform) -> None:
    done = headrace("up", "--home", str(platform.home), "--port", "0")

    assert done.returncode == 1
    assert platform.url in done.stderr
    assert "headrace down" in done.stderr


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = headrace("up", "--home", str(tmp_path / "home"), "--port", str(taken.getsockname()[1]))

    assert done.returncode == 1
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "home").touch()

    done = headrace("up", "--home", str(tmp_path / "home"), "--port", "0")

    assert done.returncode == 1
    assert "--home" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_restart_finds_everything_as_it_was(new_platform: Start, tmp_path: Path) -> None:
    platform = new_platform()
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    platform.apply("-", sequence("chain", [{"model": "adder:1"}]))
    with platform.client() as client:
        client.move_alias("adder", "prod", 1)
    assert platform.stop() == 0

    platform.start()

    for name in ("adder", "adder@prod", "chain"):
        assert platform.infer(name, 1.0).json()["outputs"][0]["data"] == [2.0], name


def test_a_large_body_is_413_and_the_connection_still_serves(platform: RunningPlatform, tmp_path: Path) -> None:
    platform.apply_python("small", ADDER, tmp_path / "small", limits={"max-body": 2048})

    with httpx.Client(base_url=platform.url) as client:
        large = client.post("/v2/models/small/infer", json=body(*range(5000)))
        small = client.post("/v2/models/small/infer", json=body(1.0))

    assert (413, 200) == (large.status_code, small.status_code)
