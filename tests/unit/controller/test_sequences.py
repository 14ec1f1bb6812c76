"""Sequences, aliases and deletion: what is checked, what is kept, what is refused."""

from pathlib import Path

import pytest

from controller_support import FakeServices, fail, make_platform, release
from headrace_controller.definitions import DeploymentConfiguration, SequenceDefinition, check_document
from headrace_controller.service.platform import Platform
from headrace_controller.service.schedules import Schedule
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.names import Reference, VersionId


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def platform(tmp_path: Path, services: FakeServices) -> Platform:
    return make_platform(tmp_path / "home", services)


def sequence(*stages: list[dict[str, object]], name: str = "s", **more: object) -> SequenceDefinition:
    found = check_document({"kind": "Sequence", "name": name, "pipeline": list(stages), **more})
    assert isinstance(found, SequenceDefinition)
    return found


def test_aliases_and_bare_names_become_versions_when_the_sequence_is_made(platform: Platform) -> None:
    release(platform.catalog, "a")
    release(platform.catalog, "a")
    platform.aliases.move("a", "prod", 1)
    applied = platform.sequences.apply(sequence([{"model": "a@prod", "weight": 30}, {"model": "a", "weight": 70}]))
    assert applied.revision.sequence is not None
    assert [(str(v.version), v.weight) for v in applied.revision.sequence.stages[0].variants] == [
        ("a:1", 30),
        ("a:2", 70),
    ]
    platform.aliases.move("a", "prod", 2)
    assert platform.sequences.get("s").sequence == applied.revision.sequence


def test_the_same_sequence_again_is_no_new_revision(platform: Platform, services: FakeServices) -> None:
    release(platform.catalog, "a")
    assert platform.sequences.apply(sequence([{"model": "a"}])).changed
    heard = len(services.heard)
    again = platform.sequences.apply(sequence([{"model": "a:1"}]))
    assert (again.changed, again.revision.number, len(services.heard)) == (False, 1, heard)


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ({"model": "ghost:1"}, "no version ghost:1"),
        ({"model": "ghost"}, "no released version"),
        ({"model": "bad:1"}, "bad:1 is failed"),
    ],
)
def test_a_sequence_of_an_unknown_or_failed_version_is_refused_naming_the_stage(
    platform: Platform, stage: dict[str, object], says: str
) -> None:
    release(platform.catalog, "a")
    fail(platform.catalog, "bad")
    with pytest.raises(InvalidInput, match=says) as caught:
        platform.sequences.apply(sequence([{"model": "a"}], [stage]))
    assert caught.value.field == "pipeline.1.0.model"


def test_an_input_that_nothing_gives_is_refused_naming_it(platform: Platform) -> None:
    release(platform.catalog, "first", inputs="x", outputs="y")
    release(platform.catalog, "second", inputs="y z", outputs="w")
    inputs = {"x": {"type": "double"}}
    with pytest.raises(InvalidInput) as caught:
        platform.sequences.apply(sequence([{"model": "first"}], [{"model": "second"}], inputs=inputs))
    assert caught.value.field == "z"
    with pytest.raises(NotFound):
        platform.sequences.get("s")


def test_a_stage_may_use_what_earlier_stages_gave(platform: Platform) -> None:
    release(platform.catalog, "first", inputs="x", outputs="y")
    release(platform.catalog, "second", inputs="x y", outputs="w")
    made = platform.sequences.apply(sequence([{"model": "first"}], [{"model": "second"}])).revision.sequence
    assert made is not None
    assert [f.name for f in made.signature.inputs] == ["x"]
    assert [f.name for f in made.signature.outputs] == ["w"]


def test_a_model_and_a_sequence_cannot_have_one_name(platform: Platform) -> None:
    release(platform.catalog, "a")
    with pytest.raises(Conflict, match="is the name of a model"):
        platform.sequences.apply(sequence([{"model": "a"}], name="a"))


def test_rolling_back_goes_one_change_back_each_time(platform: Platform, services: FakeServices) -> None:
    release(platform.catalog, "a")
    for timeout in (1, 2, 3):
        platform.sequences.apply(sequence([{"model": "a"}], timeout=timeout))
    back = [platform.sequences.rollback("s") for _ in range(2)]
    assert [(r.number, r.rolled_back_to, r.sequence.timeout if r.sequence else None) for r in back] == [
        (4, 2, 2.0),
        (5, 1, 1.0),
    ]
    with pytest.raises(NotFound, match="no earlier revision"):
        platform.sequences.rollback("s")
    assert platform.sequences.rollback("s", to=3).sequence == platform.sequences.history("s")[2].sequence
    assert services.heard.count(("changed", "s")) == 6


