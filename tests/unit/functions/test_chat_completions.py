"""What an endpoint of OpenAI's shape says, event by event, and what it is asked."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chat_server import Answers, chat_server
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.chat_completions import ChatFailure, bind, check, events, load, question
from headrace_functions.signature import Field, Signature, dtype

PROMPT, TEXT = Field("prompt", dtype("string")), Field("text", dtype("string"))
SIGNATURE = Signature(
    (PROMPT,), (TEXT, Field("completion_tokens", dtype("int64")), Field("finish_reason", dtype("string")))
)


def lines(*said: Any, done: bool = True) -> list[bytes]:
    told = [b"data: " + json.dumps(one).encode() + b"\n" for one in said]
    return [b": a comment\n", b"\n", *told, *([b"data: [DONE]\n"] if done else [])]


def delta(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "small-7b", "choices": [{"delta": {"content": text}, **more}]}


def test_text_comes_piece_by_piece_and_the_counts_last() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "other": {}}}
    said = lines(
        {"choices": [{"delta": {"role": "assistant"}}]},
        delta("once "),
        delta("upon"),
        delta("", finish_reason="stop"),
        usage,
    )
    found = list(events(said))
    assert ["once ", "upon", ""] == [c["text"] for c in found]
    assert [("", ""), ("", ""), ("stop", "small-7b")] == [(c["finish_reason"], c["model"]) for c in found]
    assert ("stop", "small-7b", 3, 2, 5) == tuple(
        found[-1][k] for k in ("finish_reason", "model", "prompt_tokens", "completion_tokens", "total_tokens")
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (lines(delta("once "), done=False), "in the middle"),
        (lines({"error": {"message": "overloaded"}}), "overloaded"),
        ([b"data: {torn\n"], "no JSON"),
        ([], "in the middle"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(said: list[bytes], expected: str) -> None:
    with pytest.raises(ChatFailure, match=expected):
        list(events(said))


def test_a_row_becomes_messages_and_the_parameters_that_it_has() -> None:
    row = {
        "prompt": "hello",
        "system": "be brief",
        "temperature": 0.5,
        "max_tokens": 9,
        "top_p": float("nan"),
        "stop": None,
    }
    asked = question(row)
    assert [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}] == asked["messages"]
    assert {"messages", "temperature", "max_tokens"} == asked.keys()
    told = [{"role": "user", "content": "hi"}]
    assert told == question({"messages": json.dumps(told)})["messages"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '["hi"]', '[{"content": "x"}]', None])
def test_messages_that_are_none_name_the_field(text: str | None) -> None:
    with pytest.raises(InvalidInput) as error:
        question({"messages": text})
    assert "messages" == error.value.field


@pytest.mark.parametrize(("inputs", "outputs", "field"), [(["prompt", "colour"], ["text"], "colour"), (["prompt"], ["mood"], "mood"), (["system"], ["text"], "contract"), (["prompt", "messages"], ["text"], "contract")])  # fmt: skip
def test_a_contract_that_the_api_cannot_keep_is_refused(inputs: list[str], outputs: list[str], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check(inputs, outputs)
    assert field == error.value.field


def test_a_key_comes_from_its_file_and_is_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-secret\n")
    endpoint = load({"url": "http://127.0.0.1:1/v1", "model": "m", "key-file": str(tmp_path / "key")})
    assert "Bearer sk-secret" == endpoint.headers["authorization"]
    assert "sk-secret" not in repr(endpoint)
    with pytest.raises(InvalidInput, match="cannot be read"):
        load({"url": "http://127.0.0.1:1/v1", "model": "m", "key-file": str(tmp_path / "none")})
    with pytest.raises(InvalidInput, match="no HEADRACE_TEST_NO_SUCH_KEY"):
        load({"url": "http://127.0.0.1:1/v1", "model": "m", "key-env": "HEADRACE_TEST_NO_SUCH_KEY"})


@pytest.mark.parametrize("held", [b"", b"# a comment\nsk-secret\n", b"sk secret", b"\xff\xfe", b"x" * 5000])
def test_what_is_no_key_is_refused_without_a_letter_of_it(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "key").write_bytes(held)
    with pytest.raises(InvalidInput, match="is not a usable key") as error:
        load({"url": "http://127.0.0.1:1/v1", "model": "m", "key-file": str(tmp_path / "key")})
    assert "secret" not in error.value.message


def test_a_key_that_the_other_side_repeats_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-secret")
    with chat_server(Answers([], status=401, said="bad key sk-secret")) as url:
        function = bind(load({"url": url, "model": "m", "key-file": str(tmp_path / "key")}), SIGNATURE)
        with pytest.raises(ChatFailure, match=r"answered 401: bad key \*\*\*$"):
            function({"prompt": np.array(["a"], dtype=object)})


def test_several_rows_are_answered_in_their_order() -> None:
    with chat_server(Answers(["so ", "it ", "is"])) as url:
        function = bind(load({"url": url, "model": "m"}), SIGNATURE)
        found = function({"prompt": np.array(["a", "b"], dtype=object)})
    assert ["a: so it is", "b: so it is"] == list(found["text"])
    assert ([3, 3], ["stop", "stop"]) == (list(found["completion_tokens"]), list(found["finish_reason"]))


def test_a_refusal_of_the_other_side_is_told() -> None:
    with chat_server(Answers([], status=429)) as url:
        function = bind(load({"url": url, "model": "m"}), SIGNATURE)
        with pytest.raises(ChatFailure, match="answered 429: slow down"):
            function({"prompt": np.array(["a"], dtype=object)})


def test_closing_an_answer_hangs_up_on_the_other_side() -> None:
    answers = Answers([f"{i} " for i in range(10_000)], pause=0.005)

    async def first_two(url: str) -> None:
        function = bind(load({"url": url, "model": "m"}), SIGNATURE)
        chunks = function.open({"prompt": np.array(["a"], dtype=object)})
        assert hasattr(chunks, "__anext__")
        for _ in range(2):
            await chunks.__anext__()
        await chunks.aclose()  # type: ignore[attr-defined]

    with chat_server(answers) as url:
        asyncio.run(first_two(url))
        assert answers.hung_up.wait(10), "the server saw the connection end"
    assert answers.sent < 10_000
