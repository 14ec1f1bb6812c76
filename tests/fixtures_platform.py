"""A real platform of several processes, started as a user starts it, with small functions to call."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml
from deltalake import DeltaTable

from headrace_controller.client import Client
from headrace_controller.embedded.home import holder_of
from headrace_controller.settings import Settings
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

NUMBER = {"shape": "scalar", "type": "double", "profile": "numerical"}
ADDER = "def predict(model, x):\n    return {'y': x + 1}\n"


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Wait for a condition; its value when it holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("HEADRACE_HOME", "HEADRACE_URL")}


def headrace(
    *arguments: str, stdin: str | None = None, cwd: Path | None = None, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "headrace_controller.cli", *arguments]
    return subprocess.run(
        command, input=stdin, text=True, capture_output=True, timeout=seconds, check=False, env=environment(), cwd=cwd
    )


class RunningPlatform:
    """``headrace up`` on a home of its own. ``stop`` and ``start`` again keep the home."""

    python: str | Path = sys.executable
    """What has the command installed."""

    def __init__(self, home: Path, *more: str) -> None:
        self.home = home
        self.settings = Settings(home)
        self.url = ""
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RunningPlatform":
        command = [
            str(self.python),
            "-m",
            "headrace_controller.cli",
            "up",
            "--home",
            str(self.home),
            "--port",
            "0",
            *self._more,
        ]
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "up.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment()
            )

        def announced() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (self.home / "up.log").read_text()
            holder = holder_of(self.settings)
            self.url = holder.url if holder and holder.identity.pid == self._process.pid else ""
            return bool(self.url)

        until(announced, "the platform is up")
        return self

    def stop(self) -> int:
        """TERM, as ``headrace down`` does; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def client(self, key: str | None = None) -> Client:
        return Client(self.url, key=key)

    def pids(self, part: str) -> list[int]:
        """Processes of a part: ``gateway``, ``collector``, ``zygote`` or a service such as ``adder-v1``."""
        if part in ("gateway", "collector"):
            wanted = f"headrace_controller.{'embedded.gateway' if part == 'gateway' else 'embedded.collector'} {self.settings.run}"
            return [pid for pid, arguments in _processes() if wanted in arguments]
        notes = (self.settings.run / "replicas").glob(f"{part}-*.json")
        return [int(orjson.loads(note.read_bytes())["pid"]) for note in notes]

    def kill(self, part: str) -> int:
        """``kill -9`` of every process of a part; how many there were."""
        pids = self.pids(part)
        for pid in pids:
            with contextlib.suppress(
                ProcessLookupError
            ):  # it ended by itself meanwhile, with the one that was killed before
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def apply_python(self, name: str, code: str, folder: Path, **more: Any) -> None:
        """Apply a plain Python function with one number in and one out."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "function.py").write_text(code)
        definition = {
            "kind": "Model",
            "name": name,
            "framework": "python",
            "payload": ["function.py"],
            "contract": {"inputs": {"x": NUMBER}, "outputs": {"y": NUMBER}},
            **more,
        }
        (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
        self.apply(folder)

    def apply(self, path: Path | str, stdin: str | None = None) -> None:
        done = headrace("apply", "--url", self.url, "-f", str(path), stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr

    def infer(self, name: str, *x: float, request_id: str = "", timeout: float = 30.0) -> httpx.Response:
        headers = {"x-request-id": request_id} if request_id else {}
        return httpx.post(f"{self.url}/v2/models/{name}/infer", json=body(*x), headers=headers, timeout=timeout)

    def infer_body(self, name: str, content: bytes, request_id: str) -> httpx.Response:
        headers = {"x-request-id": request_id, "content-type": "application/json"}
        return httpx.post(f"{self.url}/v2/models/{name}/infer", content=content, headers=headers, timeout=30)

    def logged(self, version: str, store: str = "") -> list[dict[str, Any]]:
        """The lines of a version's log that are there now."""
        objects = ObjectStore(store or self.settings.storage_url)
        url = objects.table_url(layout.log_table(VersionId.parse(version)))
        if not DeltaTable.is_deltatable(url, objects.table_options()):
            return []
        table: list[dict[str, Any]] = (
            DeltaTable(url, storage_options=objects.table_options()).to_pyarrow_table().to_pylist()
        )
        return table


def body(*x: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [len(x)], "datatype": "FP64", "data": list(x)}]}


@dataclass
class Load:
    """Requests of several callers, each with an id of its own, and what became of them."""

    platform: RunningPlatform
    name: str
    callers: int = 4
    pause: float = 0.004
    """Seconds between two requests of a caller: without, they take the processors from the commands that are under test."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Status by request id; 0 where no answer came."""

    def answered(self, *statuses: int) -> set[str]:
        return {i for i, s in self.statuses.copy().items() if s in (statuses or (200,))}

    def counts(self) -> Counter[int]:
        return Counter(self.statuses.copy().values())

    @contextmanager
    def running(self, *, at_most: int = 20_000) -> Iterator["Load"]:
        """Ask until the block ends (bounded: each caller stops after its share of ``at_most``)."""
        stop = threading.Event()

        def caller(number: int) -> None:
            with httpx.Client(base_url=self.platform.url, timeout=30) as client:
                for i in range(at_most // self.callers):
                    if stop.wait(self.pause):
                        return
                    request_id = f"c{number}-{i}"
                    try:
                        reply = client.post(
                            f"/v2/models/{self.name}/infer", json=body(float(i)), headers={"x-request-id": request_id}
                        )
                        self.statuses[request_id] = reply.status_code
                    except httpx.TransportError:
                        self.statuses[request_id] = 0

        threads = [threading.Thread(target=caller, args=(n,)) for n in range(self.callers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def wait_for(self, count: int) -> None:
        """Until so many requests have been answered with 200."""
        goal = len(self.answered()) + count
        until(lambda: len(self.answered()) >= goal, f"{goal} answers", 60)


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue


@pytest.fixture(scope="session")
def shared_environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once for all platforms of the session, whichever of its processes needs one first."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return tmp_path_factory.mktemp("environments")
    folder = tmp_path_factory.getbasetemp().parent / "environments"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def new_platform(
    tmp_path_factory: pytest.TempPathFactory, shared_environments: Path
) -> Iterator[Callable[..., RunningPlatform]]:
    """Start platforms on fresh homes; they are stopped after the test."""
    started: list[RunningPlatform] = []

    def start(*more: str) -> RunningPlatform:
        home = tmp_path_factory.mktemp("home")
        (home / "environments").symlink_to(shared_environments)
        started.append(RunningPlatform(home, *more).start())
        return started[-1]

    yield start
    for platform in started:
        if platform._process is not None and platform._process.poll() is None:
            platform.stop()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[RunningPlatform]:
    """One platform for the tests of a module, with ``adder:1`` applied."""
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    running = RunningPlatform(home).start()
    try:
        running.apply_python("adder", ADDER, home / "adder")
        yield running
    finally:
        assert running.stop() == 0
