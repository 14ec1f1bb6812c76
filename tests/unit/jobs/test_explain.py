"""Explaining a logged request by asking an endpoint: a real HTTP exchange over the loopback device."""

import numpy as np
import pytest

from fixtures_jobs import CHURN, Answering, category, given_log, given_version, number, objects
from headrace_functions.errors import FunctionFailed, InvalidInput, NotFound, Unreachable
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.explain import endpoint
from headrace_jobs.explain.job import ExplainRun
from headrace_jobs.report.models import Explanation
from headrace_jobs.report.page import page

__all__ = ["objects"]

PROBABILITIES = Field("probabilities", dtype("float64"), (2,), columns=("stay", "leave"))
LABEL = Field("label", dtype("string"), profile="categorical")
INPUTS = (number("age"), Field("visits", dtype("int64"), profile="numerical"), category("plan"))
ROWS = {"age": [30.0, 60.0], "visits": [2, 9], "plan": ["pro", "basic"]}


def predict(age: np.ndarray, visits: np.ndarray, plan: np.ndarray) -> dict[str, np.ndarray]:
    leave = 1 / (1 + np.exp(-(0.05 * (age - 40) - 0.2 * visits + 2.0 * (plan == "basic"))))
    label = np.where(leave > 0.5, "leave", "stay").astype(object)
    return {"probabilities": np.column_stack((1 - leave, leave)), "label": label}


@pytest.fixture
def version(objects: ObjectStore) -> Version:
    random = np.random.default_rng(0)
    training = {
        "age": random.normal(40, 10, 300),
        "visits": random.integers(0, 10, 300),
        "plan": np.array(["basic", "pro"], object)[random.integers(0, 2, 300)],
    }
    version = given_version(objects, INPUTS, training, (LABEL, PROBABILITIES))
    given_log(objects, version, {**ROWS, **{k: v.tolist() for k, v in predict(**arrays(ROWS)).items()}})
    return version


def arrays(rows: dict[str, list]) -> dict[str, np.ndarray]:
    return {k: np.array(v, object) if isinstance(v[0], str) else np.array(v) for k, v in rows.items()}


def explain(objects: ObjectStore, url: str, request: str = "req-1", **options: object) -> Explanation:
    return ExplainRun(CHURN, request, 0, url, **options).report(objects, lambda *_: None)  # type: ignore[arg-type]


def test_the_predicted_class_of_a_logged_row_is_explained_and_adds_up(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        found = explain(objects, endpoint.url)

    assert found.output == "probabilities[leave]"
    assert found.method == "exact"
    assert found.prediction == found.logged
    assert abs(found.base + sum(c.shap for c in found.contributions) - found.prediction) < 1e-9
    assert {c.name: c.value for c in found.contributions} == {"age": 60.0, "visits": 9, "plan": "basic"}


def test_no_question_is_asked_as_ordinary_traffic(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        found = explain(objects, endpoint.url)

    assert set(endpoint.purposes) == {"explain"}
    assert endpoint.rows == found.asked + 1


def test_the_platforms_own_word_goes_with_the_question(
    objects: ObjectStore, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_PURPOSE_TOKEN", "word")
    with Answering(version, predict) as endpoint:
        explain(objects, endpoint.url)

    assert set(endpoint.purposes) == {"explain word"}


def test_another_output_can_be_asked_for(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        stay = explain(objects, endpoint.url, output="probabilities[stay]")
        label = explain(objects, endpoint.url, output="label")
        with pytest.raises(InvalidInput, match="no output 'nothing'"):
            explain(objects, endpoint.url, output="nothing")

    assert stay.prediction < 0.5
    assert label.output == "label = leave"
    assert label.prediction == 1.0


def test_the_same_request_gives_the_same_report(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        assert explain(objects, endpoint.url) == explain(objects, endpoint.url)


def test_a_version_that_takes_one_row_a_request_is_asked_row_by_row(objects: ObjectStore) -> None:
    described = given_version(objects, (number("age"),), {"age": np.arange(20.0)}, (number("value"),))
    single = Version.from_document({**described.to_document(), "batch": False})
    objects.delete(layout.version_document(CHURN))
    Documents(objects).create(layout.version_document(CHURN), single.to_document())
    given_log(objects, single, {"age": [7.0], "value": [14.0]})

    with Answering(single, lambda age: {"value": age * 2.0}) as endpoint:
        found = explain(objects, endpoint.url, "req-0")

    assert found.prediction == 14.0
    assert found.contributions[0].shap == pytest.approx(14.0 - found.base, abs=1e-12)


def test_a_request_that_the_log_has_not_is_not_found(objects: ObjectStore, version: Version) -> None:
    with pytest.raises(NotFound, match="no answered row 0 of request other"):
        explain(objects, "http://127.0.0.1:9", request="other")


def test_a_failed_request_cannot_be_explained(objects: ObjectStore, version: Version) -> None:
    given_log(objects, version, ROWS, outcome="failed", request="bad")

    with pytest.raises(NotFound, match="no answered row"):
        explain(objects, "http://127.0.0.1:9", request="bad-0")


@pytest.mark.parametrize("away", [1, len(endpoint.PAUSES)])
def test_a_question_is_put_again_while_the_service_is_away(
    objects: ObjectStore, version: Version, monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    monkeypatch.setattr(endpoint, "PAUSES", (0.0,) * len(endpoint.PAUSES))
    with Answering(version, predict) as asked:
        expected = explain(objects, asked.url)
        asked.away = away
        assert expected == explain(objects, asked.url)


def test_a_service_that_stays_away_is_told(
    objects: ObjectStore, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "PAUSES", (0.0,) * len(endpoint.PAUSES))
    with Answering(version, predict) as asked:
        asked.away = 1000
        with pytest.raises(FunctionFailed, match="answered 503"):
            explain(objects, asked.url)
        assert asked.away == 1000 - 1 - len(endpoint.PAUSES)


def test_an_endpoint_that_is_away_is_named(
    objects: ObjectStore, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "PAUSES", (0.0,) * len(endpoint.PAUSES))
    with pytest.raises(Unreachable, match="does not answer"):
        explain(objects, "http://127.0.0.1:9")


def test_what_the_endpoint_says_of_a_failure_is_passed_on(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        endpoint.failure = b'{"detail": "load failed"}'
        with pytest.raises(FunctionFailed, match="answered 500: load failed"):
            explain(objects, endpoint.url)


@pytest.mark.parametrize("budget", [0, 1, 10_000_000])
def test_a_budget_out_of_range_is_refused(objects: ObjectStore, version: Version, budget: int) -> None:
    with pytest.raises(InvalidInput, match="budget"):
        explain(objects, "http://127.0.0.1:9", budget=budget)


def test_the_page_has_no_outside_assets_and_shows_each_feature(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        text = page(explain(objects, endpoint.url))

    assert "http://" not in text
    assert "https://" not in text
    assert text.count("<svg") == 1
    assert all(f"<code>{name}</code>" in text for name in ("age", "visits", "plan"))


def test_the_wanted_row_of_a_request_is_explained(objects: ObjectStore) -> None:
    """Two lines of one request, as the collector writes a batch of two."""
    version = given_version(objects, (number("age"),), {"age": np.arange(20.0)}, (number("value"),))
    given_log(objects, version, {"age": [7.0, 11.0], "value": [14.0, 22.0]}, same_request=True)

    with Answering(version, lambda age: {"value": age * 2.0}) as endpoint:
        found = ExplainRun(CHURN, "req", 1, endpoint.url).report(objects, lambda *_: None)

    assert (found.row, found.prediction) == (1, 22.0)
