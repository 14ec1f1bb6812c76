"""Model code that tries what it must not, from inside ``predict`` in its pod; and whoever can write to the bucket.

The test cluster stores NetworkPolicies and enforces none, so nothing here is kept away by the network.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from kubernetes import client

from headrace_functions.names import VersionId
from headrace_functions.platform_secret import FUNCTION, function_proof, store_token
from headrace_functions.record import encode
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from support.collecting import record
from support.versions import version

from .installed import Installed, until

pytestmark = pytest.mark.timeout(600)

AWAKE = {"scaling": {"idle-timeout": "60s"}}
"""Long enough for what is looked at from inside."""
SHELL = '''
import glob, os, ssl, traceback, urllib.error, urllib.request

def http(method, url, body=None, **headers):
    """Status and body of an answer, or what kept it from coming."""
    asked = urllib.request.Request(url, body, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    unchecked = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(asked, timeout=5, context=unchecked) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, repr(error).encode()

def store(method, key, body=None, token=None, **headers):
    token = token or os.environ["HEADRACE_STORE_TOKEN"]
    return http(method, os.environ["HEADRACE_STORE_PROXY"] + "/" + key, body, Authorization="Bearer " + token, **headers)

def predict(model, code):
    """A shell for whoever sends Python: the worst that model code can be."""
    names = dict(globals())
    try:
        exec(code[0], names)
        said = names["said"]
    except Exception:
        said = traceback.format_exc()
    return {"said": [repr(said)] * len(code)}
'''
ADDER = "def predict(model, x):\n    return {'y': x + 1.0}\n"
SPY, VICTIM = VersionId("spy", 1), VersionId("victim", 1)


@dataclass
class Hostile:
    """A platform with a hostile function beside an honest one."""

    platform: Installed
    gateway: httpx.Client

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore(self.platform.storage)

    def run(self, code: str) -> Any:
        """What the code leaves as ``said``, run inside of the hostile function's ``predict``."""
        body = {"inputs": [{"name": "code", "shape": [1], "datatype": "BYTES", "data": [code]}]}
        answer = self.gateway.post("/v2/models/spy/infer", json=body)
        assert answer.status_code == 200, answer.text
        said = answer.json()["outputs"][0]["data"][0]
        assert "Traceback" not in said, said
        return eval(said)

    def ask_victim(self, name: str = "victim") -> float:
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
        answer = self.gateway.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
        assert answer.status_code == 200, answer.text
        return float(answer.json()["outputs"][0]["data"][0])

    def rows(self, version: VersionId) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.platform.headrace("log", "query", str(version), "--limit", "1000", "--json")
        return found

    @property
    def secret(self) -> str:
        return self.platform.secret("headrace-platform")["secret"]


@pytest.fixture(scope="module")
def hostile(guarded: Installed, tmp_path_factory: pytest.TempPathFactory) -> Any:
    platform = guarded
    folder = tmp_path_factory.mktemp("hostile")
    text = {"shape": "scalar", "type": "string", "profile": "none"}
    number = {"shape": "scalar", "type": "double", "profile": "numerical"}
    platform.apply_python(folder / "spy", "spy", SHELL, {"inputs": {"code": text}, "outputs": {"said": text}}, **AWAKE)
    victim = {"inputs": {"x": number}, "outputs": {"y": number}}
    platform.apply_python(folder / "victim", "victim", ADDER, victim, training="x\n1.0\n2.0\n3.0\n", **AWAKE)
    for name in ("spy-v1", "victim-v1"):
        until(lambda name=name: name in platform.kubectl("get", "isvc", "-o", "name"), f"{name} exists")  # type: ignore[misc]
        platform.kubectl("wait", "--for=condition=Ready", f"isvc/{name}", "--timeout=120s")
    shown = {"authorization": f"Bearer {platform.key}"}
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False, headers=shown) as gateway:
        found = Hostile(platform, gateway)
        assert 2.0 == found.ask_victim()
        yield found


