"""Keys, grants and sessions: every route asks what it declares, nothing of others is shown, and nobody locks everybody out."""

import re
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from controller_support import FakeServices, make_platform, release
from headrace_controller.access import current
from headrace_controller.access.control import AccessControl
from headrace_controller.api.application import create_app
from headrace_controller.api.permissions import every
from headrace_controller.definitions import SequenceDefinition
from headrace_controller.incidents.limits import Limits
from headrace_controller.incidents.model import Movement
from headrace_controller.pages import blueprint, login
from headrace_controller.pages.permission_matrix import application, routes
from headrace_controller.service.jobs import JobRequest
from headrace_controller.service.platform import Platform
from headrace_controller.service.schedules import Schedule
from headrace_functions.access.roles import ROLES, Grant, RoleOn
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import Conflict
from headrace_functions.names import VersionId

OURS = {"sec-fetch-site": "same-origin"}


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}", **OURS}


def key(platform: Platform, name: str, *roles: str, owner: str = "user:ann") -> str:
    return platform.trust.control.create_key(name, owner, tuple(RoleOn.parse(r) for r in roles)).text


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """One that tests may lock up."""
    found = make_platform(tmp_path / "home", auth=True)
    key(found, "root", "admin")
    return found


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> tuple[Platform, Flask]:
    found = make_platform(tmp_path_factory.mktemp("shared") / "home", auth=True)
    key(found, "root", "admin")
    return found, create_app(found, blueprint(found))


@pytest.fixture
def shared(app: tuple[Platform, Flask]) -> Platform:
    """One that tests share, so they name what they make by ``fresh``."""
    return app[0]


@pytest.fixture
def client(app: tuple[Platform, Flask]) -> FlaskClient:
    """A browser of the shared platform."""
    return app[1].test_client()


def fresh(name: str) -> str:
    return f"{name}-{time.monotonic_ns()}"


# The matrix

with tempfile.TemporaryDirectory() as _folder:
    DECLARED = dict(routes(application(Path(_folder))))


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> tuple[FlaskClient, dict[str, str]]:
    """A client, and a key of each role on all names."""
    found = make_platform(tmp_path_factory.mktemp("matrix") / "home", auth=True)
    texts = {role: key(found, f"the-{role}", role) for role in ROLES}
    return create_app(found, blueprint(found)).test_client(), texts


BODIES: dict[str, Any] = {
    "PUT /api/v1/sequences/{name}": {"name": "ghost", "pipeline": [[{"model": "ghost:1"}]]},
    "POST /api/v1/jobs": {"model": "ghost:1"},
    "PUT /api/v1/streams/{name}": {
        "name": "ghost",
        "model": "ghost:1",
        "brokers": ["127.0.0.1:1"],
        **{topic: topic for topic in ("source", "destination", "errors")},
    },
    "POST /api/v1/streams/{name}/reset": {"to": "earliest"},
    "PUT /api/v1/schedules/{name}": {"model": "ghost:1", "cron": "0 * * * *"},
    "POST /api/v1/explanations": {"model": "ghost:1", "request_id": "r"},
    "POST /api/v1/replays": {"source": "ghost:1", "target": "ghost:2"},
    "PUT /api/v1/metrics/{model}/{number}/{name}": {"model": "ghost:1", "threshold": 1},
}
ASK = "?version=ghost:1&first=ghost:1&second=ghost:1&model=ghost"


