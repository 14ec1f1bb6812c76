"""Names, signatures, sequences and records: the pure words of the platform."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.errors import InvalidInput, SignatureMismatch
from headrace_functions.names import (
    MAX_NAME,
    Reference,
    VersionId,
    check_field_name,
    check_name,
    usable_request_id,
)
from headrace_functions.record import Record, RecordHeader, decode, encode, whole_length
from headrace_functions.sequence import Sequence, Stage, Variant, check_satisfied, infer_signature
from headrace_functions.signature import DTYPES, Field, Signature, check_shape, dtype, dtype_of
from headrace_functions.version import Runtime, Version
from support.versions import number, version

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
A, B = VersionId("model", 1), VersionId("model", 2)


@given(NAMES, st.integers(1, 10_000))
def test_a_version_is_read_back_from_how_it_is_written(name: str, number: int) -> None:
    it = VersionId(name, number)

    assert it == VersionId.parse(str(it))
    assert it == VersionId.of_service(it.service)
    assert Reference(name, number=number) == Reference.parse(str(it))


@given(NAMES, NAMES)
def test_an_alias_is_read_back_from_how_it_is_written(name: str, alias: str) -> None:
    it = Reference(name, alias=alias)

    assert it == Reference.parse(str(it))


@pytest.mark.parametrize("name", ["", "Churn", "churn_1", "-a", "a-", "a.b", "ä", "a" * (MAX_NAME + 1), "a/b", "a b"])
def test_a_name_that_kubernetes_or_a_path_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a valid name"):
        check_name(name)


@pytest.mark.parametrize(
    "text", ["churn:", "churn:0", "churn:-1", "churn:x", ":1", "churn:1:2", "churn:¹", "churn:" + "9" * 5000]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        VersionId.parse(text)


@pytest.mark.parametrize("name", ["", " a", "a ", 'a"b', "a`b", "a\nb", "x" * 121])
def test_a_field_name_that_could_not_be_quoted_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a valid field name"):
        check_field_name(name)


@pytest.mark.parametrize("name", ["age", "mean radius", "größe", "5 o'clock", "a.b", "%"])
def test_field_names_are_free_otherwise(name: str) -> None:
    assert name == check_field_name(name)


@given(st.text())
def test_a_request_id_is_the_callers_only_where_it_can_stand_in_a_header(text: str) -> None:
    kept = usable_request_id(text)

    assert 0 < len(kept) <= 128
    assert all("!" <= c <= "~" for c in kept)
    if text and len(text) <= 128 and all("!" <= c <= "~" for c in text):
        assert kept == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("double", "float64"),
        ("FP64", "float64"),
        ("DT_DOUBLE", "float64"),
        ("str", "string"),
        ("BYTES", "string"),
        ("long", "int64"),
    ],
)
def test_a_type_is_found_by_each_of_its_names(name: str, expected: str) -> None:
    assert expected == dtype(name).name


def test_every_type_is_found_by_its_own_arrays() -> None:
    for d in DTYPES:
        assert d is dtype_of(np.zeros(2, dtype=d.numpy))


def test_two_fields_that_would_share_a_log_column_are_refused() -> None:
    with pytest.raises(InvalidInput, match="share the log column"):
        Signature((number("mean radius"), number("mean,radius")), (number("y"),))


@pytest.mark.parametrize(
    ("shape", "wire", "fits"),
    [
        ((), (3,), True),
        ((), (3, 1), False),
        ((), (), False),
        ((2, 3), (5, 2, 3), True),
        ((2, 3), (5, 3, 2), False),
        ((-1, 3), (5, 7, 3), True),
        ((-1, 3), (5, 7, 4), False),
    ],
)
def test_a_tensor_carries_the_batch_in_front_of_its_shape(
    shape: tuple[int, ...], wire: tuple[int, ...], fits: bool
) -> None:
    field = number("x", shape=shape)
    if fits:
        check_shape(field, wire, batched=True)
    else:
        with pytest.raises(SignatureMismatch) as caught:
            check_shape(field, wire, batched=True)
        assert "x" == caught.value.field


def test_what_a_version_runs_in_is_read_back_and_versions_older_than_that_have_none() -> None:
    made = replace(version(), runtime=Runtime("registry.example/plain:1", "a" * 64, "b" * 64))
    document = made.to_document()
    assert Version.from_document(document) == made
    del document["runtime"]
    assert Version.from_document(document) == replace(made, runtime=None)


def test_a_version_is_read_back_from_its_document() -> None:
    field = Field("c", dtype("string"), (), "categorical", categories=("a", "b"), strict=True)
    it = version(
        inputs=(number("x"), field), target=("label",), metadata={"team": "growth"}, monitoring=({"name": "m"},)
    )

    assert it == Version.from_document(it.to_document())


# Sequences


@pytest.mark.parametrize("weights", [(), (50,), (50, 51), (101, -1)])
def test_weights_that_do_not_sum_to_100_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="sum to"):
        Stage(tuple(Variant(VersionId("model", i + 1), w) for i, w in enumerate(weights)))


@given(st.text(min_size=1), st.text())
def test_a_request_id_is_always_answered_by_the_same_variant(request_id: str, salt: str) -> None:
    stage = Stage((Variant(A, 30), Variant(B, 70)))

    assert stage.choose(request_id, salt) == stage.choose(request_id, salt)


@pytest.mark.parametrize("weights", [(80, 20), (50, 50), (99, 1), (100, 0), (33, 33, 34)])
def test_ten_thousand_requests_split_as_the_weights_say(weights: tuple[int, ...]) -> None:
    stage = Stage(tuple(Variant(VersionId("model", i + 1), w) for i, w in enumerate(weights)))
    counts = Counter(stage.choose(f"request-{i}", "s").version.number for i in range(10_000))

    for position, weight in enumerate(weights, 1):
        share = weight / 100
        sigma = (10_000 * share * (1 - share)) ** 0.5
        assert abs(counts[position] - 10_000 * share) <= 4 * sigma, counts


def test_the_choices_of_two_stages_are_independent() -> None:
    stage = Stage((Variant(A, 50), Variant(B, 50)))
    pairs = Counter((stage.choose(f"r{i}", "one").version, stage.choose(f"r{i}", "two").version) for i in range(4000))

    assert all(abs(n - 1000) < 150 for n in pairs.values())
    assert 4 == len(pairs)


def stages(*versions: Version) -> tuple[tuple[Stage, ...], dict[VersionId, Signature]]:
    return tuple(Stage((Variant(v.id),)) for v in versions), {v.id: v.signature for v in versions}


def test_a_sequence_needs_what_no_earlier_stage_gives() -> None:
    first = version("first", inputs=(number("raw"),), outputs=(number("scaled"),))
    second = version("second", inputs=(number("scaled"), number("age")), outputs=(number("score"),))

    inferred = infer_signature("s", *stages(first, second))

    assert (["raw", "age"], ["score"]) == ([f.name for f in inferred.inputs], [f.name for f in inferred.outputs])


def test_a_stage_that_cannot_take_what_an_earlier_one_gives_is_refused_with_the_field_named() -> None:
    first = version("first", inputs=(number("raw"),), outputs=(number("scaled", "int64"),))
    second = version("second", inputs=(number("scaled"),), outputs=(number("score"),))

    with pytest.raises(InvalidInput, match="stage 2") as caught:
        infer_signature("s", *stages(first, second))

    assert ("scaled", "float64 []", "int64 []") == (caught.value.field, caught.value.expected, caught.value.got)


def test_variants_that_give_different_outputs_are_refused() -> None:
    one = version("one", outputs=(number("score"),))
    two = version("two", outputs=(number("probability"),))
    stage = Stage((Variant(one.id, 50), Variant(two.id, 50)))

    with pytest.raises(InvalidInput, match="same outputs"):
        infer_signature("s", (stage,), {one.id: one.signature, two.id: two.signature})


def test_declared_inputs_that_leave_a_need_open_are_refused() -> None:
    only = version("only", inputs=(number("x"), number("z")))

    with pytest.raises(InvalidInput, match="nothing provides the input 'z'"):
        check_satisfied("s", *stages(only), (number("x"),))


def test_a_sequence_is_read_back_from_its_document() -> None:
    only = version("only")
    made = stages(only)
    it = Sequence("s", made[0], infer_signature("s", *made), 2.5, {"team": "growth"})

    assert it == Sequence.from_document(it.to_document())


# Records

HEADERS = st.builds(
    RecordHeader,
    request_id=st.text(min_size=1, max_size=20),
    model=NAMES,
    version=st.integers(1, 99),
    received=st.integers(0, 2**62),
    latency_ms=st.floats(0, 1e6),
    outcome=st.sampled_from(["ok", "refused", "failed"]),
    status=st.integers(100, 599),
    shadow=st.booleans(),
    caller_time=st.none() | st.integers(0, 2**62),
)
RECORDS = st.builds(Record, HEADERS, st.binary(max_size=200), st.binary(max_size=200))


@given(st.lists(RECORDS, max_size=5), st.binary(max_size=300))
def test_a_segment_gives_back_its_records_whatever_stands_torn_behind_them(records: list[Record], tail: bytes) -> None:
    whole = b"".join(encode(r) for r in records)
    torn = encode(replace(records[0])) if records else b""

    assert records == list(decode(whole + torn[: len(torn) // 2]))
    assert len(whole) == whole_length(whole + torn[: len(torn) // 2])
    assert records == list(decode(whole + b"\0" + tail))


@given(RECORDS, st.data())
def test_a_changed_byte_is_seen(record: Record, data: st.DataObject) -> None:
    frame = bytearray(encode(record))
    position = data.draw(st.integers(0, len(frame) - 1))
    frame[position] ^= 1 << data.draw(st.integers(0, 7))

    assert list(decode(bytes(frame))) != [record]
