"""Explaining a whole sequence: its inputs where they were logged, its outputs, its own rows to compare with."""

from pathlib import Path

import numpy as np
import pytest

from fixtures_jobs import Answering, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.sequence import Sequence, Stage, Variant
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.explain import cache
from headrace_jobs.explain.job import ExplainRun
from headrace_jobs.explain.methods import METHODS
from headrace_jobs.explain.rules import explain_by_rule
from headrace_jobs.explain.subject import subject_of
from headrace_jobs.report.models import CounterfactualReport, SaliencyReport
from headrace_jobs.report.page import page

__all__ = ["objects"]

FIRST, OTHER, LAST = VersionId("features", 1), VersionId("features", 2), VersionId("scorer", 1)
WHOLE = Signature((number("p"), number("q")), (number("score"),))
ROWS = 40


def predict(p: np.ndarray, q: np.ndarray) -> dict[str, np.ndarray]:
    return {"score": 2 * p - q}


def given_flow(objects: ObjectStore, training: dict[str, np.ndarray] | None = None, rows: int = ROWS) -> Version:
    """``flow``: p and q become f at the first stage, which only the last one sees; the second variant answered."""
    given_version(objects, WHOLE.inputs, None, (number("f"),), version=FIRST)
    other = given_version(objects, WHOLE.inputs, training, (number("f"),), version=OTHER)
    last = given_version(objects, (number("f"),), None, (number("score"),), version=LAST)
    variants = (Variant(FIRST, 50), Variant(OTHER, 50))
    sequence = Sequence("flow", (Stage(variants), Stage((Variant(LAST),))), WHOLE)
    Documents(objects).append(layout.revisions("flow"), sequence.to_document())
    random = np.random.default_rng(0)
    p, q = random.normal(size=(2, rows))
    f = predict(p, q)["score"]
    given_log(objects, other, {"p": p, "q": q, "f": f}, sequence="flow")
    given_log(objects, last, {"f": f, "score": f}, sequence="flow")
    given_log(objects, other, {"p": p + 1000, "q": q, "f": f}, request="alone")
    return Version.from_document({**last.to_document(), "signature": WHOLE.to_document()})


def run(url: str, request: str = "req-3") -> ExplainRun:
    return ExplainRun(LAST, request, 0, url, sequence="flow")


def test_a_sequence_is_explained_by_its_own_inputs(objects: ObjectStore) -> None:
    """For a linear sequence the values are the coefficients times the distance from the mean of the rows it was sent."""
    whole = given_flow(objects)
    with Answering(whole, predict) as endpoint:
        found = run(endpoint.url).report(objects, lambda *_: None)
    assert (found.sequence, found.source, found.model) == ("flow, revision 1", "log", "scorer:1")
    assert found.prediction == found.logged
    assert abs(found.base + sum(c.shap for c in found.contributions) - found.prediction) < 1e-10
    background, _ = subject_of(objects, LAST, "flow").background(objects)
    values = {c.name: (c.value, c.shap) for c in found.contributions}
    assert values["p"][1] == pytest.approx(2 * (values["p"][0] - background[:, 0].mean()))
    assert len(background) == ROWS, "rows that the version was sent by others are none of the sequence's"
    assert "flow, revision 1" in page(found)


def test_the_variants_that_answered_the_request_answer_the_questions(objects: ObjectStore) -> None:
    """The same request id lands on the same variants."""
    with Answering(given_flow(objects), predict) as endpoint:
        explain_by_rule(run(endpoint.url), objects, lambda *_: None)
    assert endpoint.request_ids == {"req-3"}
    assert endpoint.paths == {"/v2/models/flow/infer"}
    assert set(endpoint.purposes) == {"explain"}


def test_training_data_that_has_all_inputs_is_compared_with_first(objects: ObjectStore) -> None:
    training = {"p": np.arange(30.0), "q": np.arange(30.0)}
    with Answering(given_flow(objects, training), predict) as endpoint:
        found = run(endpoint.url).report(objects, lambda *_: None)
    assert (found.source, found.background) == ("training", 30)


def test_a_rule_of_a_sequence_names_its_inputs(objects: ObjectStore) -> None:
    with Answering(given_flow(objects), predict) as endpoint:
        found = explain_by_rule(run(endpoint.url), objects, lambda *_: None)
    assert found.sequence == "flow, revision 1"
    assert {part.name for part in found.rule} <= {"p", "q"}
    assert "flow, revision 1" in page(found)


