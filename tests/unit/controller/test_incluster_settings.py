"""What a controller and a gateway in a cluster are told by their environment, and what is refused before they start."""

import pytest

from headrace_controller.incluster.settings import InCluster
from headrace_functions.errors import InvalidInput
from headrace_functions.gateway.incluster import InCluster as GatewayInCluster

CONTROLLER = {"HEADRACE_STORAGE": "s3://b", "HEADRACE_NAMESPACE": "models", "HEADRACE_WORK": "/var/headrace"}
GATEWAY = CONTROLLER | {"HEADRACE_PLATFORM_SECRET": "s", "HEADRACE_RELEASE_KEY": "r"}
PROVIDER = {"HEADRACE_OIDC_ISSUER": "https://login.example", "HEADRACE_OIDC_CLIENT_ID": "headrace"}


def test_a_controller_knows_its_login_provider_by_the_names_of_the_options() -> None:
    more = {"HEADRACE_OIDC_AUDIENCE": "urn:headrace", "HEADRACE_OIDC_GROUPS_CLAIM": "roles"}
    found = InCluster.from_environment(CONTROLLER | {"HEADRACE_AUTH": "1"} | PROVIDER | more).platform
    assert ("https://login.example", "headrace", "urn:headrace") == (
        found.oidc_issuer,
        found.oidc_client_id,
        found.oidc_audience,
    )
    assert ("roles", "email") == (found.oidc_groups_claim, found.oidc_name_claim)
    assert "" == InCluster.from_environment(CONTROLLER).platform.oidc_issuer


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (PROVIDER, "oidc-issuer"),
        ({"HEADRACE_AUTH": "1", "HEADRACE_OIDC_ISSUER": "https://login.example"}, "oidc-issuer"),
        ({"HEADRACE_TOKEN_AUDIENCE": "headrace"}, "HEADRACE_TOKEN_AUDIENCE"),
    ],
)
def test_what_needs_callers_who_are_asked_who_they_are_is_refused_without(more: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        InCluster.from_environment(CONTROLLER | more)
    assert field == error.value.field


def test_a_gateway_shows_pages_only_where_callers_are_asked_who_they_are() -> None:
    assert not GatewayInCluster.from_environment(GATEWAY).pages
    assert GatewayInCluster.from_environment(GATEWAY | {"HEADRACE_AUTH": "1", "HEADRACE_PAGES": "1"}).pages
    with pytest.raises(InvalidInput) as error:
        GatewayInCluster.from_environment(GATEWAY | {"HEADRACE_PAGES": "1"})
    assert "HEADRACE_PAGES" == error.value.field


def test_a_gateway_knows_where_the_management_api_is() -> None:
    assert "tcp:headrace-controller.models.svc:80" == GatewayInCluster.from_environment(GATEWAY).controller_address
