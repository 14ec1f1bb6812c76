"""The form that changes a sequence: the same checks as a definition, nothing kept before *Save*, nobody's change overwritten."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from controller_support import make_platform, release
from headrace_controller.api.application import create_app
from headrace_controller.definitions import SequenceDefinition
from headrace_controller.pages import blueprint
from headrace_controller.pages.sequence_edit import Draft, Row, of_form, of_sequence, with_stage
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput

OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    found = make_platform(tmp_path / "home")
    for _ in range(2):
        release(found.catalog, "a")
    release(found.catalog, "b", inputs="y", outputs="z")
    found.sequences.apply(
        SequenceDefinition.model_validate(
            {"name": "s", "pipeline": [[{"model": "a:1"}], [{"model": "b:1"}]], "metadata": {"team": "growth"}}
        )
    )
    return found


@pytest.fixture
def client(platform: Platform) -> FlaskClient:
    return create_app(platform, blueprint(platform)).test_client()


def form(*stages: list[tuple[str, str, str]], revision: int = 1, timeout: str = "60") -> dict[str, str]:
    """What a browser posts, with the empty row of each stage."""
    posted = {"revision": str(revision), "stages": str(len(stages)), "timeout": timeout}
    for stage, rows in enumerate(stages):
        for place, (model, role, weight) in enumerate([*rows, ("", "variant", "")]):
            posted |= {
                f"model-{stage}-{place}": model,
                f"role-{stage}-{place}": role,
                f"weight-{stage}-{place}": weight,
            }
    return posted


SPLIT = form([("a:1", "variant", "90"), ("a:2", "variant", "10")], [("b:1", "variant", "100")], timeout="5")
UNFIT = form([("b:1", "variant", "100")], [("a:1", "variant", "90")])


def test_the_form_begins_with_the_sequence_as_it_is(platform: Platform, client: FlaskClient) -> None:
    expected = Draft(1, "60", ((Row("a:1", "variant", "100"),), (Row("b:1", "variant", "100"),)))
    assert expected == of_sequence(platform, "s")
    text = client.get("/sequences/s/edit").text
    assert 'name="model-1-0" value="b:1"' in text
    assert '<option value="a:2">' in text, "released versions are suggested"


def test_saving_makes_a_revision_and_keeps_what_the_form_does_not_show(platform: Platform, client: FlaskClient) -> None:
    answer = client.post("/sequences/s/edit", data=SPLIT, headers=OURS)
    assert (303, "/sequences/s") == (answer.status_code, answer.location)
    now = platform.sequences.get("s")
    assert now.sequence is not None
    assert (2, 5.0, {"team": "growth"}) == (now.number, now.sequence.timeout, now.sequence.metadata)
    assert [("a:1", 90), ("a:2", 10)] == [(str(v.version), v.weight) for v in now.sequence.stages[0].variants]


def test_checking_says_what_callers_would_notice_and_keeps_nothing(platform: Platform, client: FlaskClient) -> None:
    same = client.post("/sequences/s/edit/check", data=SPLIT, headers=OURS)
    shorter = client.post("/sequences/s/edit/check", data=form([("b:1", "variant", "")]), headers=OURS)
    assert "Callers notice nothing" in same.text
    for said in (
        "Callers no longer send the input x",
        "Callers must also send the input y: float64",
    ):
        assert said in shorter.text
    assert [200, 200, 1] == [same.status_code, shorter.status_code, platform.sequences.get("s").number]


@pytest.mark.parametrize(("verb", "status"), [("edit", 422), ("edit/check", 200)])
@pytest.mark.parametrize(
    ("posted", "said"),
    [
        (UNFIT, "Stage 2: weights of a stage sum to 90"),
        (form([("ghost:1", "variant", "100")]), "Stage 1, version 1: no version ghost:1"),
        (form([("a:1", "variant", "many")]), "Stage 1, version 1: the weight &#39;many&#39; is not a whole number"),
        (form([("a:1", "variant", "101")]), "is not a whole number up to 100"),
        (form([("a:1", "shadow", "")]), "only shadows"),
        (form([("<b>", "variant", "100")]), "&lt;b&gt;"),
        (form([("a:1", "variant", "100")], timeout="soon"), "soon"),
        (form(), "the sequence has no stages"),
    ],
)
def test_what_cannot_be_is_said_beside_the_form_as_it_was_filled_in(
    platform: Platform, client: FlaskClient, verb: str, status: int, posted: dict[str, str], said: str
) -> None:
    page = client.post(f"/sequences/s/{verb}", data=posted, headers=OURS)
    assert (status, 1) == (page.status_code, platform.sequences.get("s").number)
    assert said in page.text
    assert posted["timeout"] in page.text


def test_a_change_by_somebody_else_meanwhile_is_not_overwritten(platform: Platform, client: FlaskClient) -> None:
    assert 303 == client.post("/sequences/s/edit", data=SPLIT, headers=OURS).status_code
    late = client.post("/sequences/s/edit", data=form([("a:2", "variant", "100")]), headers=OURS)
    assert (409, 2) == (late.status_code, platform.sequences.get("s").number)
    assert "s is at revision 2 now; you started from revision 1" in late.text
    assert 'name="revision" value="2"' in late.text, "saved once more it replaces the other change"


def test_a_stage_is_inserted_where_it_is_asked_for(client: FlaskClient) -> None:
    text = client.post("/sequences/s/edit/check", data={**SPLIT, "insert": "1"}, headers=OURS).text
    assert ["", "b:1"] == [text.split(f'name="model-{stage}-0" value="')[1].split('"')[0] for stage in (1, 2)]
    assert ((), (Row("a:1"),)) == with_stage(Draft(1, "", ((Row("a:1"),),)), 0).stages


@pytest.mark.parametrize("posted", [{}, {"revision": "1", "stages": "x"}, {"revision": "1", "stages": "99999"}])
def test_what_is_no_such_form_is_refused_by_field(posted: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as error:
        of_form(posted)
    assert error.value.field in ("revision", "stages")
