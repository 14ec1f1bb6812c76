"""Documents of a platform that signs: what others write or change in the store is damaged, and stays where it was put."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.errors import DamagedDocument
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.signed_documents import SIGNATURE, DocumentKey, is_signed

KEY = DocumentKey("the key")
ALIAS = layout.alias("churn", "prod")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text().filter(lambda k: k != SIGNATURE), JSON, max_size=4)


def documents(folder: Path, key: DocumentKey | None = KEY) -> Documents:
    return Documents(ObjectStore(str(folder)), key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("models/churn/aliases/prod/3.json", True),
        ("models/aliases/versions/1/definition.json", False),
        ("models/churn/versions/1/status/1.json", False),
        ("sequences/offers/revisions/1.json", True),
        ("deployment-configurations/gpu/revisions/1.json", True),
        ("access/keys/web/1.json", True),
        ("access/grants/growth/2.json", True),
        ("sessions/abc.json", True),
        ("streams/clicks/1.json", True),
        ("schedules/nightly/revisions/1.json", True),
        ("schedule-runs/nightly/2026/1.json", False),
        ("notification-targets/ops/1.json", True),
        ("audit/000000000/000000000001.json", False),
        ("incidents/1/1.json", False),
    ],
)
def test_what_decides_is_signed_and_nothing_else(key: str, expected: bool) -> None:
    assert expected is is_signed(key)


@given(OBJECT)
def test_a_document_comes_back_as_it_was_written(document: dict[str, Any]) -> None:
    stored = orjson.loads(orjson.dumps(KEY.seal(f"{ALIAS}1.json", document)))
    assert orjson.loads(orjson.dumps(document)) == KEY.open(f"{ALIAS}1.json", stored)


@given(OBJECT, OBJECT)
def test_a_document_that_was_changed_is_damaged(document: dict[str, Any], other: dict[str, Any]) -> None:
    sealed = KEY.seal(f"{ALIAS}1.json", document)
    if orjson.dumps(other, option=orjson.OPT_SORT_KEYS) == orjson.dumps(document, option=orjson.OPT_SORT_KEYS):
        return
    with pytest.raises(DamagedDocument, match="is not what was signed"):
        KEY.open(f"{ALIAS}1.json", {**other, SIGNATURE: sealed[SIGNATURE]})


def test_who_writes_to_the_store_moves_no_alias(tmp_path: Path) -> None:
    ours = documents(tmp_path)
    ours.append(ALIAS, {"version": 1})
    assert {"version": 1} == ours.last(ALIAS)
    documents(tmp_path, None).append(ALIAS, {"version": 2})
    with pytest.raises(DamagedDocument, match="is not signed by this platform") as error:
        ours.last(ALIAS)
    assert f"{ALIAS}2.json" == error.value.field
    ours.append(ALIAS, {"version": 1})
    assert {"version": 1} == ours.last(ALIAS), "setting it again mends it"


def test_a_signed_document_is_of_no_use_in_another_place(tmp_path: Path) -> None:
    ours = documents(tmp_path)
    ours.append(ALIAS, {"version": 1})
    ours.append(ALIAS, {"version": 2})
    stolen = ours.objects.get(f"{ALIAS}1.json")
    for place in (f"{ALIAS}3.json", f"{layout.alias('churn', 'test')}1.json", f"{layout.alias('other', 'prod')}1.json"):
        ours.objects.put(place, stolen)
        with pytest.raises(DamagedDocument):
            ours.get(place)


def test_another_platforms_signature_is_none_here(tmp_path: Path) -> None:
    documents(tmp_path, DocumentKey("another")).append(ALIAS, {"version": 1})
    with pytest.raises(DamagedDocument):
        documents(tmp_path).last(ALIAS)


def test_a_platform_that_does_not_sign_reads_what_one_that_signs_wrote(tmp_path: Path) -> None:
    documents(tmp_path).append(ALIAS, {"version": 1})
    assert {"version": 1} == documents(tmp_path, None).last(ALIAS)


@pytest.mark.parametrize("value", [None, 7, "", "ä", ["x"]])
def test_a_signature_that_is_none_is_damaged_too(tmp_path: Path, value: Any) -> None:
    ours = documents(tmp_path)
    ours.objects.put(f"{ALIAS}1.json", orjson.dumps({"version": 1, SIGNATURE: value}))
    with pytest.raises(DamagedDocument):
        ours.last(ALIAS)