def ask(client: FlaskClient, route: str, headers: dict[str, str]) -> TestResponse:
    """A request of a route about names that nothing has."""
    method, path = route.split(" ", 1)
    path = re.sub(r"\{(number|file)\}", "77", path)
    path = re.sub(r"\{kind\}", "drift", path)
    path = re.sub(r"\{\w+\}", "ghost", path)
    form = None if path.startswith("/api/") or method == "GET" else {"model": "ghost", "version": "ghost:1"}
    return client.open(
        path + ASK * (method == "GET" and not path.startswith("/api/")),
        method=method,
        headers=headers,
        json=BODIES.get(route, {} if path.startswith("/api/") and method in ("PUT", "POST") else None),
        data=form,
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_use_the_routes_that_the_matrix_names_and_no_other(
    callers: tuple[FlaskClient, dict[str, str]], role: str
) -> None:
    client, texts = callers
    wrong = []
    for route, requirement in DECLARED.items():
        if "/static/" in route or route in ("POST /login", "POST /logout"):
            continue
        wanted = every(requirement)
        allowed = all(access.allowed_to(role) for access in wanted)  # type: ignore[arg-type]
        answer = ask(client, route, bearer(texts[role]))
        answer.close()
        # What names a run, an incident or a replay is looked up first: one that is not there is told alike to all.
        unknown = any(
            a.scope == "names" and re.search("the (run|incident|replay|schedule|stream)$", a.words) for a in wanted
        )
        refused = answer.status_code in ((403, 404) if unknown else (403,))
        if (answer.status_code in (401, 403)) if allowed else not refused:
            wrong.append((route, answer.status_code))
    assert [] == wrong


def test_without_credentials_only_what_is_public_answers(callers: tuple[FlaskClient, dict[str, str]]) -> None:
    wrong = []
    for route, requirement in DECLARED.items():
        if "/static/" in route or all(a.scope == "anybody" for a in every(requirement)):
            continue
        answer = ask(callers[0], route, OURS)
        answer.close()
        if route.split(" ")[1].startswith("/api/") or route.endswith(".json") or route == "GET /metrics":
            told = answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        else:
            told = answer.status_code == 303 and answer.headers["location"].startswith("/login?next=")
        if not told:
            wrong.append((route, answer.status_code))
    assert [] == wrong
    public = {"GET /login", "POST /login", "GET /login/provider", "GET /login/callback"}
    public |= {"GET /api/v1/access/login"}
    assert public | {"GET /api/v1/openapi.json", "GET /static/{filename}"} == {
        route for route, r in DECLARED.items() if all(a.scope == "anybody" for a in every(r))
    }


def test_a_route_that_declares_nothing_is_refused_and_found(tmp_path: Path) -> None:
    found = make_platform(tmp_path / "home")
    app = create_app(found)
    app.add_url_rule("/secret", "secret", lambda: "told")
    assert app.test_client().get("/secret").status_code == 403
    with pytest.raises(KeyError):
        list(routes(app))


# What is shown


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Platform, FlaskClient]:
    """A platform with everything twice: once named ``apple``, once ``zebra``."""
    services = FakeServices(
        [
            {"name": f"{m}-v1", "version": f"{m}:1", "state": "ready", "replicas": 1, "reason": ""}
            for m in ("apple", "zebra")
        ]
    )
    found = make_platform(tmp_path_factory.mktemp("two") / "home", services, auth=True)
    found.jobs._markers.mkdir(parents=True)
    for name in ("apple", "zebra"):
        release(found.catalog, name)
        found.aliases.move(name, f"{name}-prod", 1)
        found.sequences.apply(
            SequenceDefinition.model_validate({"name": f"{name}-seq", "pipeline": [[{"model": f"{name}:1"}]]})
        )
        found.rules.put(name, Limits("errors", "", {"low": 0.5}))
        found.schedules.put(Schedule(f"{name}-nightly", "0 3 * * *", f"{name}:1"))
        found.jobs.start(JobRequest("drift", VersionId(name, 1), "native", {"window": "1h"}))
        now = datetime.now(UTC)
        found.incidents.store.all(now)
        found.incidents.store.open([Movement(f"{name}:1", "errors", "", "", now, "severe", 0.5, f"{name} fails")], now)
    return found, create_app(found, blueprint(found)).test_client()


def shown(client: FlaskClient, route: str, text: str, name: str, about: str = "version") -> TestResponse:
    path = route.split(" ", 1)[1]
    path = re.sub(r"\{(number|file)\}", "1", path)
    path = path.replace("{model}", name).replace("{kind}", "drift")
    path = path.replace("{name}", f"{name}-seq" if "/sequences/" in path else name)
    path = path.replace("/schedules/" + name, f"/schedules/{name}-nightly")
    path = re.sub(r"\{alias\}", f"{name}-prod", path)
    path = re.sub(r"\{\w+\}", "ghost", path)
    return client.get(f"{path}?{about}={name}:1" if not path.startswith("/api/") else path, headers=bearer(text))


READS = [r for r in DECLARED if r.startswith("GET ") and "/static/" not in r and "events" not in r]


def test_nothing_of_another_grant_is_shown_anywhere(two: tuple[Platform, FlaskClient]) -> None:
    platform, client = two
    text = key(platform, "reader", "analyst:apple*", "operator:apple*", "developer:apple*")
    leaks = []
    for route in READS:
        for about in ("apple", "zebra"):
            answer = shown(client, route, text, about)
            # "There is no 'zebra'" and the link to the twin repeat the question.
            said = re.sub(r"'zebra'|\"instance\":\"[^\"]*\"|version(=|%3D)zebra(:|%3A)1", "", answer.text)
            if answer.status_code != 403 and "zebra" in said:
                leaks.append((route, about, answer.status_code))
            answer.close()
    assert [] == leaks


