"""Bearer tokens of more than one issuer: each is verified by whom it says that it is from. Pure."""

from headrace_functions.access.authentication import Tokens
from headrace_functions.access.roles import Caller
from headrace_functions.access.unverified import said_by


class TokensByIssuer:
    """``provider`` verifies the tokens that name ``issuer``, ``others`` all else. What a token says of itself only chooses who looks."""

    def __init__(self, issuer: str, provider: Tokens, others: Tokens) -> None:
        self._issuer = issuer
        self._provider = provider
        self._others = others

    def verify(self, token: str) -> tuple[Caller, float]:
        return (self._provider if issuer_of(token) == self._issuer else self._others).verify(token)


def issuer_of(token: str) -> str:
    """The issuer that a JWT names; empty where it cannot be read."""
    return str(said_by(token).get("iss", ""))
