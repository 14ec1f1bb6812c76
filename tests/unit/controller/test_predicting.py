"""``headrace predict`` speaks of what people meant: the name that is near, and the newest version where that has failed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace_controller.cli.predict import _metadata, _newer_failure
from headrace_controller.client import Client
from headrace_functions.errors import HeadraceError, NotFound, NotReady
from headrace_functions.suggestions import did_you_mean


def client(failure: HeadraceError | None = None, state: str = "released") -> Client:
    """A platform with the model ``churn``, whose version 2 is in ``state``, and the sequence ``score``."""

    def endpoint_metadata(_name: str) -> dict[str, Any]:
        if failure is not None:
            raise failure
        return {"inputs": []}

    def model(name: str) -> Any:
        if name != "churn":
            raise NotFound(f"no model {name}")
        return SimpleNamespace(name="churn", latest=2)

    return cast(
        Client,
        SimpleNamespace(
            endpoint_metadata=endpoint_metadata,
            models=lambda: iter([SimpleNamespace(name="churn")]),
            sequences=lambda: iter([SimpleNamespace(name="score")]),
            model=model,
            version=lambda name: SimpleNamespace(id=name, state=state, reason="no such package\nlong story"),
        ),
    )


@pytest.mark.parametrize(("name", "meant"), [("chrun", "churn"), ("scores", "score"), ("churm@prod", "churn")])
def test_the_nearest_model_or_sequence_is_suggested(name: str, meant: str) -> None:
    with pytest.raises(NotFound) as error:
        _metadata(client(NotFound("there is no such name")), name)
    assert f"did you mean {meant!r}?" == error.value.hint


def test_a_name_that_is_near_to_none_keeps_its_hint() -> None:
    with pytest.raises(NotFound) as error:
        _metadata(client(NotFound("there is no such name", hint="list them")), "zzz")
    assert "list them" == error.value.hint


def test_where_no_version_answers_the_error_is_about_the_newest() -> None:
    with pytest.raises(NotReady, match=r"^churn:2 failed to build: no such package$") as error:
        _metadata(client(NotReady("version churn:1 is failed"), "failed"), "churn")
    assert "its build log: headrace version log churn:2" == error.value.hint


@pytest.mark.parametrize("name", ["churn:1", "churn@prod", "score"])
def test_nothing_is_said_of_the_newest_version_to_who_asks_for_another_thing(name: str) -> None:
    assert "" == _newer_failure(client(state="failed"), name)


def test_a_newest_version_that_is_released_is_not_spoken_of() -> None:
    assert "" == _newer_failure(client(), "churn")


def test_suggestions_are_near() -> None:
    assert "did you mean 'churn'?" == did_you_mean("churm", ["other", "churn"], "")
    assert "list them" == did_you_mean("x", ["other", "churn"], "list them")