def test_lists_show_what_is_ours(two: tuple[Platform, FlaskClient]) -> None:
    platform, client = two
    text = key(platform, f"seer-{time.monotonic_ns()}", "viewer:apple*")
    for path in ("models", "versions", "sequences", "services", "schedules", "jobs", "incidents", "rules"):
        answer = client.get(f"/api/v1/{path}", headers=bearer(text))
        assert "apple" in answer.text, path
    assert "apple" in client.get("/", headers=bearer(text)).text


def test_what_is_kept_for_many_viewers_is_kept_by_what_they_may_see(two: tuple[Platform, FlaskClient]) -> None:
    platform, client = two
    apple, zebra = (key(platform, f"{n}-{time.monotonic_ns()}", f"viewer:{n}*") for n in ("apple", "zebra"))
    for text, ours, others in ((apple, "apple", "zebra"), (zebra, "zebra", "apple"), (apple, "apple", "zebra")):
        for path in ("/?parts=main,incidents", "/", "/metrics"):
            said = client.get(path, headers=bearer(text)).text
            assert ours in said, path
            assert others not in said, path


# Keys and grants


def test_a_key_is_shown_once(shared: Platform, client: FlaskClient) -> None:
    root = key(shared, "second-root", "admin")
    made = client.post(
        "/api/v1/access/keys", json={"name": "ci", "roles": ["caller:churn-*"], "expires": "90d"}, headers=bearer(root)
    )
    assert made.status_code == 201
    text = made.json["key"]
    listed = client.get("/api/v1/access/keys", headers=bearer(root))
    assert text.rsplit("_", 1)[1] not in listed.text
    mine = next(k for k in listed.json["items"] if k["name"] == "ci")
    assert mine["owner"] == "user:ann"
    assert mine["roles"] == ["caller:churn-*"]
    assert mine["state"] == "active"
    assert (
        client.post("/api/v1/access/keys", json={"name": "ci", "roles": ["caller"]}, headers=bearer(root)).status_code
        == 409
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "X", "roles": ["caller"]}, "name"),
        ({"name": "x", "roles": []}, "roles"),
        ({"name": "x", "roles": ["king"]}, "roles"),
        ({"name": "x", "roles": ["caller:A"]}, "roles"),
        ({"name": "x", "roles": ["caller"], "owner": "ann"}, "owner"),
        ({"name": "x", "roles": ["caller"], "expires": "0s"}, None),
        ({"name": "x", "roles": ["caller"], "expires": "99999d"}, "expires"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_by_field(
    shared: Platform, client: FlaskClient, body: dict[str, Any], field: str | None
) -> None:
    answer = client.post("/api/v1/access/keys", json=body, headers=bearer(key(shared, fresh("second"), "admin")))
    assert answer.status_code == 400
    assert field is None or answer.json["field"] == field


def lock_out(control: AccessControl) -> dict[str, Callable[[], object]]:
    return {
        "revoke": lambda: control.revoke_key("root"),
        "block the owner": lambda: control.block("user:ann"),
        "block the key": lambda: control.block("key:root"),
    }


@pytest.mark.parametrize("how", ["revoke", "block the owner", "block the key"])
def test_the_last_administrator_stays(platform: Platform, how: str) -> None:
    control = platform.trust.control
    before = control.administrators()
    with pytest.raises(Conflict, match="nobody who can administer"):
        lock_out(control)[how]()
    assert before == control.administrators() == ["key:root"]

    key(platform, "second", "admin", owner="user:bob")
    lock_out(control)[how]()
    assert ["key:second"] == control.administrators()


def test_a_grant_that_made_the_last_administrator_stays(platform: Platform) -> None:
    control = platform.trust.control
    key(platform, "ops", "operator", owner="user:bob")
    control.put_grant(Grant("ops-admin", ("key:ops",), "admin", ("*",)))
    control.revoke_key("root")
    for change in (
        lambda: control.delete_grant("ops-admin"),
        lambda: control.put_grant(Grant("ops-admin", ("key:ops",), "viewer", ("*",))),
        lambda: control.put_grant(Grant("ops-admin", ("key:ops",), "admin", ("churn",))),
        lambda: control.put_grant(Grant("ops-admin", ("user:carl",), "admin", ("*",))),  # nobody can log in as a user
    ):
        with pytest.raises(Conflict, match="nobody who can administer"):
            change()
    assert ["key:ops"] == control.administrators()


def test_with_a_provider_a_person_may_be_the_last_administrator(platform: Platform) -> None:
    control = AccessControl(platform.catalog.documents, platform.trust.control.source, people=lambda: True)
    control.put_grant(Grant("admins", ("group:admins",), "admin", ("*",)))
    control.revoke_key("root")
    assert ["group:admins"] == control.administrators()


def test_an_owner_of_the_store_gets_in_again(platform: Platform) -> None:
    documents = platform.catalog.documents
    again = AccessControl(documents, PolicySource(documents)).admin_key()
    platform.trust.control.source.refresh()
    assert f"key:{again.key.name}" in platform.trust.control.administrators()


def test_a_grant_counts_at_once_and_says_what_it_fits(shared: Platform, client: FlaskClient) -> None:
    release(shared.catalog, "churn-eu")
    ann, root = key(shared, "ann-growth", "viewer:nothing"), key(shared, fresh("second"), "admin")
    assert client.get("/api/v1/models/churn-eu", headers=bearer(ann)).status_code == 403
    body = {"name": "growth", "subjects": "key:ann-growth", "role": "viewer", "names": ["churn-*", "ghost"]}
    answer = client.put("/api/v1/access/grants/growth", json=body, headers=bearer(root))
    assert answer.json["changed"] is True
    assert answer.json["matches"] == 1
    assert client.get("/api/v1/models/churn-eu", headers=bearer(ann)).status_code == 200
    assert client.put("/api/v1/access/grants/growth", json=body, headers=bearer(root)).json["changed"] is False
    assert client.delete("/api/v1/access/grants/growth", headers=bearer(root)).status_code == 204
    assert client.get("/api/v1/models/churn-eu", headers=bearer(ann)).status_code == 403


def test_a_sequence_gives_nobody_models_that_they_may_not_call(shared: Platform, client: FlaskClient) -> None:
    release(shared.catalog, "secret")
    text = key(shared, fresh("ops"), "operator:ours-*")
    body = {"name": "ours-seq", "pipeline": [[{"model": "secret:1"}]]}
    answer = client.put("/api/v1/sequences/ours-seq", json=body, headers=bearer(text))
    assert answer.status_code == 403
    assert "secret" in answer.json["detail"]


def test_what_people_do_to_an_incident_bears_their_name(shared: Platform, client: FlaskClient) -> None:
    release(shared.catalog, "churn")
    now = datetime.now(UTC)
    shared.incidents.store.all(now)
    shared.incidents.store.open([Movement("churn:1", "errors", "", "", now, "severe", 0.5, "it fails")], now)
    text = key(shared, "maya-incident", "operator:churn")
    client.post("/api/v1/incidents/1/acknowledge", json={"by": "somebody else"}, headers=bearer(text))
    assert "key:maya-incident" == shared.incidents.get(1).acknowledged_by


# Sessions


def log_in(client: FlaskClient, text: str, **form: str) -> TestResponse:
    return client.post("/login", data={"key": text, **form}, headers=OURS)


def cookie(client: FlaskClient) -> str:
    found = client.get_cookie("headrace")
    return found.value if found is not None else ""


def test_a_key_becomes_a_session_that_scripts_and_other_sites_cannot_use(shared: Platform, client: FlaskClient) -> None:
    text = key(shared, "maya-session", "operator:churn")
    answer = log_in(client, text, next="/models/churn")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/models/churn"
    said = answer.headers["set-cookie"]
    assert all(word in said for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert text not in said
    assert client.get("/").status_code == 200
    assert client.get("/api/v1/access/whoami").json["subject"] == "key:maya-session"
    assert ("key:maya-session", "log_in") in [(e.who, e.what) for e in audited(shared, 20)]


def test_a_cookie_of_a_platform_behind_tls_is_marked_for_it(tmp_path: Path) -> None:
    found = make_platform(tmp_path / "home", auth=True, public_url="https://models.example.org")
    client = create_app(found, blueprint(found)).test_client()
    said = log_in(client, key(found, "root", "admin")).headers["set-cookie"]
    assert said.startswith("__Host-headrace=")
    assert "Secure" in said


@pytest.mark.parametrize("wrong", ["", "hrk_", "x" * 10_000, "hrk_000000000000_" + "0" * 64])
def test_a_wrong_key_begins_no_session(shared: Platform, client: FlaskClient, wrong: str) -> None:
    answer = log_in(client, wrong)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert len(wrong) < 5 or wrong not in answer.text


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "/a\r\nx: y",
        " /x",
        "/" + "a" * 3000,
    ],
)
def test_a_login_leads_nowhere_else(shared: Platform, client: FlaskClient, to: str) -> None:
    assert "/" == login.local_path(to)
    assert log_in(client, key(shared, fresh("maya"), "viewer"), next=to).headers["location"] == "/"


