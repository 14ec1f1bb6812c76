"""What every kind of report is held to: its model when it is written, its schema when the platform reads it. Both say the same."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_controller.service import reportschema
from headrace_functions.errors import Malformed
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.report import schema
from headrace_jobs.report.reading import read
from headrace_jobs.report.report_store import encode, keep
from support.reports import kinds, least, whole

ROOT = Path(__file__).parents[2]
WRONG: tuple[Any, ...] = (None, True, 7, 0.5, "x", [], [None], {}, {"x": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every member and item, however deep."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, one in inside for p in [(*path, key), *places(one, (*path, key))]]


def changed(document: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    """The document with another value at a path; without it where ``new`` is the path itself."""
    found = deepcopy(document)
    at: Any = found
    for key in path[:-1]:
        at = at[key]
    if new is path:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return found


def accepted(document: dict[str, Any]) -> bool:
    try:
        read(orjson.dumps(document))
    except Malformed:
        return False
    return True


def test_the_shipped_schema_is_that_of_the_models() -> None:
    said = "run: python -m headrace_jobs.report.schema > controller/headrace_controller/service/report.schema.json"
    assert (ROOT / "controller/headrace_controller/service/report.schema.json").read_text() == schema.text(), said


@pytest.mark.parametrize("kind", kinds())
def test_a_report_that_is_read_and_written_is_the_same_bytes(kind: str) -> None:
    for document in (least(kind), whole(kind)):
        assert reportschema.problem(document) is None
        body = encode(read(orjson.dumps(document)))
        assert encode(read(body)) == body
        assert reportschema.problem(orjson.loads(body)) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_report_with_one_wrong_member_is_refused_by_both_and_named(data: st.DataObject) -> None:
    """What the models take the platform reads, and nothing else; members that are not known are the one difference."""
    document = whole(data.draw(st.sampled_from(kinds())))
    path = data.draw(st.sampled_from([p for p in places(document) if p != ("kind",)]))
    new = data.draw(st.sampled_from([*WRONG, path]))
    broken = changed(document, path, new)

    said = reportschema.problem(broken)

    if (said is None and new in ({}, {"x": 1}, [])) or (path == ("schema",) and new is True):
        return  # members that are not known; and to pydantic's constants True is 1
    assert accepted(broken) == (said is None)
    if said is not None:
        assert str(path[0]) in said
        with pytest.raises(Malformed) as caught:
            read(orjson.dumps(broken))
        assert caught.value.field is not None
        assert caught.value.field.startswith(str(path[0]))


def test_a_report_that_is_no_longer_what_its_model_takes_is_not_written(tmp_path: Path) -> None:
    """Copies of a model are not validated by pydantic; what would be written is."""
    report = read(orjson.dumps(least("performance")))
    broken = report.model_copy(update={"severity": "awful"})
    objects = ObjectStore(str(tmp_path))

    with pytest.raises(Malformed, match="severity"):
        keep(objects, VersionId("a", 1), "w", broken, "")

    assert list(objects.walk("reports/")) == []
