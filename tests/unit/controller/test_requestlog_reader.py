"""Log queries: one boolean expression, known columns, times, NaN, export."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from hypothesis import assume, given
from hypothesis import strategies as st

from headrace_controller.requestlog.plain_types import plain_batch, plain_schema
from headrace_controller.requestlog.reader import LogQuery, LogReader, backwards
from headrace_functions.errors import InvalidInput
from headrace_functions.log_conditions import all_of, boolean_expression, written_place
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

VERSION = VersionId("m", 1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
COLUMNS = ["request_id", "latency_ms", "in.age", "in.mean-Radius", "outcome"]


@pytest.fixture
def reader(tmp_path: Path) -> LogReader:
    """Three rows: an hour apart on two days, the last with a NaN beside ones."""
    objects = ObjectStore(str(tmp_path))
    times = [NOON - timedelta(hours=24), NOON - timedelta(hours=1), NOON]
    table = pa.table(
        {
            "request_id": ["a", "b", "c"],
            "row": pa.array([0, 0, 0], pa.int32()),
            "received": pa.array(times, pa.timestamp("us", "UTC")),
            "date": [f"{t:%Y-%m-%d}" for t in times],
            "latency_ms": [1.0, 20.0, 30.0],
            "outcome": ["ok", "refused", "ok"],
            "checks": pa.array([[], None, ["age:range", "age:missing"]], pa.list_(pa.string())),
            "in.age": [30, None, 50],
            "in.mean-Radius": [1.0, 1.0, float("nan")],
        }
    )
    write_deltalake(objects.table_url(layout.log_table(VERSION)), table, partition_by=["date"])
    return LogReader(objects)


def ids(reader: LogReader, **query: object) -> list[str]:
    return [row["request_id"] for row in reader.query(VERSION, LogQuery(**query))]  # type: ignore[arg-type]


def test_rows_come_newest_first_or_oldest_first_up_to_the_limit(reader: LogReader) -> None:
    assert ids(reader) == ["c", "b", "a"]
    assert ids(reader, ascending=True) == ["a", "b", "c"]
    assert ids(reader, limit=2) == ["c", "b"]


AGES = st.integers(0, 40 * 86_400)


@given(AGES, st.none() | AGES, st.none() | AGES, st.lists(st.floats(0.25, 8), max_size=60))
def test_every_moment_of_a_query_is_in_one_of_its_pieces(
    age: int, since: int | None, until: int | None, growths: list[float]
) -> None:
    """The pieces join without a gap, from the newest back, whatever their lengths are."""
    assume(since is None or until is None or since >= until)
    first, last = (None if s is None else NOON - timedelta(seconds=s) for s in (since, until))
    pieces = backwards(LogQuery(first, last), last or NOON)
    found = [next(pieces)]
    with contextlib.suppress(StopIteration):
        for growth in growths + [8.0] * 20:
            found += [pieces.send(growth)]
    moment = NOON - timedelta(seconds=age)
    holds = [(p.since is None or p.since <= moment) and (p.until is None or moment < p.until) for p in found]
    assert ((first is None or first <= moment) and (last is None or moment < last)) == any(holds)
    assert [last, *(p.since for p in found[:-1])] == [p.until for p in found]


def test_a_search_that_has_no_more_time_says_how_far_back_it_came(reader: LogReader) -> None:
    end = NOON + timedelta(seconds=1)
    found = reader.search(VERSION, LogQuery(until=end), seconds=0)
    assert (["c"], end - timedelta(minutes=5)) == ([r["request_id"] for r in found.rows], found.searched)


def test_a_search_that_has_time_is_whole(reader: LogReader) -> None:
    found = reader.search(VERSION, LogQuery(until=NOON + timedelta(seconds=1), where="in.age = 30"))
    assert (["a"], None) == ([r["request_id"] for r in found.rows], found.searched)


def test_the_earliest_time_that_there_is_may_be_asked_for(reader: LogReader) -> None:
    assert [] == ids(reader, until=datetime(1, 1, 1, tzinfo=UTC))


def test_a_query_of_the_newest_rows_reads_on_until_it_has_enough(reader: LogReader) -> None:
    assert ids(reader, limit=2, until=NOON + timedelta(seconds=1)) == ["c", "b"]
    assert ids(reader, limit=3, until=NOON + timedelta(seconds=1)) == ["c", "b", "a"]


def test_time_is_half_open(reader: LogReader) -> None:
    assert ids(reader, since=NOON - timedelta(hours=1), until=NOON) == ["b"]
    assert ids(reader, until=NOON - timedelta(hours=24)) == []


def test_bare_column_names_with_dots_and_capitals_are_known(reader: LogReader) -> None:
    assert ids(reader, where="in.age > 20 AND latency_ms < 25") == ["a"]
    assert ids(reader, where="\"in.age\" = 50 or outcome = 'refused'") == ["c", "b"]


def test_a_condition_on_a_column_with_nan_gives_the_rows_as_they_are(reader: LogReader) -> None:
    # Pushed down to Parquet's statistics, which leave NaN out, this returned the NaN as 1.0 or lost the row.
    rows = reader.query(VERSION, LogQuery(where="in.mean-Radius > 0 AND latency_ms > 10"))
    assert [r["request_id"] for r in rows] == ["c", "b"]
    assert rows[0]["in.mean-Radius"] != rows[0]["in.mean-Radius"]
    assert ids(reader, where="isnan(in.mean-Radius)") == ["c"]
    assert ids(reader, where="in.mean-Radius = 1.0") == ["b", "a"]


@pytest.mark.parametrize(
    "where",
    [
        "1=1; DROP TABLE log",
        "in.age IN (SELECT 1)",
        "EXISTS (FROM log)",
        "in.age = (VALUES (1))",
        "true) OR (true",
        "(true",
        "outcome = 'ok",
        'outcome = "ok',
        r"outcome = E'\' ; '",
        "outcome = $$x$$",
        "true -- rest",
        "true /* rest",
        "true LIMIT 1",
        "true UNION true",
        "no_such_column = 1",
        "in.age",
        "in.age >",
        "x" * 5000,
    ],
)
def test_what_is_not_one_boolean_expression_is_refused(reader: LogReader, where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ids(reader, where=where)
    assert caught.value.field == "where"


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("it divides by zero in some row; write a / nullif(b, 0) instead of a / b", "1 / (in.age - in.age) = 1"),
        ("Cannot cast string 'ok' to value of Int32 type", "cast('ok' as int) = 1"),
        ("a value or a column is missing before '>', at character 10", "in.age > > 3"),
        ("a value or a column is missing before '>', at character 29", "latency_ms > 1 AND in.age > > 3"),
        ("a value or a column is missing before ')', at character 13", "(in.age in ()) and in.age > 1"),
        ("it ends where a value or a column is missing", "in.age >"),
        ("it ends where AND is missing", "in.age between 1"),
        ("it gives text, not true or false", "outcome"),
        ("it gives a number, not true or false", "in.age"),
        ("a regular expression in it cannot be read", "outcome ~ '((('"),
        ("there is no function 'foo'", "foo(in.age) = 1"),
    ],
)
def test_a_condition_is_refused_in_words_with_the_place_where_it_stops_to_make_sense(
    reader: LogReader, said: str, where: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        ids(reader, where=where)
    assert f"where: {said}" == caught.value.message


@given(
    parts=st.lists(
        st.sampled_from(["in.age", "in.a", " > ", "'in.age'", "''", "latency_ms", "(", ")", " 1 ", "é"]), max_size=8
    )
)
def test_each_character_of_a_condition_is_found_again_in_its_quoted_form(parts: list[str]) -> None:
    """Of a name, which is longer quoted, the characters of the name."""
    text, columns = " ".join(parts), ("in.age", "in.a", "latency_ms")
    quoted = " ".join(f'"{part}"' if part in columns else part for part in parts)
    places = [written_place(text, columns, place) for place in range(len(quoted))]
    assert list(range(1, len(text) + 1)) == sorted(set(places))
    assert places == sorted(places)
    assert all(text[found - 1] == c for found, c in zip(places, quoted, strict=True) if c != '"')


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"since: 2026-11-22T12:00:00\.000Z is after until"):
        LogQuery(since=NOON, until=NOON - timedelta(hours=1))


def test_conditions_are_joined_only_if_each_stays_within_its_parentheses() -> None:
    assert "(a = 1) AND (b = 2)" == all_of("a = 1", "", "b = 2")
    with pytest.raises(InvalidInput, match="cannot be part of it"):
        all_of("1=1) or (1=1", "b = 2")


@given(st.text(alphabet="ab'\"();- /*.<>=1 ", max_size=30))
def test_an_accepted_expression_cannot_leave_its_parentheses(text: str) -> None:
    try:
        found = boolean_expression(text, COLUMNS)
    except InvalidInput:
        return
    depth, quote = 0, ""
    for character in found:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
            assert depth >= 0
            assert character != ";"
    assert (depth, quote) == (0, "")


def test_words_inside_text_are_text(reader: LogReader) -> None:
    assert ids(reader, where="outcome <> 'select; -- (in.age'") == ["c", "b", "a"]


def test_unknown_columns_and_limits_are_refused(reader: LogReader) -> None:
    with pytest.raises(InvalidInput, match=r"no column 'in\.height'"):
        ids(reader, columns=("in.height",))
    with pytest.raises(InvalidInput, match="limit"):
        LogQuery(limit=0)


def test_a_version_that_was_never_called_has_no_rows(reader: LogReader) -> None:
    assert reader.query(VersionId("m", 2), LogQuery(where="latency_ms > 1")) == []
    assert reader.columns(VersionId("m", 2)) == []


def test_an_export_holds_every_row_of_the_query(reader: LogReader, tmp_path: Path) -> None:
    assert reader.export(VERSION, LogQuery(where="latency_ms > 10", limit=1), tmp_path / "out.parquet") == 2
    assert sorted(pq.read_table(tmp_path / "out.parquet")["request_id"].to_pylist()) == ["b", "c"]


def test_an_export_has_types_that_every_reader_knows_and_opens_in_pandas(reader: LogReader, tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    reader.export(VERSION, LogQuery(), file)
    schema = pq.read_schema(file)
    assert [pa.string(), pa.list_(pa.string())] == [schema.field(n).type for n in ("outcome", "checks")]
    assert not [f for f in schema if "view" in str(f.type) or "dictionary" in str(f.type) or "large" in str(f.type)]
    frame = pandas.read_parquet(file).set_index("request_id")
    assert ["age:range", "age:missing"] == list(frame.checks["c"])
    assert (0, None) == (len(frame.checks["a"]), frame.checks["b"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.list_(pa.string_view()), [["a", None], None]),
        (pa.large_list(pa.large_string()), [["a"], []]),
        (pa.dictionary(pa.int32(), pa.string()), ["a", None]),
        (pa.binary_view(), [b"a", None]),
    ],
)
def test_views_and_dictionaries_become_plain_types_of_the_same_values(kind: pa.DataType, value: list[object]) -> None:
    batch = pa.record_batch({"c": pa.array(value, kind)})
    schema = plain_schema(batch.schema)
    assert value == plain_batch(batch, schema)["c"].to_pylist()
    assert schema.field("c").type in (pa.list_(pa.string()), pa.string(), pa.binary())
