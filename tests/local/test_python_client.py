"""Python programs ask models with the tables that they have, and get tables of the same kind back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures_platform import NUMBER, RunningPlatform, until
from headrace import AsyncClient, Client
from headrace_functions.errors import (
    DeadlineExceeded,
    FunctionFailed,
    InvalidInput,
    NotFound,
    SignatureMismatch,
    Unreachable,
)

LOAN = """
import numpy as np
def predict(model, amount, plan):
    if amount[0] == -1:
        raise ValueError("no such amount")
    return {"risk": amount / 100, "grade": np.array([f"{p}-{int(a)}" for a, p in zip(amount, plan)], object), "pair": np.stack([amount, amount * 2], axis=1)}
"""
FRAME = pd.DataFrame({"amount": [10, 20], "plan": ["a", "b"], "more": [1, 2]}, index=["x", "y"])


@pytest.fixture(scope="module")
def asked(platform: RunningPlatform, tmp_path_factory: pytest.TempPathFactory) -> RunningPlatform:
    contract = {
        "inputs": {"amount": NUMBER, "plan": {"shape": "scalar", "type": "string"}},
        "outputs": {
            "risk": NUMBER,
            "grade": {"shape": "scalar", "type": "string"},
            "pair": {"shape": [2], "type": "double"},
        },
    }
    platform.apply_python("loan", LOAN, tmp_path_factory.mktemp("loan"), contract=contract)
    return platform


@pytest.fixture
def client(asked: RunningPlatform) -> Iterator[Client]:
    with Client(asked.url) as opened:
        yield opened


def test_a_data_frame_comes_back_as_one_with_its_index(client: Client) -> None:
    found = client.ask("loan", FRAME)
    assert ["x", "y"] == list(found.index)
    assert [0.1, 0.2] == found["risk"].tolist()
    assert ["a-10", "b-20"] == found["grade"].tolist()
    assert [[10.0, 20.0], [20.0, 40.0]] == [list(p) for p in found["pair"]]


def test_columns_rows_and_arrays_come_back_as_such(client: Client) -> None:
    columns = client.ask("loan", {"amount": [10, 20], "plan": ["a", "b"]})
    assert isinstance(columns["risk"], np.ndarray)
    assert [0.1, 0.2] == columns["risk"].tolist()
    rows = client.ask("loan", [{"amount": 10, "plan": "a"}])
    assert [{"risk": 0.1, "grade": "a-10", "pair": [10.0, 20.0]}] == rows
    assert [2.0, 3.0] == client.ask("adder", np.array([1.0, 2.0]))["y"].tolist()
    assert [2.0, 3.0] == client.ask("adder:1", np.array([[1.0], [2.0]])[:, 0])["y"].tolist()


def test_a_large_table_is_asked_in_pieces_and_comes_back_whole(client: Client) -> None:
    found = client.ask("adder", pd.DataFrame({"x": np.arange(25_000.0)}))
    np.testing.assert_array_equal(np.arange(25_000.0) + 1, found["y"])


def test_an_id_is_the_log_s(client: Client, asked: RunningPlatform) -> None:
    client.ask("adder", {"x": [5.0]}, request_id="mine-1")
    until(lambda: "mine-1" in {r["request_id"] for r in asked.logged("adder:1")}, "it is logged")


def test_the_same_for_asyncio_with_many_at_once(asked: RunningPlatform) -> None:
    async def ask() -> list[Any]:
        async with AsyncClient(asked.url) as client:
            whole = client.ask("adder", pd.DataFrame({"x": np.arange(25_000.0)}))
            return list(await asyncio.gather(whole, client.ask("loan", FRAME), client.ask("adder", {"x": [1.0]})))

    many, frame, one = asyncio.run(ask())
    np.testing.assert_array_equal(np.arange(25_000.0) + 1, many["y"])
    assert [0.1, 0.2] == frame["risk"].tolist()
    assert [2.0] == one["y"].tolist()


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("nobody", {"x": [1.0]}, NotFound, "nobody"),
        ("loan", {"amount": [1]}, InvalidInput, "'plan' is missing"),
        ("loan", {"amount": [1, 2], "plan": ["a"]}, InvalidInput, "must have the same length"),
        ("loan", {"amount": [], "plan": []}, InvalidInput, "at least 1"),
        ("loan", 7, InvalidInput, "it is not a table"),
        ("loan", np.ones((2, 5)), InvalidInput, "a column for each input"),
        ("loan", {"amount": ["much"], "plan": ["a"]}, SignatureMismatch, "amount"),
        ("loan", {"amount": [-1], "plan": ["a"]}, FunctionFailed, "ValueError"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(
    client: Client, name: str, data: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        client.ask(name, data)


def test_nobody_there_is_asked_again_and_then_said(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("headrace_controller.inference_client.time.sleep", waited.append)
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unreachable, match="no platform answers"):
        client.ask("adder", {"x": [1.0]})
    assert waited == sorted(waited)


def test_a_busy_platform_is_asked_again_under_the_same_id_and_a_lost_answer_is_not(
    asked: RunningPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    from headrace_controller.inference_client import Asker

    seen: list[tuple[str, str]] = []

    def busy(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.get(f"{asked.url}{request.url.path}")
        seen.append((request.url.path, request.headers["x-request-id"]))
        if request.url.path.endswith("/loan/infer"):
            raise httpx.ReadError("gone")
        if len(seen) < 3:
            return httpx.Response(503, headers={"retry-after": "2"}, json={"detail": "starting", "code": "not-ready"})
        return httpx.post(f"{asked.url}{request.url.path}", content=request.content, headers=dict(request.headers))

    waited: list[float] = []
    monkeypatch.setattr("headrace_controller.inference_client.time.sleep", waited.append)
    with httpx.Client(base_url="http://busy", transport=httpx.MockTransport(busy)) as http:
        assert [2.0] == Asker(http).ask("adder", {"x": [1.0]}, request_id="r")["y"].tolist()
        assert ([2.0, 2.0], {"r"}, 3) == (waited, {i for _, i in seen}, len(seen))
        seen.clear()
        with pytest.raises(Unreachable, match="was lost"):
            Asker(http).ask("loan", FRAME)
        assert 1 == len(seen)


def test_a_deadline_is_the_platform_s(client: Client, asked: RunningPlatform, tmp_path: Path) -> None:
    asked.apply_python(
        "sleeper",
        "import time\ndef predict(model, x):\n    if x[0] > 0:\n        time.sleep(x[0])\n    return {'y': x}\n",
        tmp_path,
    )
    with pytest.raises(DeadlineExceeded):
        client.ask("sleeper", {"x": [2.0]}, timeout=0.5)