def test_rolling_back_to_what_is_not_there_or_lost_a_version_is_refused(platform: Platform) -> None:
    release(platform.catalog, "a")
    release(platform.catalog, "a")
    platform.sequences.apply(sequence([{"model": "a:1"}]))
    platform.sequences.apply(sequence([{"model": "a:2"}]))
    platform.versions.delete(VersionId("a", 1))
    with pytest.raises(Conflict, match="needs a:1, which was deleted"):
        platform.sequences.rollback("s")
    with pytest.raises(NotFound, match="revision 9"):
        platform.sequences.rollback("s", to=9)


def test_a_deleted_sequence_can_be_made_again_and_goes_on_counting(platform: Platform) -> None:
    release(platform.catalog, "a")
    platform.sequences.apply(sequence([{"model": "a"}]))
    platform.sequences.delete("s")
    with pytest.raises(NotFound):
        platform.sequences.get("s")
    assert platform.sequences.apply(sequence([{"model": "a"}])).revision.number == 3


def test_a_version_in_use_is_not_deleted_and_the_user_is_named(platform: Platform) -> None:
    version = release(platform.catalog, "a")
    platform.aliases.move("a", "prod", 1)
    platform.sequences.apply(sequence([{"model": "a"}]))
    platform.schedules.put(Schedule("nightly", "0 3 * * *", "a:1"))
    for user, let_go in (
        ("alias a@prod", lambda: platform.aliases.delete("a", "prod")),
        ("sequence s", lambda: platform.sequences.delete("s")),
        ("schedule nightly", lambda: platform.schedules.delete("nightly")),
    ):
        with pytest.raises(Conflict, match=user):
            platform.versions.delete(version)
        let_go()
    platform.versions.delete(version)
    assert platform.catalog.find(version) is None


def test_a_model_goes_with_its_aliases_but_not_while_a_sequence_uses_it(platform: Platform) -> None:
    release(platform.catalog, "a")
    release(platform.catalog, "a")
    platform.aliases.move("a", "prod", 1)
    platform.sequences.apply(sequence([{"model": "a"}]))
    with pytest.raises(Conflict, match="sequence s"):
        platform.versions.delete_model("a")
    assert platform.aliases.get("a", "prod").version == 1
    platform.sequences.delete("s")
    platform.versions.delete_model("a")
    assert platform.catalog.models() == []


def test_an_alias_moves_back_and_remembers(platform: Platform) -> None:
    for _ in range(2):
        release(platform.catalog, "a")
    for number in (1, 2, 2, 1):
        platform.aliases.move("a", "prod", number)
    assert [p.version for p in platform.aliases.history("a", "prod")] == [1, 2, 1]
    assert platform.versions.resolve(Reference.parse("a@prod")).id == VersionId("a", 1)
    platform.aliases.delete("a", "prod")
    with pytest.raises(NotFound):
        platform.aliases.get("a", "prod")


def test_an_alias_points_only_at_released_versions_of_its_model(platform: Platform) -> None:
    fail(platform.catalog, "a", "it raised")
    with pytest.raises(InvalidInput, match="a:1 is failed"):
        platform.aliases.move("a", "prod", 1)
    with pytest.raises(NotFound):
        platform.aliases.move("a", "prod", 7)
    with pytest.raises(InvalidInput, match="alias"):
        platform.aliases.move("a", "Not A Name", 1)


def test_an_alias_that_a_schedule_follows_is_not_deleted(platform: Platform) -> None:
    release(platform.catalog, "a")
    platform.aliases.move("a", "prod", 1)
    platform.schedules.put(Schedule("nightly", "0 3 * * *", "a@prod"))
    with pytest.raises(Conflict, match="schedule nightly"):
        platform.aliases.delete("a", "prod")


def test_a_deployment_configuration_that_a_sequence_names_is_not_deleted(platform: Platform) -> None:
    release(platform.catalog, "a")
    with pytest.raises(NotFound, match="deployment configuration"):
        platform.sequences.apply(sequence([{"model": "a", "deployment-configuration": "large"}]))
    platform.deployments.put(DeploymentConfiguration.model_validate({"name": "large", "hpa": {"maxReplicas": 3}}))
    platform.sequences.apply(sequence([{"model": "a", "deployment-configuration": "large"}]))
    with pytest.raises(Conflict, match="sequence s"):
        platform.deployments.delete("large")
    platform.sequences.delete("s")
    platform.deployments.delete("large")
    assert platform.deployments.select() == []
