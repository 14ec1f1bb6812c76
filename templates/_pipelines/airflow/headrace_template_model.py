"""Releases template-model, holds it against a labelled file and moves its alias, or stops with the reason.

Asks the platform over HTTP; headrace need not be installed where Airflow runs. Needs a connection "headrace": its host is the
platform's URL and its password an API key, e.g. AIRFLOW_CONN_HEADRACE='{"conn_type": "http", "host": "https://models.example.org", "password": "hrk_…"}'.
"""

import json
import tarfile
import tempfile
import time
from pathlib import Path

import httpx
import yaml
from airflow.sdk import BaseHook, dag, task
from airflow.sdk.exceptions import AirflowFailException

MODEL = "template-model"
PROJECT = Path(TEMPLATE_FOLDER)  # has headrace.yaml and the files that it names, on the worker
CHECK = PROJECT / TEMPLATE_CHECK
REQUIRE = TEMPLATE_REQUIRE
STAGING, ALIAS = "staging", "production"
POLL = 1.0  # seconds
FILES = ("training-data", "sample", "reference-data")


def platform() -> httpx.Client:
    connection = BaseHook.get_connection("headrace")
    headers = {"x-api-key": connection.password} if connection.password else {}
    return httpx.Client(base_url=f"{connection.host.rstrip('/')}/api/v1/models/{MODEL}", headers=headers, timeout=600)


def found(answer: httpx.Response) -> dict:
    """The answer's JSON. What the platform refuses (4xx) stops the run; what it cannot do now (5xx, 429) is retried by Airflow."""
    if answer.is_client_error and answer.status_code != 429:
        raise AirflowFailException(answer.json().get("detail", answer.text))
    answer.raise_for_status()
    return answer.json()


def definition() -> dict:
    read = yaml.safe_load((PROJECT / "headrace.yaml").read_text())
    if isinstance(read.get("requirements"), str):
        lines = (PROJECT / read["requirements"]).read_text().splitlines()
        read["requirements"] = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    return read


@dag(dag_id="headrace_template_model", schedule=None, catchup=False, max_active_runs=1, tags=["headrace"], default_args={"retries": 2})
def deliver():
    @task
    def release() -> int:
        """Send the model, wait for its build; the same files again are the same version."""
        made = definition()
        with tempfile.TemporaryDirectory() as folder, platform() as client:
            archive = Path(folder) / "payload.tar.gz"
            with tarfile.open(archive, "w:gz") as tar:
                for name in made["payload"]:
                    tar.add(PROJECT / name, arcname=name)
            files = {name: (Path(made[name]).name, (PROJECT / made[name]).read_bytes()) for name in FILES if name in made}
            files["payload"] = (archive.name, archive.read_bytes())
            version = found(client.post("/versions", data={"definition": json.dumps(made)}, files=files))["version"]
            offset, done = 0, False
            while not done:
                part = found(client.get(f"/versions/{version['number']}/build-log", params={"offset": offset}))
                offset, done = part["offset"], part["done"]
                print(part["text"], end="")
                time.sleep(0 if done else POLL)
            version = found(client.get(f"/versions/{version['number']}"))
        if version["state"] != "released":
            raise AirflowFailException(f"{version['id']} {version['state']}: {version['reason']}")
        return version["number"]

    @task
    def stage(number: int) -> int:
        with platform() as client:
            found(client.put(f"/aliases/{STAGING}", json={"version": number}))
        return number

    @task
    def evaluate(number: int) -> int:
        """Fails without a retry where a requirement does not hold."""
        with platform() as client:
            form = {"require": REQUIRE, "baseline": f"{MODEL}@{ALIAS}", **TEMPLATE_TARGET}
            path = f"/versions/{number}/evaluations"
            now = found(client.post(path, data=form, files={"data": (CHECK.name, CHECK.read_bytes())}))
            while now["state"] == "running":
                time.sleep(POLL)
                now = found(client.get(f"{path}/{now['id']}"))
        print(json.dumps(now, indent=2))
        if now["state"] == "interrupted":
            raise RuntimeError("the evaluation was cut short by a restart of the platform")
        if not now["passed"]:
            raise AirflowFailException(f"{now['version']} is not delivered: {now['reason']}")
        return number

    @task
    def promote(number: int) -> None:
        with platform() as client:
            found(client.put(f"/aliases/{ALIAS}", json={"version": number}))

    promote(evaluate(stage(release())))


deliver()
