"""Tokens of a login provider, by keys that it serves over HTTP: what is taken, and each way in which one can be wrong."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from headrace_functions.access.authentication import MAX_CREDENTIAL, Authentication, Credentials
from headrace_functions.access.policy import Policy
from headrace_functions.access.tokens import LEEWAY, Provider, ProviderSettings, ProviderTokens
from headrace_functions.errors import InvalidInput, Unauthenticated, Unreachable
from headrace_functions.platform_secret import PlatformSecret

NOW = 1_800_000_000
AUDIENCE = "urn:headrace"


class Issuer:
    """A provider's document and keys on loopback."""

    def __init__(self) -> None:
        self.keys: list[Any] = [RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})]
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                if self.path.startswith("/.well-known"):
                    ends = ("jwks_uri", "authorization_endpoint", "token_endpoint")
                    found: Any = {"issuer": issuer.url, **{e: f"{issuer.url}/{e}" for e in ends}}
                else:
                    found = {"keys": [k.as_dict(private=False) for k in issuer.keys]}
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_given: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, key: Any = None, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        key = key or self.keys[0]
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "robot", "iat": NOW, "exp": NOW + 300, **claims}
        given = {name: value for name, value in given.items() if value is not None}
        return jwt.encode({"alg": alg, "kid": key.kid, **(header or {})}, given, key, algorithms=[alg])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.close()


@pytest.fixture
def provider(issuer: Issuer) -> Provider:
    made = Provider(ProviderSettings(issuer.url, "headrace", AUDIENCE), lambda: float(NOW))
    made.refresh()
    return made


def test_a_token_of_the_provider_names_a_machine_and_its_groups(issuer: Issuer, provider: Provider) -> None:
    caller, until = ProviderTokens(provider).verify(issuer.token(groups=["ops", "a b", 3, "ops"]))
    assert ("machine:robot", ("ops",), NOW + 300) == (caller.subject, caller.groups, until)


def _part(document: dict[str, Any]) -> str:
    return _part_of(json.dumps(document).encode())


def _part_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(issuer: Issuer) -> dict[str, str]:
    stranger = RSAKey.generate_key(2048, {"kid": "first"})
    good = issuer.token()
    head, payload, signature = good.split(".")
    unsigned = _part({"alg": "none", "kid": "first"})
    pem, names = issuer.keys[0].as_pem(private=False), _part({"alg": "HS256", "kid": "first"})
    by_secret = _part_of(hmac.new(pem, f"{names}.{payload}".encode(), "sha256").digest())
    changed = _part({"iss": issuer.url, "aud": AUDIENCE, "sub": "root", "exp": NOW + 9})
    return {
        "of another issuer": issuer.token(iss="https://evil.example"),
        "for another audience": issuer.token(aud="urn:else"),
        "without an audience": issuer.token(aud=None),
        "without an end": issuer.token(exp=None),
        "without a subject": issuer.token(sub=None),
        "expired": issuer.token(exp=NOW - LEEWAY - 1),
        "not yet valid": issuer.token(nbf=NOW + LEEWAY + 60),
        "signed by a stranger under our key's name": issuer.token(stranger),
        "without a signature": f"{unsigned}.{payload}.",
        "signed with our public key as a secret": f"{names}.{payload}.{by_secret}",
        "with other claims under its signature": f"{head}.{changed}.{signature}",
        "cut off": good[:-10],
        "no token": "a.b.c",
        "empty parts": "..",
        "with a subject that is none": issuer.token(sub="a b\n"),
    }


def test_every_wrong_token_is_refused(issuer: Issuer, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    taken = []
    for what, token in forged(issuer).items():
        try:
            ProviderTokens(provider).verify(token)
        except Unauthenticated:
            continue
        taken.append(what)
    assert [] == taken


@pytest.mark.parametrize("claims", [{"exp": NOW - LEEWAY + 5}, {"nbf": NOW + LEEWAY - 5}, {"iat": NOW + LEEWAY - 5}])
def test_clocks_may_differ_a_little(issuer: Issuer, provider: Provider, claims: dict[str, int]) -> None:
    assert "machine:robot" == ProviderTokens(provider).verify(issuer.token(**claims))[0].subject


def test_a_platform_without_an_audience_takes_no_tokens(issuer: Issuer) -> None:
    made = Provider(ProviderSettings(issuer.url, "headrace"), lambda: float(NOW))
    made.refresh()
    with pytest.raises(Unauthenticated, match="does not accept bearer tokens"):
        ProviderTokens(made).verify(issuer.token(aud="headrace"))


def test_nobody_is_let_in_by_keys_that_were_never_read(issuer: Issuer) -> None:
    with pytest.raises(Unauthenticated, match="could not be read yet"):
        ProviderTokens(Provider(ProviderSettings(issuer.url, "c", AUDIENCE))).verify(issuer.token())


def test_a_new_key_of_the_provider_is_learnt_soon_and_no_flood_reaches_the_provider(issuer: Issuer) -> None:
    now = [float(NOW)]
    made = Provider(ProviderSettings(issuer.url, "headrace", AUDIENCE), lambda: now[0])
    made.open()
    try:
        tokens, fresh = ProviderTokens(made), ECKey.generate_key("P-256", {"kid": "second"})
        issuer.keys.append(fresh)
        token = issuer.token(fresh, "ES256")
        asked = issuer.asked
        for _ in range(50):
            with pytest.raises(Unauthenticated):
                tokens.verify(token)
        assert asked == issuer.asked
        now[0] += 11
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                assert "machine:robot" == tokens.verify(token)[0].subject
                break
            except Unauthenticated:
                time.sleep(0.02)
        else:
            pytest.fail("the key was not learnt")
        assert issuer.asked <= asked + 4
    finally:
        issuer.keys.pop()
        made.close()


def test_while_the_provider_is_away_its_last_keys_count() -> None:
    short = Issuer()
    made = Provider(ProviderSettings(short.url, "headrace", AUDIENCE), lambda: float(NOW))
    made.refresh()
    short.close()
    with pytest.raises(Unreachable):
        made.refresh()
    assert "machine:robot" == ProviderTokens(made).verify(short.token())[0].subject


@pytest.mark.parametrize("url", ["http://login.example.org", "ftp://127.0.0.1", "", "https://", "login.example.org"])
def test_a_provider_without_tls_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="oidc-issuer"):
        ProviderSettings(url, "headrace")


def test_a_provider_that_says_it_is_another_is_refused(issuer: Issuer) -> None:
    made = Provider(ProviderSettings(issuer.url + "/", "headrace"))
    with pytest.raises(Unreachable, match="identifies itself as"):
        made.refresh()


def test_a_token_of_a_megabyte_is_refused_unread(issuer: Issuer, provider: Provider) -> None:
    class Source:
        policy = Policy()
        clock = staticmethod(lambda: float(NOW))

    front = Authentication(Source(), PlatformSecret("w"), ProviderTokens(provider))  # type: ignore[arg-type]
    token = issuer.token(filler="x" * 1_000_000).encode()
    assert len(token) > MAX_CREDENTIAL
    with pytest.raises(Unauthenticated, match="too long"):
        front.identify(Credentials(b"Bearer " + token))
    assert "machine:robot" == front.identify(Credentials(b"Bearer " + issuer.token().encode())).subject
