"""Erasure on a real platform with a real bucket: afterwards no byte of the value is left, under traffic, after a kill, and the rest is as it was."""

import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard
from deltalake import DeltaTable

from fixtures_platform import RunningPlatform, headrace, until
from headrace_controller.client import Client
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

SCORER = """
def predict(model, customer_id, age):
    if age[0] < 0:
        raise ValueError(f"no score for {customer_id[0]}")
    print(f"scoring {customer_id[0]}", flush=True)
    return {"score": age * 0.5}
"""
VALUE, OTHER = "cust-90210-zürich", "cust-11111-basel"
FORMS = (VALUE, "cust-90210-z\\u00fcrich")
SCORED, CHURN = VersionId("scorer", 1), VersionId("scorer", 2)


@pytest.fixture
def platform(new_platform: Any, s3_prefix: str) -> RunningPlatform:
    found: RunningPlatform = new_platform("--storage", s3_prefix)
    found.store = s3_prefix  # type: ignore[attr-defined]
    return found


@pytest.fixture
def objects(platform: RunningPlatform) -> ObjectStore:
    return ObjectStore(platform.store)  # type: ignore[attr-defined]


@pytest.fixture
def client(platform: RunningPlatform) -> Iterator[Client]:
    with Client(platform.url) as found:
        yield found


def applied(platform: RunningPlatform, name: str = "scorer", sensitive: str = "") -> None:
    folder = platform.home / f"{name}{sensitive}"
    folder.mkdir(exist_ok=True)
    rows = [f"cust-{n:05d},{20 + n % 40},{n % 2}" for n in range(200)]
    (folder / "train.csv").write_text("\n".join(["customer_id,age,churned", *rows]))
    text = {"shape": "scalar", "type": "string", "profile": "none", **({"sensitive": sensitive} if sensitive else {})}
    number = {"shape": "scalar", "profile": "numerical"}
    contract = {
        "inputs": {"customer_id": text, "age": {**number, "type": "int64"}},
        "outputs": {"score": {**number, "type": "double"}},
    }
    more = {"training-data": "train.csv", "target": "churned"}
    platform.apply_python(name, SCORER, folder, contract=contract, **more)


def ask(
    platform: RunningPlatform, request_id: str, *customers: str, age: int = 30, name: str = "scorer", **headers: str
) -> httpx.Response:
    values = {"customer_id": ("BYTES", list(customers)), "age": ("INT64", [age] * len(customers))}
    inputs = [{"name": n, "shape": [len(v)], "datatype": kind, "data": v} for n, (kind, v) in values.items()]
    url = f"{platform.url}/v2/models/{name}/infer"
    return httpx.post(url, json={"inputs": inputs}, headers={"x-request-id": request_id, **headers}, timeout=30)


def contents(objects: ObjectStore, home: Path) -> Iterator[tuple[str, bytes]]:
    """Every object of the bucket and every file of the home, as they are and decoded."""
    for info in objects.walk(""):
        yield from decoded(info.key, objects.get(info.key))
    for file in home.rglob("*"):
        if file.is_file() and "environments" not in file.parts:
            yield from decoded(str(file), file.read_bytes())


