"""The front door of a real platform: lines of JSON, compression, browsers, timing, and what one caller may use."""

from collections.abc import Callable
from typing import Any

import httpx
import orjson

from fixtures_platform import ADDER, RunningPlatform, body, until


def test_the_front_door(new_platform: Callable[..., RunningPlatform]) -> None:
    """One platform for all of it: starting one takes longer than the questions."""
    platform = new_platform("--cors-origin", "https://app.example", "--caller-bytes", "100000")
    platform.apply_python("adder", ADDER, platform.home / "adder")
    url = f"{platform.url}/v2/models/adder/infer"

    def post(**more: Any) -> httpx.Response:
        return httpx.post(url, timeout=30, **more)

    lines = post(content=b'{"x": 1}\n{"x": 2}\n', headers={"content-type": "application/x-ndjson"})
    assert ("application/x-ndjson", b'{"y":2.0}\n{"y":3.0}\n') == (lines.headers["content-type"], lines.content)

    packed = post(json=body(*map(float, range(1000))), headers={"accept-encoding": "zstd"})
    assert "zstd" == packed.headers["content-encoding"]
    assert 1000.0 == packed.json()["outputs"][0]["data"][-1]

    shared = post(json=body(1.0), headers={"origin": "https://app.example"})
    assert "https://app.example" == shared.headers["access-control-allow-origin"]

    timed = post(json=body(1.0), headers={"x-headrace-timing": "1"}).headers.get_list(
        "server-timing", split_commas=True
    )
    assert ["wake", "function", "total"] == [part.partition(";")[0] for part in timed]

    figures = httpx.get(f"{platform.url}/metrics").text
    counted = [
        line.split('stage="')[1].split('"')[0]
        for line in figures.splitlines()
        if line.startswith("headrace_wake_seconds_count")
    ]
    assert ["prepare", "fork", "load", "total"] == counted

    head = httpx.head(f"{platform.url}/v2/models/adder")
    assert (200, b"") == (head.status_code, head.content)
    assert len(httpx.get(f"{platform.url}/v2/models/adder").content) == int(head.headers["content-length"])

    big = orjson.dumps(body(*[1.0] * 40_000))
    answers = [post(content=big, headers={"content-type": "application/json"}) for _ in range(3)]
    assert {200, 429} == {a.status_code for a in answers}
    refused = next(a for a in answers if a.status_code == 429)
    assert "limit of 100000 bytes a second" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) >= 1


def test_a_body_however_deeply_nested_is_the_callers_fault_at_every_door(
    new_platform: Callable[..., RunningPlatform],
) -> None:
    platform = new_platform()
    platform.apply_python("adder", ADDER, platform.home / "adder")
    lines, plain = {"content-type": "application/x-ndjson"}, {"content-type": "application/json"}
    tensor = '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [%s]}]}'
    doors = [
        ("/v2/models/adder/infer", tensor, plain),
        ("/v2/models/adder/infer", tensor, {**plain, "inference-header-content-length": "LENGTH"}),
        ("/v2/models/adder/infer", '{"x": %s}', lines),
        ("/v2/models/adder/explain", tensor, plain),
        ("/v2/models/adder/generate", '{"x": %s}', plain),
        ("/v2/models/adder/generate_stream", '{"x": %s}', plain),
        ("/v1/models/adder:predict", '{"instances": [{"x": %s}]}', plain),
        ("/v1/embeddings", '{"model": "adder", "input": "a", "dimensions": %s}', plain),
        ("/gateway/application/adder", '{"x": [%s]}', plain),
        ("/api/v1/cloudevents", '{"data": %s}', {"content-type": "application/cloudevents+json"}),
    ]
    with httpx.Client(base_url=platform.url, timeout=30) as client:
        for depth in (100, 300, 1010, 100_000):
            for opens, ends in (("[", "]"), ('{"a":', "}")):
                deep = f"{opens * depth}1{ends * depth}"
                for path, form, headers in doors:
                    content = form % deep
                    told = {k: v.replace("LENGTH", str(len(content))) for k, v in headers.items()}
                    answer = client.post(path, content=content, headers=told)
                    assert 400 <= answer.status_code < 500, (path, depth, answer.text)
                form_data = client.post("/v2/models/adder/infer", files={"x": (None, deep)})
                assert 400 <= form_data.status_code < 500, (depth, form_data.text)
        client.post("/v2/models/adder/infer", json=body(1.0), headers={"x-request-id": "last"}).raise_for_status()
        until(lambda: "last" in {r["request_id"] for r in platform.logged("adder:1")}, "the last request is logged")
        assert [] == client.get("/api/v1/refused-records").json()["items"]
