"""Sensitive fields on a real platform: nothing of theirs reaches the disk in clear, and checks and queries go on with what is kept."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from fixtures_platform import RunningPlatform, headrace, until

TELLER = """
def predict(model, email, note, age):
    if age[0] == 13:
        raise ValueError(f"no answer for {email[0]}")
    return {"greeting": [f"Dear {e}" for e in email], "score": age * 0.5}
"""
PEOPLE = [f"person-{n:03d}@example.org" for n in range(40)]
SECRETS = [*PEOPLE, "stranger@example.org", "allergic to nuts"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    found = RunningPlatform(tmp_path_factory.mktemp("sensitive") / "home").start()
    folder = found.home.parent / "teller"
    folder.mkdir()
    rows = [f"{PEOPLE[n % 40]},allergic to nuts,{20 + n % 40}" for n in range(400)]
    (folder / "train.csv").write_text("\n".join(["email,note,age", *rows]))
    kept = {"shape": "scalar", "type": "string", "profile": "categorical"}
    inputs = {
        "email": {**kept, "sensitive": "hash"},
        "note": {**kept, "profile": "none", "sensitive": "drop"},
        "age": {"shape": "scalar", "type": "int64", "profile": "numerical"},
    }
    outputs = {
        "greeting": {**kept, "profile": "none", "sensitive": "mask"},
        "score": {"shape": "scalar", "type": "double", "profile": "numerical"},
    }
    found.apply_python(
        "teller", TELLER, folder, contract={"inputs": inputs, "outputs": outputs}, **{"training-data": "train.csv"}
    )
    yield found
    assert 0 == found.stop()


def ask(platform: RunningPlatform, request_id: str, email: object, age: object = 30) -> httpx.Response:
    values = {"email": ("BYTES", email), "note": ("BYTES", "allergic to nuts"), "age": ("INT64", age)}
    inputs = [{"name": n, "shape": [1], "datatype": kind, "data": [v]} for n, (kind, v) in values.items()]
    url = f"{platform.url}/v2/models/teller/infer"
    return httpx.post(url, json={"inputs": inputs}, headers={"x-request-id": request_id}, timeout=30)


def contents(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below a folder as text; Parquet files as their values."""
    for file in folder.rglob("*"):
        if not file.is_file() or "environments" in file.parts:
            continue
        if file.suffix == ".parquet":
            yield file, str(pq.read_table(file, partitioning=None).to_pylist())
        else:
            yield file, file.read_bytes().decode("latin-1")


def test_nothing_of_a_sensitive_field_reaches_the_disk_in_clear(platform: RunningPlatform) -> None:
    answer = ask(platform, "known", PEOPLE[3])
    assert f"Dear {PEOPLE[3]}" == answer.json()["outputs"][0]["data"][0]
    assert 200 == ask(platform, "again", PEOPLE[3]).status_code
    assert 200 == ask(platform, "stranger", "stranger@example.org").status_code
    assert 422 == ask(platform, "refused", PEOPLE[4], "stranger@example.org").status_code
    assert 500 == ask(platform, "failed", PEOPLE[5], 13).status_code

    def logged() -> dict[object, dict[str, object]]:
        found = {r["request_id"]: r for r in platform.logged("teller:1")}
        return found if len(found) == 5 else {}

    rows = until(logged, "five requests are logged")
    assert rows["known"]["in.email"] == rows["again"]["in.email"] != rows["stranger"]["in.email"]
    assert ("", "D***", 30) == (rows["known"]["in.note"], rows["known"]["out.greeting"], rows["known"]["in.age"])
    assert ([], ["email:new-category"]) == (rows["known"]["checks"], rows["stranger"]["checks"])
    assert {"refused": "signature-mismatch", "failed": "function-failed"} == {
        name: rows[name]["error"] for name in ("refused", "failed")
    }
    found = [(file, secret) for file, text in contents(platform.home) for secret in SECRETS if secret in text]
    assert [] == found


def test_a_request_with_sensitive_values_does_not_wait_in_the_store(platform: RunningPlatform) -> None:
    url = f"{platform.url}/v2/models/teller/infer"
    answer = httpx.post(url, json={"inputs": []}, headers={"prefer": "respond-async"}, timeout=30)
    assert 400 == answer.status_code
    assert "sensitive" in answer.json()["detail"]


def test_what_the_log_does_not_keep_cannot_be_explained(platform: RunningPlatform) -> None:
    done = headrace("explain", "--url", platform.url, "teller:1", "known")
    assert done.returncode == 1
    assert "email, note" in done.stderr
