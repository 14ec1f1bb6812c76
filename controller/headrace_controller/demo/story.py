"""The steps of ``make demo``. Each checks its result; the first that does not hold ends the story with exit code 1."""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np

from headrace_controller.demo.narration import CheckFailedError, Narrator
from headrace_controller.demo.projects import SHIFTED, Traffic, write_projects
from headrace_controller.environments.named import Engine, python_for
from headrace_functions.errors import InvalidInput

REQUESTS = 600
REPORTS = Path("headrace-demo")
"""Where the demo leaves its reports, below the current folder."""

PAGES = {
    "/models/cancer?version=1": "which fields moved, and since when",
    "/requests?version=cancer:1": "the rows behind it",
    "/sequences/diagnosis": "how requests flow",
}
"""Pages that the last step opens, and what each is for."""


class Story:
    def __init__(self, folder: Path, environments: Path, *, keep: bool = False) -> None:
        """``keep`` leaves the platform up at the end."""
        self._keep = keep
        self._folder = folder
        self._home = folder / "home"
        self._home.mkdir()
        environments.mkdir(parents=True, exist_ok=True)
        # Built once and kept, so that the demo's second run takes a minute; everything else is made anew.
        (self._home / "environments").symlink_to(environments.resolve())
        self._tell = Narrator(self._home)
        self._traffic: Traffic
        self._url = ""
        self._odd = ""

    def tell(self) -> None:
        steps: list[Callable[[], None]] = [
            self.train, self.start, self.apply, self.predict, self.sleep_and_wake, self.compose,
            self.send_traffic, self.read_the_log, self.find_drift, self.explain, self.look,
        ]  # fmt: skip
        try:
            for step in steps:
                step()
        except BaseException:
            self._keep = False
            raise
        finally:
            if not self._keep:
                self.stop()
        click.echo()
        click.secho(f"    The whole story took {self._tell.elapsed():.0f} s. Reports: {REPORTS.resolve()}", bold=True)

    @property
    def url(self) -> str:
        return self._url

    def train(self) -> None:
        self._tell.step("Train: a scaling step and three classifiers of breast-cancer data, one of handwritten digits")
        self._traffic = write_projects(self._folder / "projects")
        self._tell.check("each project has an artifact, training data and ten lines of YAML", True)

    def start(self) -> None:
        self._tell.step("Start the platform: one command, no Docker, no root")
        self._tell.run("up", "--detach", "--port", "0")
        status = self._tell.ask("status")
        self._url = status["url"]
        self._tell.check(f"it answers at {self._url}", httpx.get(f"{self._url}/v2/health/ready").is_success)

    def apply(self) -> None:
        self._tell.step("Apply: artifact → environment, signature, profile → an immutable version")
        for project in ("scale", "cancer-v1", "cancer-v2", "cancer-v3", "digits"):
            self._tell.run("apply", "-q", "-f", str(self._folder / "projects" / project))
        versions = {v["id"]: v["state"] for v in self._tell.ask("version", "list")}
        expected = dict.fromkeys(("cancer-scale:1", "cancer:1", "cancer:2", "cancer:3", "digits:1"), "released")
        self._tell.check("five versions are released", versions == expected)
        self._tell.run("apply", "-q", "-f", str(self._folder / "projects" / "digits"))
        self._tell.check(
            "the same content applied again makes no new version",
            len(self._tell.ask("version", "list")) == len(expected),
        )

    def predict(self) -> None:
        self._tell.step("Predict: any Open Inference Protocol client, or the command line")
        self._tell.run("predict", "digits", "-f", str(self._rows("digits")))
        reply = self._infer("cancer:1", self._scaled(self._traffic.rows[:1]))
        outputs = {o["name"]: o["data"] for o in reply.json()["outputs"]}
        self._tell.check(
            f"cancer:1 says {outputs['label'][0]} with probability {max(outputs['probabilities']):.3f}",
            reply.is_success,
        )

    def sleep_and_wake(self) -> None:
        self._tell.step("Sleep: a version that nobody asks has no process; the next request wakes it")
        deadline = time.monotonic() + 30
        while self._state("digits:1") != "asleep" and time.monotonic() < deadline:
            time.sleep(0.2)
        self._tell.run("service", "list")
        self._tell.check("digits:1 is asleep", self._state("digits:1") == "asleep")
        rows = np.loadtxt(self._rows("digits"), delimiter=",", skiprows=1)[:1, :-1]
        with httpx.Client(base_url=self._url) as client:
            client.get("/v2")  # the connection is there: what follows is the wake-up alone
            started = time.perf_counter()
            reply = self._infer("digits", rows, client=client)
            milliseconds = (time.perf_counter() - started) * 1000
        self._tell.check(f"asleep → answered in {milliseconds:.0f} ms", reply.is_success)

    def compose(self) -> None:
        self._tell.step("Compose: scaling → cancer:1 (80 %) or cancer:2 (20 %), cancer:3 as a shadow")
        self._tell.run("apply", "-f", str(self._folder / "projects" / "sequence.yaml"))
        self._tell.run("sequence", "list")
        self._tell.check(
            "diagnosis can be called like a model", self._infer("diagnosis", self._traffic.rows[:1]).is_success
        )

    def send_traffic(self) -> None:
        self._tell.step(
            f"Send {REQUESTS} requests; in the second half an instrument reads {', '.join(SHIFTED)} too large"
        )
        statuses: Counter[int] = Counter()
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for i in range(REQUESTS):
                rows = self._traffic.rows if i < REQUESTS / 2 else self._traffic.shifted
                reply = self._infer("diagnosis", rows[i % len(rows)][None], client=client)
                statuses[reply.status_code] += 1
            odd = self._infer("diagnosis", self._traffic.odd[None], client=client)
            self._odd = odd.headers["x-request-id"]
        self._tell.check(f"all {REQUESTS} are answered", statuses == {200: REQUESTS} and odd.is_success)

    def read_the_log(self) -> None:
        self._tell.step("Read the log: every exchange of every stage, variant and shadow, in an open Delta table")
        expected = REQUESTS + 2  # the traffic, the odd one, and the first call of the sequence
        counts = self._wait_for_log(expected)
        self._tell.run(
            "log", "query", "cancer:1", "--limit", "3", "--columns", "received,request_id,latency_ms,variant,out.label"
        )
        self._tell.check(
            f"v1 answered {counts['cancer:1']}, v2 {counts['cancer:2']}, and no request is missing or doubled", True
        )
        self._tell.check("the shadow saw every request", counts["cancer:3"] == expected)
        share = counts["cancer:1"] / expected
        self._tell.check(f"the split is {share:.0%} to {1 - share:.0%} as weighted", abs(share - 0.8) < 0.08)

    def find_drift(self) -> None:
        self._tell.step(
            "Find drift: Ray compares the log with the training data, first by the native engine, then by Alibi Detect"
        )
        for engine in self._engines():
            self._tell.run("analyze", "drift", "cancer:1", "--window", "1h", "--engine", engine, shown=6)
            newest = self._tell.ask("report", "list", "cancer:1", "--kind", "drift")[0]
            report = self._tell.ask("report", "show", newest["id"])
            drifted = {f["name"] for f in report["fields"] if f["severity"] in ("medium", "severe")}
            self._tell.check(
                f"{engine}: {newest['severity']} drift, and it names what was changed",
                newest["verdict"] == "drift" and set(SHIFTED) <= drifted,
            )
            self._keep_page(newest["id"], f"drift-{engine}.html")

    def _engines(self) -> list[Engine]:
        try:
            python_for("alibi")
        except InvalidInput as lacking:
            self._tell.say(f"Alibi Detect is not run here: {lacking.message}; {lacking.hint}")
            return ["native"]
        return ["native", "alibi"]

    def explain(self) -> None:
        self._tell.step("Explain one odd request: Shapley values, asked of the endpoint as a black box")
        model = next(m for m in ("cancer:1", "cancer:2") if self._log_has(m, self._odd))
        self._tell.run("explain", model, self._odd, shown=12)
        newest = self._tell.ask("report", "list", model, "--kind", "explain")[0]
        report = self._tell.ask("report", "show", newest["id"])
        total = sum(c["shap"] for c in report["contributions"])
        gap = abs(report["base"] + total - report["prediction"])
        self._tell.check("the contributions add up to the answer", gap < 1e-10)
        self._keep_page(newest["id"], "explanation.html")

    def look(self) -> None:
        self._tell.step("Look: everything is on a page too")
        page = httpx.get(self._url + "/")
        self._tell.check(f"{self._url} shows the health of everything", page.is_success and "diagnosis" in page.text)
        for path, what in PAGES.items():
            self._tell.check(f"{self._url}{path}: {what}", httpx.get(self._url + path).is_success)
        self._tell.run("status")

    def stop(self) -> None:
        if self._url:
            self._tell.step("Stop: open requests are answered, records are taken in")
            self._tell.run("down")
            self._tell.check("no process is left", not list((self._home / "run" / "replicas").glob("*.json")))

    def _infer(self, name: str, rows: np.ndarray[Any, Any], client: httpx.Client | None = None) -> httpx.Response:
        body = {
            "inputs": [{"name": "rows", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}]
        }
        post = client.post if client is not None else httpx.post
        url = f"/v2/models/{name}/infer" if client is not None else f"{self._url}/v2/models/{name}/infer"
        return post(url, json=body)

    def _scaled(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        reply = self._infer("cancer-scale", rows).json()
        return np.stack([o["data"] for o in reply["outputs"]], axis=1)

    def _rows(self, project: str) -> Path:
        """A CSV with the first three rows of a project's training data."""
        target = self._folder / f"{project}-rows.csv"
        lines = (self._folder / "projects" / project / "train.csv").read_text().splitlines()[:4]
        target.write_text("\n".join(lines) + "\n")
        return target

    def _state(self, version: str) -> str:
        return str(self._tell.ask("service", "show", version)["state"])

    def _log_has(self, version: str, request_id: str) -> bool:
        return bool(self._tell.ask("log", "query", version, "--where", f"request_id = '{request_id}'"))

    def _wait_for_log(self, expected: int) -> Counter[str]:
        """Lines by version when everything is there; a line is visible at most five seconds after its reply."""
        counts: Counter[str] = Counter()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            versions = ("cancer:1", "cancer:2", "cancer:3")
            logs = {
                v: self._tell.ask("log", "query", v, "--limit", "10000", "--where", "sequence = 'diagnosis'")
                for v in versions
            }
            counts = Counter({v: len({line["request_id"] for line in lines}) for v, lines in logs.items()})
            lines = sum(len(found) for found in logs.values())
            if counts["cancer:1"] + counts["cancer:2"] == expected == counts["cancer:3"] and lines == 2 * expected:
                return counts
            time.sleep(0.3)
        raise CheckFailedError(f"the log holds {dict(counts)} of {expected} requests")

    def _keep_page(self, report: str, name: str) -> None:
        REPORTS.mkdir(exist_ok=True)
        self._tell.run("report", "open", report, "--to", str(REPORTS / name), shown=0)


def main() -> int:
    click.secho("Headrace: from a trained model to a live, logged, analysed and explained endpoint", bold=True)
    folder = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    try:
        keep = os.environ.get("KEEP", "") not in ("", "0")
        story = Story(folder, Path(".cache/environments"), keep=keep)
        story.tell()
    except CheckFailedError as error:
        click.secho(f"\nThe story ends early: {error}\nIts home is kept in {folder}", fg="red", err=True)
        return 1
    if keep:
        click.echo(f"    The platform is still up. Open {story.url}/models/cancer?version=1")
        click.echo(f"    Stop it with: headrace down --home {folder / 'home'}")
        return 0
    shutil.rmtree(folder)
    click.echo("    To look around instead: KEEP=1 make demo. Next: README.md, the first ten minutes.")
    return 0