def test_a_pod_holds_a_token_of_its_own_version_and_nothing_else(hostile: Hostile) -> None:
    environment = hostile.run("said = dict(os.environ)")
    assert [] == [name for name in environment if name.startswith("AWS_") or name == "HEADRACE_STORAGE"]
    own = store_token(hostile.secret, FUNCTION, SPY.service)
    assert own == environment["HEADRACE_STORE_TOKEN"]
    readable = hostile.run(
        "said = [open(f, errors='replace').read() for f in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/1/cmdline')]"
    )
    for text in (*environment.values(), *readable):
        assert hostile.secret not in text
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in text


def test_it_has_no_token_of_the_kubernetes_api_and_may_do_nothing_there(hostile: Hostile) -> None:
    assert [] == hostile.run("said = glob.glob('/var/run/secrets/*') + glob.glob('/run/secrets/*')")
    namespace = hostile.platform.namespace
    for path in (
        f"/api/v1/namespaces/{namespace}/secrets",
        f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices",
    ):
        status, _ = hostile.run(f"said = http('GET', 'https://kubernetes.default.svc{path}')")
        assert status in (0, 401, 403)
    account = client.CoreV1Api(hostile.platform.api).read_namespaced_service_account("headrace-function", namespace)
    assert account.automount_service_account_token is False


@pytest.mark.parametrize(
    "key",
    [
        layout.artifact(VICTIM),
        layout.training(VICTIM),
        layout.definition(VICTIM),
        layout.version_document(VICTIM),
        f"{layout.log_table(VICTIM)}/_delta_log/00000000000000000000.json",
        layout.release_signature(SPY),
        layout.PURPOSE,
        layout.ACCESS,
        "",
    ],
)
def test_it_reads_nothing_of_others(hostile: Hostile, key: str) -> None:
    """Training data, artifact, log and secrets; with its own token, and without one at the bucket itself."""
    if key in (layout.training(VICTIM), layout.artifact(VICTIM)):
        assert hostile.objects.exists(key), "there is something to steal"
    status, body = hostile.run(f"said = store('GET', {key!r})")
    assert (403, "forbidden") == (status, orjson.loads(body)["code"])
    bucket = urlsplit(hostile.platform.storage)
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{bucket.netloc}{bucket.path}/{key}"
    status, _ = hostile.run(f"said = http('GET', {url!r})")
    assert status in (0, 401, 403)


def test_what_it_knows_makes_no_other_token(hostile: Hostile) -> None:
    """Its own token under another name, and the proof that the gateway shows it, open nothing."""
    own, proof = store_token(hostile.secret, FUNCTION, SPY.service), function_proof(hostile.secret, SPY.service)
    for token in (own.replace(SPY.service, VICTIM.service), proof, f"function.victim-v1.{proof}", "", own[:-1]):
        status, _ = hostile.run(f"said = store('GET', {layout.artifact(VICTIM)!r}, token={token or 'none'!r})")
        assert 401 == status
    private = {"x-headrace-purpose": f"explain {proof}", "x-headrace-proof": proof}
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
    before = len(hostile.rows(VICTIM))
    asked = hostile.gateway.post("/v2/models/victim/infer", json={"inputs": [tensor]}, headers=private)
    assert 200 == asked.status_code
    until(lambda: len(hostile.rows(VICTIM)) == before + 1, "what is not the platform's question is logged")


@pytest.mark.parametrize(
    "key",
    [
        layout.version_document(VersionId("victim", 99)),
        layout.definition(VersionId("victim", 99)),
        layout.status(VersionId("victim", 99)) + "1.json",
        layout.version_document(SPY),
        layout.artifact(SPY),
        layout.inbox_segment(VICTIM.service, "f" * 32, 0),
        layout.inbox_segment("gateway", "f" * 32, 0),
        layout.CHANGES,
        "access/keys/mine/1.json",
    ],
)
def test_it_writes_nothing_but_its_own_records(hostile: Hostile, key: str) -> None:
    there = hostile.objects.get(key) if hostile.objects.exists(key) else None
    for more in ("", ", If_None_Match='*'"):
        status, _ = hostile.run(f"said = store('PUT', {key!r}, b'forged'{more})")
        assert 403 == status
    assert there == (hostile.objects.get(key) if hostile.objects.exists(key) else None)


