"""A platform that begins to sign: what its store holds is signed once, and others' writing decides nothing from then on."""

from pathlib import Path

import pytest

from headrace_controller.access.sessions import Sessions
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.incluster.signing import sign_documents
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import DamagedDocument, Unauthenticated
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.signed_documents import DocumentKey

KEY, OTHER = DocumentKey("ours"), DocumentKey("lost")
ALIAS = layout.alias("churn", "prod")


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


def fill(documents: Documents) -> None:
    documents.append(ALIAS, {"version": 1})
    documents.append(ALIAS, {"version": 2})
    documents.append(layout.deployment("gpu"), {"definition": {"kind": "DeploymentConfiguration", "name": "gpu"}})
    documents.create(layout.model("churn") + "versions/1/definition.json", {"definition": {}})


def test_what_the_store_holds_is_signed_once(objects: ObjectStore) -> None:
    fill(Documents(objects))
    assert 3 == sign_documents(objects, KEY)
    assert 0 == sign_documents(objects, KEY)
    assert {"version": 2} == Documents(objects, KEY).last(ALIAS)


def test_what_another_key_signed_is_signed_anew_only_where_somebody_says_so(objects: ObjectStore) -> None:
    fill(Documents(objects, OTHER))
    assert 0 == sign_documents(objects, KEY)
    with pytest.raises(DamagedDocument):
        Documents(objects, KEY).last(ALIAS)
    assert 3 == sign_documents(objects, KEY, others=True)
    assert {"version": 2} == Documents(objects, KEY).last(ALIAS)


def test_what_is_no_document_keeps_nothing_else_from_being_signed(objects: ObjectStore) -> None:
    objects.put(f"{ALIAS}1.json", b"no json")
    objects.put(f"{ALIAS}notes.txt", b"kept by somebody")
    Documents(objects).append(layout.grant("a"), {"name": "a"})
    assert 1 == sign_documents(objects, KEY)
    assert b"no json" == objects.get(f"{ALIAS}1.json")


def test_a_key_that_somebody_wrote_into_the_store_lets_nobody_in(objects: ObjectStore) -> None:
    forged = {"name": "forged", "id": "0" * 8, "digest": "0" * 64, "owner": "user:mallory", "roles": []}
    Documents(objects).append(layout.access_key("forged"), forged)
    source = PolicySource(Documents(objects, KEY))
    assert {} == source.refresh().keys
    assert ["not signed by this platform" in problem for problem in source.problems] == [True]


def test_a_session_that_somebody_wrote_into_the_store_is_none(objects: ObjectStore) -> None:
    theirs, ours = Sessions(Documents(objects)), Sessions(Documents(objects, KEY))
    token, _ = theirs.begin("user:admin@example.org")
    with pytest.raises(Unauthenticated):
        ours.find(token)
    token, session = ours.begin("user:ann@example.org")
    fresh = ours.rotate(token, session)
    assert "user:ann@example.org" == ours.find(fresh).subject
    assert "user:ann@example.org" == ours.find(token).subject, "the one before holds a while longer"
    assert 2 == ours.end_all("user:ann@example.org")


def test_a_deployment_configuration_of_others_is_one_damaged_document(objects: ObjectStore) -> None:
    fill(Documents(objects, KEY))
    Documents(objects).append(layout.deployment("gpu"), {"definition": {"env": {"PYTHONPATH": "/tmp"}}})
    catalog = Catalog(Documents(objects, KEY))
    with pytest.raises(DamagedDocument):
        catalog.deployments.get("gpu")
    catalog.deployments.append("gpu", {"definition": {"kind": "DeploymentConfiguration", "name": "gpu"}})
    assert 3 == catalog.deployments.get("gpu").number, "setting it again mends it"
    assert {"version": 2} == Documents(objects, KEY).last(ALIAS)