def test_a_counterfactual_of_a_sequence_changes_its_inputs(objects: ObjectStore) -> None:
    """Its neighbours are rows that the sequence was sent: they are of the log, whatever the stages were trained on."""
    with Answering(given_flow(objects), predict) as endpoint:
        found = METHODS["counterfactual"](run(endpoint.url), objects, lambda *_: None)
        assert isinstance(found, CounterfactualReport)
    logged = subject_of(objects, LAST, "flow").logged(objects, "req-3", 0)
    own = {name: logged[f"in.{name}"] for name in "pq"}
    for row in found.rows:
        assert {c.name: c.before for c in row.changes}.items() <= own.items()
        changed = {**own, **{c.name: c.after for c in row.changes}}
        assert abs(predict(**changed)["score"] - predict(**own)["score"]) > 0.1
    assert (found.sequence, found.model) == ("flow, revision 1", "scorer:1")
    assert {r.source for r in found.rows} == {"log"}
    assert endpoint.request_ids == {"req-3"}
    assert "flow, revision 1" in page(found)


def test_a_counterfactual_of_a_sequence_may_come_from_the_training_data_of_a_stage(objects: ObjectStore) -> None:
    training = {"p": np.arange(30.0), "q": -np.arange(30.0)}
    with Answering(given_flow(objects, training), predict) as endpoint:
        found = METHODS["counterfactual"](run(endpoint.url), objects, lambda *_: None)
    assert isinstance(found, CounterfactualReport)
    assert {r.source for r in found.rows} == {"training"}


def test_masks_of_a_sequence_find_the_patch_that_decides_at_its_last_stage(objects: ObjectStore) -> None:
    """The image goes to the first stage, the answer comes from the last one, which never sees it."""
    image = Field("image", dtype("float32"), (8, 8), "image")
    whole = Signature((image,), (number("score"),))
    first = given_version(objects, (image,), None, (number("f"),), version=FIRST)
    last = given_version(objects, (number("f"),), None, (number("score"),), version=LAST)
    stages = (Stage((Variant(FIRST, 100),)), Stage((Variant(LAST, 100),)))
    Documents(objects).append(layout.revisions("flow"), Sequence("flow", stages, whole).to_document())
    images = np.random.default_rng(0).random((20, 8, 8))
    images[3, 5:8, 0:3] = 16.0
    scores = images[:, 5:8, 0:3].mean(axis=(1, 2))
    given_log(objects, first, {"image": images.reshape(20, 64).tolist(), "f": scores}, sequence="flow")
    given_log(objects, last, {"f": scores, "score": scores}, sequence="flow")

    def looks(image: np.ndarray) -> dict[str, np.ndarray]:
        return {"score": image[:, 5:8, 0:3].mean(axis=(1, 2)).astype(np.float64)}

    asked = Version.from_document({**last.to_document(), "signature": whole.to_document()})
    with Answering(asked, looks) as endpoint:
        found = METHODS["rise"](run(endpoint.url), objects, lambda *_: None)
    assert isinstance(found, SaliencyReport)
    y, x = np.unravel_index(np.argmax(found.saliency), (8, 8))
    assert (5 <= y < 8, 0 <= x < 3) == (True, True)
    assert (found.sequence, found.input) == ("flow, revision 1", "image")
    assert found.prediction == pytest.approx(16, abs=1e-4)
    assert endpoint.paths == {"/v2/models/flow/infer"}
    assert "flow, revision 1" in page(found)


def test_a_request_that_the_sequence_did_not_answer_is_not_found(objects: ObjectStore) -> None:
    """Not even where one of its versions answered it for somebody else."""
    given_flow(objects)
    for request in ("nobody", "alone-3"):
        with pytest.raises(NotFound, match="sequence flow"):
            run("http://127.0.0.1:9", request).report(objects, lambda *_: None)


def test_too_few_rows_to_compare_with_are_refused_with_a_way_out(objects: ObjectStore) -> None:
    given_flow(objects, rows=5)
    with pytest.raises(InvalidInput, match="no rows to explain against"):
        run("http://127.0.0.1:9").report(objects, lambda *_: None)


def test_an_answer_is_kept_for_one_revision(objects: ObjectStore, tmp_path: Path) -> None:
    """Another revision may answer otherwise."""
    given_flow(objects)
    asked = run("http://127.0.0.1:9")
    before = cache.key_of(objects, asked, "shap")
    revisions = layout.revisions("flow")
    Documents(objects).append(revisions, Documents(objects).last(revisions) or {})
    assert cache.key_of(objects, asked, "shap") != before


def test_a_deleted_sequence_is_not_found(objects: ObjectStore) -> None:
    given_flow(objects)
    Documents(objects).append(layout.revisions("flow"), {"deleted": True})
    with pytest.raises(NotFound, match="no sequence flow"):
        subject_of(objects, LAST, "flow")