def test_a_row_that_it_forges_of_another_model_is_set_aside(hostile: Hostile) -> None:
    """Into its own folder of the inbox it may write what it likes: a record that says it is the victim's, and one of its own."""
    forged = encode(record(version(VICTIM.model, VICTIM.number), "forged-row"))
    key = layout.inbox_segment(SPY.service, "f" * 32, 0)
    status, _ = hostile.run(f"said = store('PUT', {key!r}, {forged!r}, If_None_Match='*')")
    assert 201 == status
    until(lambda: not hostile.objects.exists(key), "the collector has taken the segment")
    assert [] == [row for row in hostile.rows(VICTIM) if row["request_id"] == "forged-row"]
    refused = hostile.platform.headrace("log", "refused", "--json")
    assert any("may not speak for others" in item["reason"] for item in refused), refused


def test_the_controller_does_not_answer_it(hostile: Hostile) -> None:
    base = f"http://headrace-controller.{hostile.platform.namespace}.svc"
    for method, path in (
        ("GET", "/api/v1/models"),
        ("GET", "/api/v1/models/victim/versions/1/logs"),
        ("DELETE", "/api/v1/models/victim"),
        ("POST", "/api/v1/models/victim/versions/1/signature"),
        ("GET", "/"),
        ("POST", "/v2/models/victim/infer"),
        ("GET", "/metrics"),
    ):
        status, body = hostile.run(f"said = http({method!r}, {base + path!r}, X_Forwarded_For='127.0.0.1')")
        assert (403, "forbidden") == (status, orjson.loads(body)["code"]), path
    assert "victim" in [m["name"] for m in hostile.platform.headrace("model", "list", "--json")]


def test_the_private_side_of_the_gateway_does_not_answer_it(hostile: Hostile) -> None:
    pods = client.CoreV1Api(hostile.platform.api).list_namespaced_pod(
        hostile.platform.namespace, label_selector="app.kubernetes.io/name=headrace-gateway"
    )
    address = pods.items[0].status.pod_ip
    for method, path in (("POST", "/changed"), ("GET", "/summary")):
        status, _ = hostile.run(f"said = http({method!r}, 'http://{address}:8081{path}')")
        assert 401 == status


def test_the_metadata_address_does_not_answer_it(hostile: Hostile) -> None:
    status, _ = hostile.run("said = http('GET', 'http://169.254.169.254/latest/meta-data/')")
    assert 0 == status


def test_code_that_a_build_runs_has_a_token_of_this_build_alone(hostile: Hostile, tmp_path: Path) -> None:
    """What a function does while it is tried: the same doors, from the build's Job."""
    code = SHELL + (
        "\ndef load(path):\n"
        "    import subprocess\n"
        "    everything = ' '.join(open(f, errors='replace').read() for f in glob.glob('/proc/[0-9]*/environ'))\n"
        "    token = [p for p in everything.split(chr(0)) if p.startswith('HEADRACE_STORE_TOKEN=')]\n"
        "    proxy = [p for p in everything.split(chr(0)) if p.startswith('HEADRACE_STORE_PROXY=')]\n"
        "    print('TOLD keys', 'AWS_SECRET_ACCESS_KEY' in everything)\n"
        "    os.environ['HEADRACE_STORE_PROXY'] = proxy[0].partition('=')[2]\n"
        "    stolen = token[0].partition('=')[2]\n"
        f"    for key in ({layout.artifact(VICTIM)!r}, {layout.training(VICTIM)!r}, 'models/', 'purpose'):\n"
        "        print('TOLD read', store('GET', key, token=stolen)[0])\n"
        f"    for key in ({layout.inbox_segment(VICTIM.service, 'f' * 32, 0)!r}, 'models/victim/versions/99/version.json'):\n"
        "        print('TOLD write', store('PUT', key, b'forged', token=stolen)[0])\n"
        f"    print('TOLD api', http('GET', 'http://headrace-controller.{hostile.platform.namespace}.svc/api/v1/models')[0])\n"
    )
    text = {"shape": "scalar", "type": "string", "profile": "none"}
    contract = {"inputs": {"code": text}, "outputs": {"said": text}}
    hostile.platform.apply_python(tmp_path / "built", "built", code, contract, **AWAKE)
    told = re.findall(r"TOLD (.*)", hostile.platform.headrace("version", "log", "built:1"))
    expected = ["keys False", *["read 403"] * 4, *["write 403"] * 2]
    assert expected == told[: len(expected)]
    # By its address once that is known, which takes a second; by its lack of credentials at once.
    assert told[len(expected)] in ("api 401", "api 403")