def decoded(name: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, body
    if name.endswith(".parquet"):
        file = pq.ParquetFile(io.BytesIO(body))
        yield name, str(file.read().to_pylist()).encode()
        yield name, str([file.metadata.row_group(n).to_dict() for n in range(file.num_row_groups)]).encode()
    if name.endswith(".zst"):
        yield name, zstandard.ZstdDecompressor().stream_reader(body).read()


def where(objects: ObjectStore, home: Path) -> list[str]:
    return [n for n, body in contents(objects, home) if any(form.encode() in body for form in FORMS)]


def erase(platform: RunningPlatform, *more: str, value: str = VALUE) -> dict[str, Any]:
    done = headrace(
        "erase",
        "--url",
        platform.url,
        "--field",
        "customer_id",
        "--value",
        "-",
        "--yes",
        "--json",
        *more,
        stdin=value + "\n",
    )
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def rows_of(platform: RunningPlatform, version: str) -> dict[tuple[str, int], dict[str, Any]]:
    found = platform.logged(version, platform.store)  # type: ignore[attr-defined]
    return {(r["request_id"], r["row"]): r for r in found}


@pytest.mark.timeout(240)
def test_no_byte_of_an_erased_value_is_left_and_everything_else_is(
    platform: RunningPlatform, objects: ObjectStore, client: Client
) -> None:
    applied(platform)
    client.put_metric(SCORED, "half", expression="out.score / 2", threshold=1000.0, operator="<=")
    for n in range(8):
        assert 200 == ask(platform, f"other-{n}", OTHER).status_code
        assert 200 == ask(platform, f"mixed-{n}", OTHER, VALUE, OTHER).status_code
    assert 200 == ask(platform, "alone", VALUE).status_code
    assert 500 == ask(platform, "failed", VALUE, age=-1).status_code
    refused = {"inputs": [{"name": "customer_id", "shape": [1], "datatype": "BYTES", "data": [VALUE]}]}
    url = f"{platform.url}/v2/models/scorer/infer"
    escaped = orjson.dumps(refused).replace(VALUE.encode(), rb"cust\u002D90210-z\u00FCrich")
    headers = {"x-request-id": "refused", "content-type": "application/json"}
    assert 422 == httpx.post(url, content=escaped, headers=headers, timeout=30).status_code
    later = ask(platform, "later", VALUE, prefer="respond-async")
    assert 202 == later.status_code
    until(lambda: 200 == httpx.get(platform.url + later.headers["location"]).status_code, "the later answer is there")
    until(lambda: len(rows_of(platform, "scorer:1")) >= 36, "all are logged")
    until(lambda: len(values(objects)) >= 34, "all answered rows are scored")
    pushed = platform.home / "labels.csv"
    pushed.write_text("request_id,row,churned\nmixed-0,1,1\nmixed-0,2,0\nalone,0,1\n")
    client.push_labels(SCORED, pushed)
    pushed.unlink()
    objects.create(layout.report(SCORED, "explain", "one.json"), orjson.dumps({"request": {"id": "alone", "row": 0}}))
    objects.create(layout.report(SCORED, "drift", "figures.json"), b'{"rows": 36}')
    objects.create(f"{layout.incident(7)}1.json", orjson.dumps({"text": f"new category {VALUE} of customer_id"}))
    table = DeltaTable(objects.table_url(layout.log_table(SCORED)), storage_options=objects.table_options())
    table.optimize.compact()  # leaves files that hold the value and are no part of the table
    table.create_checkpoint()
    before = rows_of(platform, "scorer:1")
    assert len(where(objects, platform.home)) >= 8

    plan = headrace("erase", "--url", platform.url, "--field", "customer_id", "--value", VALUE, "--dry-run", "--json")
    planned = orjson.loads(plan.stdout)
    done = erase(platform)

    assert [] == where(objects, platform.home)
    assert "done" == done["state"]
    assert (11, 2) == (planned["counts"]["log_rows"], done["counts"]["labels"])
    assert planned["counts"]["log_rows"] == done["counts"]["log_rows"]
    assert 1 == done["counts"]["deferred"]
    assert 1 == done["counts"]["results"], "the explanation alone"
    after = rows_of(platform, "scorer:1")
    gone = {("alone", 0), ("failed", 0), ("later", 0), *((f"mixed-{n}", 1) for n in range(8))}
    assert gone == set(before) - set(after)
    assert {k: r for k, r in before.items() if k not in gone | {("refused", 0)}} == {
        k: r for k, r in after.items() if k != ("refused", 0)
    }
    assert (before["refused", 0]["raw"] is not None, None) == (True, after["refused", 0]["raw"])
    assert {(r, n) for r, n in before if (r, n) not in gone | {("refused", 0)}} == values(objects)
    assert "[erased]" in objects.get(f"{layout.incident(7)}1.json").decode()
    assert b'{"rows": 36}' == objects.get(layout.report(SCORED, "drift", "figures.json"))

    # The log goes on, each row is scored once and counted once, and the audit has no value in it.
    assert 200 == ask(platform, "next", OTHER).status_code
    until(lambda: ("next", 0) in values(objects), "what comes after it is scored")
    assert len(after) + 1 == len(rows_of(platform, "scorer:1"))
    entry = client.audit(what="start_erasure")[0]
    assert ({"field": "customer_id", "value": done["digest"], "model": ""}) == entry.changes[0]["after"]
    assert 0 == headrace("audit", "verify", "--url", platform.url).returncode
    again = erase(platform)
    assert {0} == set(again["counts"].values()), "it is erased already"


def values(objects: ObjectStore) -> set[tuple[str, int]]:
    """Rows with a metric value; each is there once."""
    url = objects.table_url(layout.metric_table(SCORED))
    if not DeltaTable.is_deltatable(url, objects.table_options()):
        return set()
    rows = DeltaTable(url, storage_options=objects.table_options()).to_pyarrow_table(columns=["request_id", "row"])
    found = [(r["request_id"], r["row"]) for r in rows.to_pylist()]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.timeout(240)
def test_an_erasure_under_traffic_loses_and_doubles_no_other_row(
    platform: RunningPlatform, objects: ObjectStore
) -> None:
    applied(platform)
    asked: list[str] = []
    stop = threading.Event()

    def traffic() -> None:
        n = 0
        while not stop.wait(0.01):
            assert 200 == ask(platform, f"t{n}", OTHER, VALUE if n < 100 else OTHER).status_code
            asked.append(f"t{n}")
            n += 1

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        until(lambda: len(asked) > 130, "some traffic")
        done = erase(platform)
        until(lambda: len(asked) > 300, "traffic after it")
    finally:
        stop.set()
        thread.join()
    assert 100 == done["counts"]["log_rows"]
    expected = {(f"t{n}", row) for n in range(len(asked)) for row in ((0,) if n < 100 else (0, 1))}
    until(lambda: len(rows_of(platform, "scorer:1")) >= len(expected), "all are logged")
    logged = platform.logged("scorer:1", platform.store)  # type: ignore[attr-defined]
    assert expected == {(r["request_id"], r["row"]) for r in logged}
    assert len(expected) == len(logged)
    assert [] == where(objects, platform.home)


@pytest.mark.timeout(240)
def test_an_erasure_that_was_killed_goes_on_at_the_next_start(platform: RunningPlatform, objects: ObjectStore) -> None:
    applied(platform)
    for n in range(20):
        assert 200 == ask(platform, f"k{n}", VALUE, OTHER).status_code
    until(lambda: len(rows_of(platform, "scorer:1")) == 40, "all are logged")
    begun = erase(platform, "--no-wait")
    assert platform._process is not None
    platform._process.kill()
    platform._process.wait()
    platform.start()
    with Client(platform.url) as client:
        until(lambda: "done" == client.erasure(begun["id"]).state, "it is done")
        assert VALUE not in str(client.erasures())
    assert 20 == len(rows_of(platform, "scorer:1"))
    assert [] == where(objects, platform.home)


def test_a_value_that_is_kept_as_a_hash_is_found_by_the_value(platform: RunningPlatform, objects: ObjectStore) -> None:
    applied(platform)
    applied(platform, sensitive="hash")
    for version in (1, 2):
        assert 200 == ask(platform, f"h{version}", VALUE, OTHER, name=f"scorer/versions/{version}").status_code
    until(lambda: len(rows_of(platform, "scorer:1")) + len(rows_of(platform, "scorer:2")) == 4, "all are logged")
    hashed = rows_of(platform, "scorer:2")["h2", 0]["in.customer_id"]
    assert re.fullmatch("[0-9a-f]{16}", hashed)
    done = erase(platform, "--model", "scorer")
    assert 2 == done["counts"]["log_rows"]
    assert {("h1", 1), ("h2", 1)} == set(rows_of(platform, "scorer:1")) | set(rows_of(platform, "scorer:2"))
    left = [n for n, body in contents(objects, platform.home) if hashed.encode() in body]
    assert [] == left


def test_what_is_not_touched_is_named(platform: RunningPlatform) -> None:
    applied(platform)
    done = erase(platform, value="cust-00007")
    assert "models/scorer/versions/1/training.parquet" in done["kept"]
    common = ("erase", "--url", platform.url, "--value", "cust-00007", "--yes")
    for more in ((), ("--dry-run",), ("--model", "scorer"), ("--no-wait", "--json")):
        mistyped = headrace(*common, "--field", "custmer_id", *more)
        assert (1, "") == (mistyped.returncode, mistyped.stdout)
        assert "an input or output 'custmer_id'" in mistyped.stderr
        assert "did you mean 'customer_id'?" in mistyped.stderr
    unlike = headrace(*common, "--field", "nope")
    assert (1, True) == (unlike.returncode, "fields are age, customer_id, score" in unlike.stderr)
    tried = headrace(*common, "--field", "customer_id", "--dry-run")
    assert (0, "this was a dry run: nothing was erased") == (tried.returncode, tried.stderr.splitlines()[-1])
    missing = headrace(
        "erase", "--url", platform.url, "--field", "customer_id", "--value", "x", "--model", "nobody", "--yes"
    )
    assert (1, True) == (missing.returncode, "there is no model 'nobody'" in missing.stderr)
    asks = headrace("erase", "--url", platform.url, "--field", "customer_id", "--value", "x")
    assert (1, True) == (asks.returncode, "There is no terminal for the question" in asks.stderr)
    assert "--yes" in asks.stderr
