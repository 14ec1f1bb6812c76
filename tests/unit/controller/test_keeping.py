"""The cluster is kept as the catalogue says: what may not run is left as it is and said, what is gone is removed."""

from dataclasses import replace
from pathlib import Path

import pytest

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.incluster.reconciler import Keeping
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.sequence import Sequence, Stage, Variant
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.releases import ReleaseKey
from support.versions import version

KEY = ReleaseKey("key")
GIVEN = {"definition": {}, "content": "c", "artifact": "a", "created": "2026-01-01T00:00:00Z"}


class Cluster:
    """Takes all services but those of ``refused``."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.applied: list[str] = []
        self.removed: list[str] = []
        self.refused: set[str] = set()

    def apply(self, spec: ServiceSpec) -> None:
        if spec.name in self.refused:
            raise InvalidInput(f"{spec.name} may not run", hint="apply it again")
        self.applied.append(spec.name)

    def remove(self, name: str) -> None:
        self.removed.append(name)

    def known(self) -> frozenset[str] | None:
        return frozenset(self.there)


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(ObjectStore(str(tmp_path / "store")))


def released(documents: Documents, model: str) -> VersionId:
    catalog = Catalog(documents, KEY)
    it = catalog.claim_version(model, GIVEN)
    catalog.write_version(replace(version(), id=it))
    catalog.add_status(it, "released")
    return it


def test_signed_releases_are_applied_and_what_nobody_wants_is_removed(documents: Documents) -> None:
    released(documents, "churn")
    cluster = Cluster("churn-v1", "gone-v1")
    Keeping(Catalog(documents, KEY), cluster).once()

    assert (["churn-v1"], ["gone-v1"]) == (cluster.applied, cluster.removed)


def test_a_release_that_is_not_signed_is_neither_started_nor_is_what_runs_of_it_removed(documents: Documents) -> None:
    """Whoever damages a document of a version that runs must not be able to stop it, or to change it."""
    it, sound = released(documents, "churn"), released(documents, "sound")
    documents.objects.delete(layout.release_signature(it))
    cluster = Cluster(it.service, sound.service)
    Keeping(Catalog(documents, KEY), cluster).once()

    assert ([sound.service], []) == (cluster.applied, cluster.removed)


CONFIGURATION = {"kind": "DeploymentConfiguration", "name": "gpu", "container": {"env": {"LEVEL": "debug"}}}


def configured(documents: Documents, it: VersionId) -> None:
    sequence = Sequence("offers", (Stage((Variant(it, 100),)),), version().signature)
    document = sequence.to_document() | {"deployment-configurations": {str(it): "gpu"}}
    documents.append(layout.revisions("offers"), document)
    documents.append(layout.deployment("gpu"), {"definition": CONFIGURATION})


@pytest.mark.parametrize("folder", [layout.revisions("offers"), layout.deployment("gpu")])
def test_what_runs_keeps_its_configuration_while_that_cannot_be_read(documents: Documents, folder: str) -> None:
    """And all that it does not concern is applied, before the damage and after it is mended too."""
    it, other = released(documents, "churn"), released(documents, "sound")
    configured(documents, it)
    sound = documents.last(folder)
    cluster = Cluster(it.service)
    keeping = Keeping(Catalog(documents, KEY), cluster)
    keeping.once()
    assert [it.service, other.service] == sorted(cluster.applied)
    before = keeping.configuration_of(replace(version(), id=it))
    assert before is not None

    documents.objects.put(f"{folder}2.json", b"damaged")
    cluster.applied.clear()
    keeping.once()
    assert [other.service] == cluster.applied
    assert "cannot be read" in keeping.left[it.service]
    assert before == keeping.configuration_of(replace(version(), id=it))

    afresh = Keeping(Catalog(documents, KEY), cluster)
    afresh.once()
    assert it.service in afresh.left

    assert sound is not None
    documents.append(folder, sound)
    cluster.applied.clear()
    keeping.once()
    assert ([it.service, other.service], {}) == (sorted(cluster.applied), keeping.left)


def test_what_the_platform_may_not_run_is_left_as_it_is_and_said_until_it_may(documents: Documents) -> None:
    it, sound = released(documents, "churn"), released(documents, "sound")
    cluster = Cluster(it.service)
    cluster.refused = {it.service}
    keeping = Keeping(Catalog(documents, KEY), cluster)
    keeping.once()

    assert ([sound.service], []) == (cluster.applied, cluster.removed)
    assert {it.service: "churn-v1 may not run (apply it again)"} == keeping.left
    cluster.refused = set()
    keeping.once()
    assert {} == keeping.left
