"""From records to rows of the log table."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from headrace_controller.collector.rows import MAX_RAW, schema, to_table
from headrace_controller.requestlog.plain_types import as_logged
from headrace_functions.profile import Profile
from headrace_functions.protocol.codec import encode_request, encode_response
from headrace_functions.protocol.messages import RequestInfo
from headrace_functions.record import Record, RecordHeader
from headrace_functions.signature import Field, Tensors, dtype
from headrace_functions.version import Version
from support.versions import number, version

AT = int(datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC).timestamp() * 1e6) * 1000


def record(it: Version, inputs: Tensors, outputs: Tensors, *, binary: bool = False, **more: Any) -> Record:
    """An answered exchange as the function server spools it."""
    asked = encode_request(inputs, it.signature, binary=binary, batch=it.batch)
    answered = encode_response(
        outputs, it.signature, RequestInfo(binary=binary), model=it.id.model, version=it.id.number, batch=it.batch
    )
    header = RecordHeader(
        "r1",
        it.id.model,
        it.id.number,
        AT,
        1.5,
        "ok",
        200,
        "v2",
        asked.content_type,
        asked.json_length,
        answered.json_length,
        **more,
    )
    return Record(header, asked.body, answered.body)


def refused(it: Version, body: bytes) -> Record:
    header = RecordHeader("r2", it.id.model, it.id.number, AT, 0.1, "refused", 400, error="malformed: not JSON")
    return Record(header, body, b"{}")


@pytest.mark.parametrize("binary", [False, True])
def test_every_row_of_a_request_is_a_line_with_its_own_values(binary: bool) -> None:
    it = version(inputs=(number("x"), number("age", "int64")))
    inputs = {"x": np.array([1.0, np.nan, 3.5]), "age": np.array([1, 2, 3])}

    table = to_table(it, [record(it, inputs, {"y": np.array([2.0, 3.0, 4.0])}, binary=binary)], None)

    assert ["r1"] * 3 == table["request_id"].to_pylist()
    assert [0, 1, 2] == table["row"].to_pylist()
    assert [1, 2, 3] == table["in.age"].to_pylist()
    np.testing.assert_array_equal(inputs["x"], table["in.x"].to_numpy())
    assert [2.0, 3.0, 4.0] == table["out.y"].to_pylist()
    assert ["2026-03-04"] * 3 == table["date"].to_pylist()
    assert datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC) == table["received"][0].as_py()


def test_a_request_that_cannot_be_read_is_one_line_with_its_raw_text() -> None:
    it = version()

    table = to_table(it, [refused(it, b"not json")], None)

    assert [(0, "refused", "not json", None, None)] == list(
        zip(*(table[c].to_pylist() for c in ("row", "outcome", "raw", "in.x", "out.y")), strict=True)
    )


def test_the_raw_text_is_cut_at_its_limit() -> None:
    it = version()

    table = to_table(it, [refused(it, b"x" * (MAX_RAW + 5))], None)

    assert MAX_RAW == len(table["raw"][0].as_py())


def test_a_refused_request_that_can_be_read_shows_its_inputs() -> None:
    it = version()
    asked = encode_request({"x": np.array([7.0])}, it.signature, binary=False)
    header = RecordHeader("r3", "adder", 1, AT, 0.1, "not-ready", 503, error="not-ready: asleep")

    table = to_table(it, [Record(header, asked.body, b"{}")], None)

    assert ([7.0], [None], [None]) == (table["in.x"].to_pylist(), table["out.y"].to_pylist(), table["raw"].to_pylist())


def test_answered_and_refused_exchanges_keep_their_order_and_their_own_rows() -> None:
    it = version()
    good = record(it, {"x": np.array([1.0, 2.0])}, {"y": np.array([5.0, 6.0])})

    table = to_table(it, [good, refused(it, b"?"), good], None)

    assert ["r1", "r1", "r2", "r1", "r1"] == table["request_id"].to_pylist()
    assert [1.0, 2.0, None, 1.0, 2.0] == table["in.x"].to_pylist()
    assert [5.0, 6.0, None, 5.0, 6.0] == table["out.y"].to_pylist()


def test_tensors_text_and_narrow_types_have_the_columns_that_the_schema_says() -> None:
    it = version(
        inputs=(
            number("image", "uint8", (2, 2)),
            Field("word", dtype("string"), (), "text"),
            number("small", "float16"),
            number("big", "uint64"),
        ),
        outputs=(Field("names", dtype("string"), (2,)),),
    )
    inputs = {
        "image": np.arange(8, dtype=np.uint8).reshape(2, 2, 2),
        "word": np.array(["ä", "b"], object),
        "small": np.array([0.5, 1.0], np.float16),
        "big": np.array([2**63, 1], np.uint64),
    }

    table = to_table(it, [record(it, inputs, {"names": np.array([["a", "b"], ["c", "d"]], object)}, binary=True)], None)

    assert schema(it) == table.schema
    assert [[0, 1, 2, 3], [4, 5, 6, 7]] == table["in.image"].to_pylist()
    assert ["ä", "b"] == table["in.word"].to_pylist()
    assert [2**63, 1] == as_logged(table)["in.big"].to_pylist()
    assert [["a", "b"], ["c", "d"]] == table["out.names"].to_pylist()


def test_rows_outside_the_training_data_are_marked_with_the_check_that_failed() -> None:
    it = version()
    profile = Profile.of_columns({"x": np.linspace(0, 1, 50)}, it.signature.inputs)
    inputs = {"x": np.array([0.5, 99.0])}

    table = to_table(it, [record(it, inputs, {"y": np.array([1.0, 2.0])}), refused(it, b"?")], profile)

    inside, outside, unread = table["checks"].to_pylist()
    assert [] == inside
    assert ["x:above-max"] == outside
    assert unread is None


def test_a_version_without_batch_logs_one_line_a_request() -> None:
    it = version(inputs=(number("x", shape=(3,)),), batch=False)

    table = to_table(it, [record(it, {"x": np.array([1.0, 2.0, 3.0])}, {"y": np.array(6.0)})], None)

    assert ([[1.0, 2.0, 3.0]], [6.0]) == (table["in.x"].to_pylist(), table["out.y"].to_pylist())


def test_an_answer_that_leaves_outputs_out_leaves_their_columns_empty() -> None:
    it = version(outputs=(number("y"), number("z")))
    whole = record(it, {"x": np.array([1.0])}, {"y": np.array([2.0]), "z": np.array([3.0])})
    body = orjson.loads(whole.response)
    body["outputs"] = [o for o in body["outputs"] if o["name"] == "y"]

    table = to_table(it, [Record(whole.header, whole.request, orjson.dumps(body))], None)

    assert ([2.0], [None]) == (table["out.y"].to_pylist(), table["out.z"].to_pylist())


def test_no_records_are_an_empty_table_of_the_schema() -> None:
    it = version()

    table = to_table(it, [], None)

    assert (0, schema(it)) == (table.num_rows, table.schema)
    assert isinstance(table, pa.Table)
