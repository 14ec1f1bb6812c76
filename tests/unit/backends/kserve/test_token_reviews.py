"""Whose a ServiceAccount's token is, by a TokenReview of a scripted API server."""

import base64
import json
from typing import Any

import pytest
from kubernetes import client

from headrace_controller.backends.kserve.token_reviews import TokenReviews
from headrace_functions.access.issuers import TokensByIssuer, issuer_of
from headrace_functions.access.roles import Caller
from headrace_functions.errors import Unauthenticated, Unreachable

USER = "system:serviceaccount:shop:checkout"
GROUPS = ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated", "not usable"]


def token(**claims: Any) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"head.{middle}.signature"


def review(**status: Any) -> dict[str, Any]:
    known = {"authenticated": True, "audiences": ["headrace"], "user": {"username": USER, "groups": GROUPS}}
    return {"kind": "TokenReview", "status": known | status}


class Connection:
    """What ``cluster.Cluster`` is to it: a connection that answers by a script."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.api = client.ApiClient()
        self.asked: list[Any] = []
        self._answer = status, document
        self.api.call_api = self._call  # type: ignore[method-assign]

    def _call(self, *_: Any, body: Any = None, **_more: Any) -> Any:
        self.asked.append(body)
        status, document = self._answer
        if status != 201:
            raise client.ApiException(status=status, reason=document.get("message", ""))

        class Answer:
            data = json.dumps(document).encode()

        return Answer()


def reviews(status: int, document: dict[str, Any]) -> tuple[TokenReviews, Connection]:
    found = Connection(status, document)
    return TokenReviews(found, "headrace", lambda: 1000.0), found  # type: ignore[arg-type]


def test_a_token_is_its_service_accounts_until_it_ends() -> None:
    asked, connection = reviews(201, review())
    shown = token(exp=2000)
    groups = ("system:authenticated", "system:serviceaccounts", "system:serviceaccounts:shop")
    assert (Caller(f"machine:{USER}", groups), 2000.0) == asked.verify(shown)
    assert [{"spec": {"token": shown, "audiences": ["headrace"]}}] == connection.asked


@pytest.mark.parametrize("shown", [token(), token(exp="never"), "a.b.c", "nothing"])
def test_one_whose_end_cannot_be_read_counts_for_an_hour(shown: str) -> None:
    assert 1000.0 + 3600.0 == reviews(201, review())[0].verify(shown)[1]


@pytest.mark.parametrize(
    "status",
    [
        {"authenticated": False},
        {"authenticated": None},
        {"audiences": ["https://kubernetes.default.svc"]},
        {"audiences": None},
        {"user": {"username": "ann"}},
        {"user": None},
    ],
)
def test_others_are_refused(status: dict[str, Any]) -> None:
    """Not known, made for somebody else, or of a person, who might be called like a machine of the login provider."""
    with pytest.raises(Unauthenticated):
        reviews(201, review(**status))[0].verify(token(exp=2000))


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_cluster_that_does_not_answer_is_no_refusal(status: int) -> None:
    with pytest.raises(Unreachable):
        reviews(status, {"message": "no"})[0].verify(token(exp=2000))


class Named:
    def __init__(self, name: str) -> None:
        self._name = name

    def verify(self, _token: str) -> tuple[Caller, float]:
        return Caller(f"machine:{self._name}"), 0.0


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (token(iss="https://login.example"), "provided"),
        (token(iss="https://kubernetes.default.svc"), "reviewed"),
        (token(), "reviewed"),
        ("a.b.c", "reviewed"),
    ],
)
def test_a_token_is_verified_by_whom_it_says_that_it_is_from(shown: str, expected: str) -> None:
    both = TokensByIssuer("https://login.example", Named("provided"), Named("reviewed"))
    assert f"machine:{expected}" == both.verify(shown)[0].subject


@pytest.mark.parametrize("shown", ["", ".", "..", "a.b", f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.c", "a.😀.c"])
def test_what_is_no_token_names_no_issuer(shown: str) -> None:
    assert "" == issuer_of(shown)