def test_a_login_takes_over_no_session_that_was_there_before(shared: Platform, client: FlaskClient) -> None:
    text = key(shared, fresh("maya"), "viewer")
    client.set_cookie("headrace", "planted")
    log_in(client, text)
    first = cookie(client)
    assert first not in ("planted", "")
    log_in(client, text)
    assert cookie(client) != first
    client.set_cookie("headrace", first)
    assert client.get("/api/v1/access/whoami").status_code == 401


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}]
)
@pytest.mark.parametrize("path", ["/api/v1/access/sessions/end", "/logout", "/runs"])
def test_another_site_changes_nothing_by_a_session(
    shared: Platform, client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    log_in(client, key(shared, fresh("maya"), "admin"))
    assert client.post(path, headers=headers).status_code == 403
    assert client.get("/api/v1/access/whoami").status_code == 200


def test_a_session_ends_with_its_key(shared: Platform, client: FlaskClient) -> None:
    log_in(client, key(shared, "maya-ends", "viewer"))
    shared.trust.control.revoke_key("maya-ends")
    assert client.get("/api/v1/access/whoami").status_code == 401
    assert client.get("/").status_code == 303


def test_logging_out_everywhere_ends_the_sessions_of_all_browsers(shared: Platform, client: FlaskClient) -> None:
    text = key(shared, fresh("maya"), "viewer")
    other = client.application.test_client()
    for browser in (client, other):
        log_in(browser, text)
    client.post("/logout", data={"everywhere": "1"}, headers=OURS)
    for browser in (client, other):
        assert browser.get("/api/v1/access/whoami").status_code == 401


def test_a_token_is_given_anew_each_hour_and_the_old_one_ends(platform: Platform) -> None:
    now = [1000.0]
    sessions = type(platform.trust.sessions)(platform.catalog.documents, lambda: now[0])
    token, session = sessions.begin("user:ann", groups=("growth",))
    assert not sessions.due(session)
    now[0] += 3601
    assert sessions.due(sessions.find(token))
    fresh = sessions.rotate(token, session)
    assert ("user:ann", ("growth",)) == (sessions.find(fresh).subject, sessions.find(fresh).groups)
    assert not sessions.due(sessions.find(token))
    now[0] += 61
    assert sessions.find(fresh).subject == "user:ann"
    with pytest.raises(Exception, match="ended"):
        sessions.find(token)
    now[0] += 12 * 3600
    with pytest.raises(Exception, match="ended"):
        sessions.find(fresh)


def test_of_a_session_the_store_has_a_digest_alone(shared: Platform, client: FlaskClient) -> None:
    log_in(client, key(shared, fresh("maya"), "viewer"))
    objects = shared.catalog.documents.objects
    assert not any(cookie(client).encode() in i.key.encode() + objects.get(i.key) for i in objects.walk("sessions/"))


def test_a_thread_that_answered_one_asks_for_nobody_afterwards(shared: Platform, client: FlaskClient) -> None:
    client.get("/api/v1/models", headers=bearer(key(shared, fresh("maya"), "viewer:a")))
    assert current.caller().subject == "platform"


# The audit


def audited(platform: Platform, count: int = 1) -> list[Any]:
    platform.trust.refusals.write()
    return [entry for _, entry in islice(platform.trust.audit.newest(), count)]


def test_a_change_says_who_did_what_from_where_and_what_was_there_before(shared: Platform, client: FlaskClient) -> None:
    release(shared.catalog, "audited")
    release(shared.catalog, "audited")
    audited(shared)  # so that what is waiting comes first
    name = fresh("ops")
    text = key(shared, name, "operator:audited")
    for version in (1, 2):
        client.put(
            "/api/v1/models/audited/aliases/prod",
            json={"version": version},
            headers={**bearer(text), "x-request-id": f"move-{version}", "x-headrace-peer": "192.0.2.7"},
        )
    found = audited(shared)[0]
    assert (f"key:{name}", "move_alias", "done", 200) == (found.who, found.what, found.outcome, found.status)
    assert ("/api/v1/models/audited/aliases/prod", "move-2", "192.0.2.7") == (found.on, found.request_id, found.origin)
    change = found.changes[0]
    assert ("alias", "prod", 1, 2) == (
        change["kind"],
        change["name"],
        change["before"]["version"],
        change["after"]["version"],
    )


def test_a_refusal_is_audited_and_a_read_is_not(shared: Platform, client: FlaskClient) -> None:
    name = fresh("nosy")
    text = key(shared, name, "viewer:nothing")
    before = shared.trust.audit.head().number
    client.get("/api/v1/models", headers=bearer(text))
    client.get("/api/v1/models/ghost", headers=bearer(text))
    found = audited(shared)[0]
    assert (f"key:{name}", "get_model", "refused", 403) == (found.who, found.what, found.outcome, found.status)
    assert "'view' on ghost" in found.reason
    assert before + 1 == shared.trust.audit.head().number


def test_a_wrong_key_is_audited_by_its_prefix_alone(shared: Platform, client: FlaskClient) -> None:
    wrong = "hrk_0123456789ab_" + "0" * 64
    client.get("/api/v1/models", headers=bearer(wrong))
    found = audited(shared)[0]
    assert ("hrk_0123456789ab", "refused", 401) == (found.who, found.outcome, found.status)


def test_what_was_not_done_is_no_change(shared: Platform, client: FlaskClient) -> None:
    text = key(shared, fresh("root"), "admin")
    before = audited(shared)
    assert client.put("/api/v1/models/ghost/aliases/prod", json={"version": 1}, headers=bearer(text)).status_code == 404
    assert before == audited(shared)


def test_no_secret_is_in_the_audit(shared: Platform, client: FlaskClient) -> None:
    text = key(shared, fresh("root"), "admin")
    made = client.post("/api/v1/access/keys", json={"name": fresh("k"), "roles": ["viewer"]}, headers=bearer(text)).json
    address = "https://hooks.example.org/services/T0/B0/very-secret"
    client.put("/api/v1/notification-targets/chat", json={"way": "slack", "address": address}, headers=bearer(text))
    log_in(client, text)
    objects = shared.catalog.documents.objects
    kept = b"".join(objects.get(info.key) for info in objects.walk("audit/"))
    assert b"create_key" in kept
    assert b"put_target" in kept
    for secret in (text, made["key"], made["key"].rsplit("_", 1)[1], "very-secret", cookie(client)):
        assert secret.encode() not in kept


def test_the_audit_is_listed_filtered_and_verified(platform: Platform) -> None:
    client = create_app(platform, blueprint(platform)).test_client()
    headers = bearer(key(platform, "boss", "admin"))
    for name in ("one", "two"):
        client.post("/api/v1/access/keys", json={"name": name, "roles": ["viewer"]}, headers=headers)
    client.delete("/api/v1/access/keys/two", headers=headers)
    listed = client.get("/api/v1/audit?what=revoke", headers=headers).json["items"]
    assert ["revoke_key"] == [e["what"] for e in listed]
    assert [] == client.get("/api/v1/audit?who=user:nobody", headers=headers).json["items"]
    verdict = client.get("/api/v1/audit/verify", headers=headers).json
    assert (3, "") == (verdict["entries"], verdict["fault"])
    assert "revoke_key" in client.get("/audit", headers=headers).text
    # The end is cut off in the store: the home remembers it.
    platform.catalog.documents.objects.delete("audit/000000000/000000000003.json")
    assert "the end is missing" in client.get("/api/v1/audit/verify", headers=headers).json["fault"]
    assert client.get("/api/v1/audit/verify?head=nonsense", headers=headers).status_code == 400


def test_the_page_of_access_makes_and_revokes_keys(shared: Platform, client: FlaskClient) -> None:
    log_in(client, key(shared, fresh("boss"), "admin"))
    name = fresh("page")
    made = client.post(
        "/access/keys", data={"name": name, "roles": "caller:churn viewer", "expires": "1d"}, headers=OURS
    )
    text = made.text.split('secret">')[1].split("<")[0]
    assert text not in client.get("/access").text
    assert (
        f"key:{name}"
        == client.application.test_client().get("/api/v1/access/whoami", headers=bearer(text)).json["subject"]
    )
    assert client.post(f"/access/keys/{name}/revoke", headers=OURS).status_code == 303
    assert client.application.test_client().get("/api/v1/access/whoami", headers=bearer(text)).status_code == 401
