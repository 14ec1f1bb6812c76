"""Tokens of ServiceAccounts: the cluster says whose one is, by a TokenReview. The fourth client of the Kubernetes API. Blocking."""

import math
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client

from headrace_controller.backends.kserve.cluster import Cluster, asked
from headrace_functions.access.roles import Caller, check_subject, is_subject
from headrace_functions.access.unverified import end_of
from headrace_functions.errors import InvalidInput, Unauthenticated, Unreachable

_ACCOUNT = "system:serviceaccount:"
_LONGEST = 3600.0
"""Seconds that a token without an end counts before it is asked about again."""

Json = dict[str, Any]


class TokenReviews:
    """Fills ``access.authentication.Tokens``: ``machine:system:serviceaccount:NAMESPACE:NAME``, in Kubernetes' own groups."""

    def __init__(self, cluster: Cluster, audience: str, clock: Callable[[], float] = time.time) -> None:
        """``audience`` is what a token must be made for, so that one for the Kubernetes API is of no use here, nor one for here there."""
        self._api = client.AuthenticationV1Api(cluster.api)
        self._audience = audience
        self._clock = clock

    def verify(self, token: str) -> tuple[Caller, float]:
        """``Unauthenticated`` where the cluster does not know the token for this audience, or it is no ServiceAccount's; ``Unreachable``
        where the cluster cannot be asked."""
        body = {"spec": {"token": token, "audiences": [self._audience]}}
        try:
            found = asked(self._api.create_token_review, "review a token", body=body).get("status") or {}
        except InvalidInput as error:
            raise Unreachable(
                f"tokens of ServiceAccounts cannot be verified: {error.message}",
                hint="check that the overlay has knative/components/service-account-tokens",
            ) from error
        user = found.get("user") or {}
        name = str(user.get("username", ""))
        if not found.get("authenticated") or self._audience not in (found.get("audiences") or ()):
            raise Unauthenticated(
                f"the cluster does not recognize this token for the audience {self._audience!r}",
                hint=f"create one with: kubectl create token ACCOUNT --audience {self._audience}",
            )
        if not name.startswith(_ACCOUNT):
            raise Unauthenticated("the token does not belong to a ServiceAccount")
        groups = tuple(sorted({str(g) for g in user.get("groups") or () if is_subject(f"group:{g}")}))
        return Caller(check_subject(f"machine:{name}"), groups), min(end_of(token, math.inf), self._clock() + _LONGEST)
