"""A value is found in bodies that could not be read, however JSON spells it."""

import json
import time
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_controller.api.schemas import ErasureCounts
from headrace_controller.cli.erase import _counts
from headrace_controller.erasure import objects as others
from headrace_controller.erasure import passes
from headrace_controller.erasure.subject import MAX_VALUE, Subject
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40),
    st.text('ab\\/&-"nu0026\né😀', min_size=4, max_size=40),
)


@st.composite
def spelled(draw: st.DrawFn, value: str) -> str:
    """A value inside a string of JSON, each character in any way that JSON has for it."""
    return "".join(draw(st.sampled_from(ways(c))) for c in value)


def ways(character: str) -> list[str]:
    code = character.encode("utf-16-be").hex()
    units = [code[n : n + 4] for n in range(0, len(code), 4)]
    found = ["".join(f"\\u{u}" for u in units), "".join(f"\\u{u.upper()}" for u in units)]
    found += [SHORT[character]] if character in SHORT else []
    return found + ([character] if character not in '"\\' and character >= " " else [])


@settings(deadline=None)
@given(
    data=st.data(),
    value=VALUES,
    before=TEXT,
    beside=st.sampled_from(['"', "\\n", "\\t", " ", "\\u0020", "\\/", "\\\\"]),
)
def test_any_value_in_any_spelling_is_found_in_a_torn_body_and_taken_out(
    data: st.DataObject, value: str, before: str, beside: str
) -> None:
    said = data.draw(spelled(value))
    assert value == json.loads(f'"{said}"')
    head = json.dumps({"comment": before})[:-1] + (', "who": "' if beside == '"' else f', "who": "x{beside}')
    tail = data.draw(st.sampled_from(["", '"', '", "age', "\\", "\\u00", "\\n"]))
    torn = (head + said + tail).encode()
    subject = Subject("who", value)
    assert subject.said_in(torn)
    rest = subject.replaced_in(torn, b"*")
    assert not subject.said_in(rest)
    assert len(said.encode()) <= len(torn) - len(rest) + 1


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ("acct/77/x", rb'{"who": "acct\/77\/x", "age": '),
        ("a&b-co", rb'{"who": "a\u0026b\u002dco'),
        ("käthe-1", rb'{"who": "k\u00E4the\u002D1'),
        ("cust-90210", rb'{"note": "first\ncust-90210\tsecond'),
        ("😀cust", rb'{"who": "\uD83D\uDE00cust'),
        ("DOM\\user", rb'{"who": "DOM\\user'),
        ("DOM\\user", rb"who=DOM\user"),
        ("acct/77/x", rb'{"text": "{\"who\": \"acct\\\/77\\u002Fx'),
    ],
)
def test_each_of_these_spellings_is_found(value: str, body: bytes) -> None:
    assert Subject("who", value).said_in(body)


def test_a_value_within_another_is_not_found_however_it_is_spelled() -> None:
    assert not Subject("who", "cust-1").said_in(rb'{"who": "cust\u002d12", "of": "\u0061cust-1"}')


def test_a_value_that_begins_or_ends_with_a_sign_is_found_beside_a_letter() -> None:
    assert Subject("phone", "+41 79 1").said_in(b"tel+41 79 1")
    assert Subject("path", "/home/").said_in(rb"x\/home\/maya")
    assert not Subject("path", "/home").said_in(rb"x\/homes")


def test_the_raw_body_of_a_request_that_was_not_read_goes_in_any_spelling() -> None:
    table = pa.table(
        {
            "raw": [r'{"who": "acct\/77', r'{"who": "acct\u002F77', '{"who": "other'],
            "error": ["", "", r"not: x\nacct/77"],
        }
    )
    changed = passes._changed(table, pa.array([False] * 3), Subject("who", "acct/77"))
    assert changed is not None
    assert 3 == changed.silenced
    assert [None, None, '{"who": "other'] == changed.rows["raw"].to_pylist()
    assert ["", "", None] == changed.rows["error"].to_pylist()


def test_a_document_that_says_the_value_in_escapes_stays_json_without_it(tmp_path: Path) -> None:
    objects, subject = ObjectStore(str(tmp_path)), Subject("who", "acct/77")
    key = f"{layout.incident(7)}1.json"
    objects.create(key, rb'{"text": "seen\nacct\/77 and acct\u002F77"}')
    assert 1 == others.words(objects, subject, apply=True)
    assert {"text": "seen\n[erased] and [erased]"} == orjson.loads(objects.get(key))
    assert 0 == others.words(objects, subject, apply=True)


def test_the_log_of_a_process_is_blanked_where_it_lies(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(rb"refused {\"who\": \"acct\/77\"} at once")
    assert 1 == others.process_logs(tmp_path, Subject("who", "acct/77"), apply=True)
    assert rb"refused {\"who\": \"********\"} at once" == log.read_bytes()


def test_the_time_of_a_look_grows_with_the_text_alone() -> None:
    subject = Subject("who", "\\" * (MAX_VALUE - 1) + "x")

    def seconds(size: int) -> float:
        begun = time.process_time()
        assert not subject.said_in(b"\\" * size)
        assert not subject.said_in(rb"\u005" * (size // 5))
        return time.process_time() - begun

    seconds(1000)
    assert seconds(400_000) < 40 * max(seconds(40_000), 0.01)


def test_what_was_erased_is_counted_in_words_that_fit_the_number() -> None:
    none = dict.fromkeys(ErasureCounts.model_fields, 0)
    assert "nothing" == _counts(ErasureCounts(**none))
    assert "1 log row, 2 refused bodies, 1 process log" == _counts(
        ErasureCounts(**none | {"log_rows": 1, "refused_bodies": 2, "process_logs": 1})
    )
    each = _counts(ErasureCounts(**dict.fromkeys(none, 1)))
    assert len(none) == len(each.split(", ")), "each count has its words"