FORGERIES: dict[str, Callable[[Hostile, VersionId], None]] = {}


def forgery(make: Callable[[Hostile, VersionId], None]) -> Callable[[Hostile, VersionId], None]:
    FORGERIES[make.__name__.replace("_", " ")] = make
    return make


def forged_document(hostile: Hostile, it: VersionId) -> bytes:
    document = orjson.loads(hostile.objects.get(layout.version_document(VICTIM)))
    document |= {"number": it.number, "runtime": {"image": "docker.io/evil/miner:1", "lock": "", "layer": ""}}
    return orjson.dumps(document)


@forgery
def without_a_definition(hostile: Hostile, it: VersionId) -> None:
    hostile.objects.put(layout.version_document(it), forged_document(hostile, it))


@forgery
def whole_but_unsigned(hostile: Hostile, it: VersionId) -> None:
    definition = orjson.loads(hostile.objects.get(layout.definition(VICTIM))) | {"number": it.number}
    hostile.objects.put(layout.definition(it), orjson.dumps(definition))
    hostile.objects.put(layout.version_document(it), forged_document(hostile, it))


@forgery
def with_the_signature_of_another(hostile: Hostile, it: VersionId) -> None:
    whole_but_unsigned(hostile, it)
    hostile.objects.put(layout.release_signature(it), hostile.objects.get(layout.release_signature(VICTIM)))


@pytest.mark.parametrize("how", FORGERIES)
def test_a_release_that_somebody_puts_into_the_bucket_is_one_damaged_version(hostile: Hostile, how: str) -> None:
    """Here the forger has the bucket's key, which no function has."""
    it = VersionId("victim", 99 + list(FORGERIES).index(how))
    hostile.objects.put(layout.status(it) + "1.json", orjson.dumps({"state": "released", "reason": "", "at": ""}))
    FORGERIES[how](hostile, it)
    hostile.objects.put(layout.CHANGES, how.encode())
    hostile.platform.kubectl("rollout", "restart", "deployment/headrace-controller")
    hostile.platform.kubectl("rollout", "status", "deployment/headrace-controller", "--timeout=120s")

    until(lambda: str(it) in "".join(hostile.platform.headrace("status", "--json")["problems"]), "status shows it")
    listed = {v["id"]: v for v in hostile.platform.headrace("version", "list", "victim", "--json")}
    assert "failed" == listed[str(it)]["state"]
    assert 2.0 == hostile.ask_victim(), "the bare name means what it meant"
    asked = hostile.gateway.post(f"/v2/models/victim/versions/{it.number}/infer", json={"inputs": []})
    assert 500 == asked.status_code
    assert "damaged-document" == asked.json()["code"]
    assert it.service not in hostile.platform.kubectl("get", "isvc", "-o", "name")

    hostile.platform.headrace("version", "delete", str(it))
    assert str(it) not in [v["id"] for v in hostile.platform.headrace("version", "list", "victim", "--json")]
    assert [] == [p for p in hostile.platform.headrace("status", "--json")["problems"] if str(it) in p]
