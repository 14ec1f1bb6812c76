"""What a caller is told of an exception of user code, and what the record keeps of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from headrace_functions.errors import FunctionFailed, InvalidInput, SignatureMismatch
from headrace_functions.names import VersionId
from headrace_functions.protocol.values import from_json
from headrace_functions.record import Record, RecordHeader, decode, encode
from headrace_functions.runtime.exchange import failure
from headrace_functions.runtime.frameworks.port import Framework
from headrace_functions.runtime.loading import load_model
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Version

FIELDS = (Field("x", dtype("float64")),)


def version(errors: str) -> Version:
    return Version(VersionId("raiser", 1), "python", Signature(FIELDS, FIELDS), "a", "e", "c", errors=errors)


def raised(cause: BaseException) -> FunctionFailed:
    error = FunctionFailed(f"the function raised {type(cause).__name__}")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("errors", "detail"),
    [("detailed", "the function raised ValueError: age is negative"), ("terse", "the function raised ValueError")],
)
def test_a_caller_is_told_what_the_version_allows_and_where_the_traceback_is(errors: str, detail: str) -> None:
    told = orjson.loads(failure(raised(ValueError("in row 3\nage is negative")), "r1", version(errors)).body)
    assert detail == told["detail"] == told["error"]
    assert ("r1", "its traceback: headrace service log raiser:1 --request r1") == (told["request_id"], told["hint"])


def test_a_version_that_says_nothing_of_errors_tells_callers_the_type_alone() -> None:
    """Also one that an older release stored, whose document has no such field."""
    older = version("detailed").to_document()
    del older["errors"]
    told = orjson.loads(failure(raised(ValueError("age is negative")), "r1", Version.from_document(older)).body)
    assert "the function raised ValueError" == told["detail"]
    assert "terse" == Version(VersionId("m", 1), "python", Signature(FIELDS, FIELDS), "a", "e", "c").errors


def test_the_record_has_the_text_whatever_callers_are_told() -> None:
    answer = failure(raised(ValueError("age is negative")), "r1", version("terse"))
    assert "function-failed: the function raised ValueError: age is negative" == answer.error


@pytest.mark.parametrize("cause", [ValueError("no file \udce4.txt"), KeyboardInterrupt(), SystemExit("\ud800")])
def test_text_without_a_utf8_form_is_answered_and_recorded(cause: BaseException) -> None:
    answer = failure(raised(cause), "r1", version("detailed"))
    assert 500 == orjson.loads(answer.body)["status"]
    header = RecordHeader("r1", "raiser", 1, 1, 1.0, "failed", 500, variant="\udce4", error=answer.error)
    (kept,) = decode(encode(Record(header, b"", answer.body)))
    assert "?" == kept.header.variant


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


class Unreadable:
    def __repr__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("errors", ["detailed", "terse"])
def test_an_error_whose_text_cannot_be_read_is_answered_and_recorded_by_its_type(errors: str) -> None:
    answer = failure(raised(UnreadableError()), "r1", version(errors))
    assert 500 == orjson.loads(answer.body)["status"]
    assert "function-failed: the function raised UnreadableError: (its text cannot be shown)" == answer.error


def test_an_error_without_a_text_fails_a_load_by_its_type() -> None:
    class Loading:
        def load(self, _artifact: Path, _options: Mapping[str, Any]) -> Any:
            raise UnreadableError

    with pytest.raises(InvalidInput, match="loading the artifact failed: UnreadableError"):
        load_model(cast(Framework, Loading()), Path(), {})


def test_an_output_without_a_text_is_refused_by_its_type() -> None:
    with pytest.raises(
        SignatureMismatch, match=r"'word': Unreadable \(its text cannot be shown\) is not of type string"
    ):
        from_json([Unreadable()], dtype("string"), "word")
