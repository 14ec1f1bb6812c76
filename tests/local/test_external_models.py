"""External models in real processes: called through their URL, or known by their exchanges alone; logged, watched and analysed like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
import yaml

from chat_server import Answers, chat_server
from fixtures_platform import ADDER, RunningPlatform, new_platform, shared_environments, until
from headrace_functions.names import VersionId

__all__ = ["new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(900)

CONTRACT = {"inputs": {"x": {"type": "double"}}, "outputs": {"y": {"type": "double"}}}


def apply_external(platform: RunningPlatform, folder: Path, external: Any, **more: Any) -> VersionId:
    folder.mkdir(exist_ok=True)
    document = {"kind": "Model", "name": "far", "external": external, "contract": CONTRACT, **more}
    (folder / "headrace.yaml").write_text(yaml.safe_dump(document))
    platform.apply(folder)
    return VersionId("far", 1)


def test_a_model_behind_a_url_is_called_logged_and_its_failures_are_failures(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    platform = new_platform()
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    version = apply_external(platform, tmp_path / "far", {"url": f"{platform.url}/v2/models/adder"})
    near, far = (platform.infer(name, 4.0, request_id=f"at-{name}") for name in ("adder", "far"))
    assert near.json()["outputs"][0]["data"] == far.json()["outputs"][0]["data"]
    (row,) = until(lambda: platform.logged(str(version)), "the request is logged")
    assert ("at-far", 4.0, "ok") == (row["request_id"], row["in.x"], row["outcome"])
    with platform.client() as client:
        client.delete_model("adder")
    failed = platform.infer("far", 4.0)
    assert 500 == failed.status_code
    rows = until(lambda: r if len(r := platform.logged(str(version))) == 2 else None, "the failure is logged")
    assert any("answered 404" in str(r["error"]) for r in rows)


def test_a_model_known_by_its_exchanges_is_logged_counted_and_analysed(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    platform = new_platform()
    folder, random = tmp_path / "far", np.random.default_rng(5)
    folder.mkdir()
    (folder / "train.csv").write_text("x\n" + "\n".join(f"{v:.6f}" for v in random.normal(0, 1, 1000)) + "\n")
    version = apply_external(platform, folder, True, **{"training-data": "train.csv"})
    assert 404 == platform.infer("far", 1.0).status_code
    lines = [
        orjson.dumps({"request_id": f"r-{i}", "inputs": {"x": x}, "outputs": {"y": 2 * x}, "latency_ms": 3.0})
        for i, x in enumerate(random.normal(3, 1, 600).tolist())
    ]
    with platform.client() as client:
        for _ in range(2):
            assert 600 == client.push_exchanges(version, b"\n".join(lines), "application/x-ndjson").accepted
        until(lambda: len(platform.logged(str(version))) >= 600, "the exchanges are logged", 60)
        requests = until(
            lambda: total if (total := sum(b.requests for b in client.health(version).buckets)) >= 600 else None,
            "they are counted",
            60,
        )
        assert 600 == requests
        job = client.start_job("drift", str(version), window="1h")
        done = until(lambda: j if (j := client.job(job.id)).state in ("done", "failed") else None, "drift", 800)
        assert "done" == done.state, done.reason
        assert "severe" == client.report(str(done.report))["severity"]
        assert 600 == len(platform.logged(str(version)))


def test_a_language_model_elsewhere_streams_and_is_logged_with_its_token_counts(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-of-a-test")
    platform = new_platform("--function-path", str(key))
    answers = Answers(["so ", "it ", "is"])
    with chat_server(answers) as url:
        external = {"protocol": "openai", "url": url, "model": "small-7b", "key-file": str(key)}
        (tmp_path / "headrace.yaml").write_text(yaml.safe_dump({"kind": "Model", "name": "chat", "external": external}))
        platform.apply(tmp_path / "headrace.yaml")
        streamed = httpx.post(
            f"{platform.url}/v2/models/chat/generate_stream",
            json={"prompt": "why"},
            headers={"accept": "application/x-ndjson", "x-request-id": "streamed"},
            timeout=60,
        )
        answers.break_after = 2
        broken = httpx.post(
            f"{platform.url}/v2/models/chat/generate_stream",
            json={"prompt": "broken"},
            headers={"accept": "application/x-ndjson", "x-request-id": "broken"},
            timeout=60,
        )

    events = [orjson.loads(line) for line in streamed.text.splitlines()]
    assert ["why: ", "so ", "it ", "is", ""] == [e["text"] for e in events]
    assert ("stop", 3) == (events[-1]["finish_reason"], events[-1]["completion_tokens"])
    assert ["Bearer sk-of-a-test"] * 2 == answers.keys, "nothing is asked while a version is built"
    assert "error" in orjson.loads(broken.text.splitlines()[-1])
    logged = until(lambda: r if len(r := platform.logged("chat:1")) == 2 else None, "both are logged")
    rows = {r["request_id"]: r for r in logged}
    assert ("ok", "why: so it is", "stop", 3, 1) == tuple(
        rows["streamed"][k]
        for k in ("outcome", "out.text", "out.finish_reason", "out.completion_tokens", "out.prompt_tokens")
    )
    assert ("failed", "broken: so ") == (rows["broken"]["outcome"], rows["broken"]["out.text"])
    everything = b"".join(
        f.read_bytes() for f in platform.home.rglob("*") if f.is_file() and "environments" not in f.parts
    )
    assert b"sk-of-a-test" not in everything, "the key is in no definition, log or record"
