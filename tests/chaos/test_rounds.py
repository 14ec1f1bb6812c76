"""Round after round a part of a platform is killed (``kill -9``) under mixed load, its bucket is away for some seconds, the disk of its records
is full, or its clock is set an hour forwards or backwards and back again, chosen by chance from a seed that is said.

Counted over all rounds: answered and not logged although the answer did not say so, logged twice, answered wrongly, not back within ``BACK``
seconds, processes that are left at the end. All of them have to be none. ``make chaos ROUNDS=100`` runs it and says the figures.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from fixtures_platform import RunningPlatform, body, until
from headrace_controller.embedded.home import holder_of
from support.clocks import ShiftedClock, can_shift
from support.stores import Cable

ROUNDS = int(os.environ.get("HEADRACE_CHAOS_ROUNDS") or 5)
BACK = float(os.environ.get("HEADRACE_CHAOS_BACK") or 30)
"""Seconds within which a round ends; more where other work has the processors."""
CALLERS = 3
PAUSE = 0.02
PARTS = (
    "function",
    "zygote",
    "gateway",
    "collector",
    "controller",
    "function and gateway",
    "gateway and collector",
    "everything",
    "store",
    "disk",
    "clock",
)
AWAY = (2.0, 8.0)
"""Seconds for which the bucket is away, the disk is full or the clock is wrong, at least and at most."""
JUMPS = (-3600.0, -30.0, 30.0, 3600.0)
"""Seconds by which the clock is set. Functions keep the right one, like pods on another machine."""
DISK = 16 * 1024 * 1024
"""Bytes of the disk for records that are on their way, where the test may mount one."""
SEQUENCE = {"kind": "Sequence", "name": "chain", "pipeline": [[{"model": "adder:1"}], [{"model": "doubler:1"}]]}
REFUSED = {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["no number"]}]}
DOUBLER = "def predict(model, y):\n    return {'z': y * 2}\n"
ADDER = "def predict(model, x):\n    return {'y': x + 1}\n"


@dataclass
class Mixed:
    """Callers that ask a model, a sequence, and for what is refused; each answer is compared with what it has to be."""

    platform: RunningPlatform
    statuses: dict[str, int] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    """Requests whose answers said that they could not be logged."""
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def caller(self, number: int) -> None:
        n = 0
        while not self.stop.wait(PAUSE):
            n += 1
            kind = ("model", "chain", "model", "refused")[n % 4]
            request_id, x = f"{kind}-{number}-{n}", float(n)
            name = "chain" if kind == "chain" else "adder"
            given = REFUSED if kind == "refused" else body(x)
            try:
                answer = httpx.post(
                    f"{self.platform.url}/v2/models/{name}/infer",
                    json=given,
                    headers={"x-request-id": request_id},
                    timeout=20,
                )
            except httpx.TransportError:
                self.statuses[request_id] = 0
                continue
            if "x-headrace-unlogged" in answer.headers:
                self.told.add(request_id)
            self.statuses[request_id] = answer.status_code
            if answer.status_code == 200:
                expected = (x + 1) * 2 if kind == "chain" else x + 1
                if answer.json()["outputs"][0]["data"] != [expected]:
                    self.wrong.append(request_id)

    def answered(self, kind: str, status: int) -> set[str]:
        return {i for i, s in self.statuses.copy().items() if i.startswith(kind) and s == status}


@dataclass
class Faults:
    """What is done to a platform whose bucket is behind a cable, whose records wait on a small disk where the test may mount one, and whose clock
    can be set where there is a C compiler."""

    platform: RunningPlatform
    cable: Cable
    disk: Path | None
    clock: ShiftedClock | None
    chance: random.Random

    @property
    def parts(self) -> tuple[str, ...]:
        wanted = os.environ.get("HEADRACE_CHAOS_PARTS") or ",".join(PARTS)
        impossible = {"disk"} if self.disk is None else set()
        impossible |= {"clock"} if self.clock is None else set()
        return tuple(p for p in wanted.split(",") if p not in impossible)

    def strike(self, part: str) -> int:
        """Do it, and undo what is not a kill; how many things it struck."""
        if part == "store":
            self.cable.cut()
            self._wait()
            self.cable.mend()
            return 1
        if part == "disk":
            assert self.disk is not None
            filler = self.disk / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 16))
            self._wait()
            filler.unlink()
            return 1
        if part == "clock":
            assert self.clock is not None
            self.clock.shift(self.chance.choice(JUMPS))
            self._wait()
            self.clock.shift(0)
            return 1
        return kill(self.platform, part)

    def _wait(self) -> None:
        time.sleep(self.chance.uniform(*AWAY))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of ``DISK`` bytes at ``folder``; None where the user may mount none."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "headrace-chaos", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def kill(platform: RunningPlatform, part: str) -> int:
    """Kill every process of a part; how many there were."""
    if part == "everything":
        return sum(kill(platform, p) for p in ("controller", "gateway", "collector", "zygote", "function"))
    if " and " in part:
        return sum(kill(platform, p) for p in part.split(" and "))
    if part == "function":
        return platform.kill("adder-v1") + platform.kill("doubler-v1")
    if part == "zygote":
        pids = [
            pid
            for pid in descendants(platform)
            if "runtime.zygote" in command(pid) and parent_is_gateway(platform, pid)
        ]
        return sum(killed(pid) for pid in pids)
    if part == "controller":
        assert platform._process is not None
        platform._process.kill()
        platform._process.wait()
        return 1
    return platform.kill(part)


def killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def started(pid: int) -> str:
    """When a process began, so that another one with its number is told from it; empty for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found


def parent_is_gateway(platform: RunningPlatform, pid: int) -> bool:
    return parents().get(pid) in platform.pids("gateway")


def descendants(platform: RunningPlatform) -> set[int]:
    """Every process of the platform: below its first one, and functions by the notes of the home, whoever their parent is now."""
    of = parents()
    roots = {platform._process.pid} if platform._process is not None else set()
    roots |= set(platform.pids("gateway")) | set(platform.pids("collector"))
    roots |= set(platform.pids("adder-v1")) | set(platform.pids("doubler-v1"))
    found = set(roots)
    while more := {pid for pid, parent in of.items() if parent in found} - found:
        found |= more
    return found


def apply(platform: RunningPlatform, tmp_path: Path) -> None:
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    number = {"shape": "scalar", "type": "double", "profile": "numerical"}
    contract = {"inputs": {"y": number}, "outputs": {"z": number}}
    platform.apply_python("doubler", DOUBLER, tmp_path / "doubler", contract=contract)
    (tmp_path / "sequence.yaml").write_text(yaml.safe_dump(SEQUENCE))
    platform.apply(tmp_path / "sequence.yaml")


@dataclass
class Figures:
    victims: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    seen: dict[tuple[int, str], str] = field(default_factory=dict)
    """Processes that ever were, by number and start, with their commands."""

    def note(self, platform: RunningPlatform) -> None:
        for pid in descendants(platform):
            if (began := started(pid)) and pid != os.getpid():
                self.seen[pid, began] = command(pid)

    def left(self) -> list[str]:
        return [f"{pid}: {said}" for (pid, began), said in self.seen.items() if started(pid) == began]


@pytest.mark.timeout(60 + ROUNDS * 60)
def test_nothing_is_lost_doubled_wrong_or_left_over_all_rounds(
    shared_environments: Path, cable: Cable, s3_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    clock = ShiftedClock(tmp_path / "clock") if can_shift() else None
    for name, value in clock.variables.items() if clock is not None else ():
        monkeypatch.setenv(name, value)
    with small_disk(home / "spool") as disk:
        (home / "environments").symlink_to(shared_environments)
        platform = RunningPlatform(home, "--storage", s3_prefix).start()
        try:
            seed = int(os.environ.get("HEADRACE_CHAOS_SEED") or time.time_ns() % 10**9)
            play(Faults(platform, cable, disk, clock, random.Random(seed)), seed, s3_prefix, tmp_path)
        finally:
            if platform._process is not None and platform._process.poll() is None:
                platform.stop()


def play(faults: Faults, seed: int, store: str, tmp_path: Path) -> None:
    platform, chance, parts, figures = faults.platform, faults.chance, faults.parts, Figures()
    apply(platform, tmp_path)
    load = Mixed(platform)
    callers = [threading.Thread(target=load.caller, args=(n,)) for n in range(CALLERS)]
    for thread in callers:
        thread.start()
    began = time.monotonic()
    try:
        for number in range(ROUNDS):
            goal = len(load.answered("", 200)) + chance.randrange(20, 60)
            until(lambda goal=goal: len(load.answered("", 200)) >= goal, f"round {number}: traffic", 60)
            figures.note(platform)
            part = parts[number] if number < len(parts) and ROUNDS > len(parts) else chance.choice(parts)
            figures.victims[part] += faults.strike(part) > 0
            fell = time.monotonic()
            if platform._process is not None and platform._process.poll() is not None:
                restart(platform, f"round {number} ({part}, seed {seed})")
            until(
                lambda n=number: both_answer(platform), f"round {number} ({part}, seed {seed}): it answers again", BACK
            )
            figures.slowest = max(figures.slowest, time.monotonic() - fell)
    finally:
        load.stop.set()
        for thread in callers:
            thread.join()
    spent = time.monotonic() - began
    # Not through the cable: reading a table holds this process's interpreter, and with it the cable's threads.
    os.environ["AWS_ENDPOINT_URL"] = faults.cable.target
    unlogged, doubled = compare(platform, load, store)
    figures.note(platform)
    assert 0 == platform.stop()
    until(lambda: not figures.left(), "all processes have ended", 20)
    counts = Counter(load.statuses.values())
    sys.stderr.write(
        f"\nseed {seed}: {ROUNDS} rounds in {spent:.0f} s ({dict(figures.victims)}), {len(load.statuses):,} requests "
        f"({counts[200]:,} answered, {counts[422]:,} refused as they should be, {counts[0]:,} without an answer, "
        f"{len(load.statuses) - counts[200] - counts[422] - counts[0]:,} refused while a part was away); told that they are not logged "
        f"{len(load.told):,}{without(faults)}, answered and unlogged otherwise "
        f"{len(unlogged)}, doubled {len(doubled)}, wrong {len(load.wrong)}, orphans {len(figures.left())}; "
        f"the slowest recovery took {figures.slowest:.1f} s\n"
    )
    assert ([], [], [], []) == (sorted(unlogged), sorted(doubled), load.wrong, figures.left()), f"seed {seed}"


def without(faults: Faults) -> str:
    """The faults that could not be made here, in brackets."""
    said = {
        "no disk could be mounted, so none was full": faults.disk is None,
        "without a C compiler no clock was set": faults.clock is None,
    }
    lacking = [sentence for sentence, lacks in said.items() if lacks]
    return f" ({'; '.join(lacking)})" if lacking else ""


def restart(platform: RunningPlatform, what: str) -> None:
    """``headrace up`` again; where that takes longer than ``BACK`` the words of its logs are said."""
    try:
        platform.start()
        return
    except AssertionError:
        deadline = time.monotonic() + max(0.0, BACK - 30)  # it has waited for 30 already
    while time.monotonic() < deadline:
        holder = holder_of(platform.settings)
        if holder is not None and platform._process is not None and holder.identity.pid == platform._process.pid:
            platform.url = holder.url
            return
        time.sleep(0.1)
    said = [(platform.home / "up.log"), platform.settings.logs / "gateway.log"]
    tails = "\n".join(f"{file}: {file.read_text()[-1500:]}" for file in said if file.is_file())
    raise AssertionError(f"{what}: it is not up again within {BACK:.0f} s\n{tails}")


def both_answer(platform: RunningPlatform) -> bool:
    try:
        return all(platform.infer(n, 1.0, request_id="", timeout=5).status_code == 200 for n in ("adder", "chain"))
    except httpx.TransportError:
        return False


def compare(platform: RunningPlatform, load: Mixed, store: str) -> tuple[set[str], set[str]]:
    """Requests that were answered and are not in the logs that they belong to after a while, and rows that are there twice."""
    wanted = {
        ("adder:1", "ok"): load.answered("model", 200) | load.answered("chain", 200),
        ("doubler:1", "ok"): load.answered("chain", 200),
        ("adder:1", "refused"): load.answered("refused", 422),
    }

    def missing() -> set[str]:
        found: set[str] = set()
        for (version, outcome), ids in wanted.items():
            found |= (
                ids - load.told - {r["request_id"] for r in platform.logged(version, store) if r["outcome"] == outcome}
            )
        return found

    deadline = time.monotonic() + 60
    while (unlogged := missing()) and time.monotonic() < deadline:
        time.sleep(0.5)
    rows = Counter(
        f"{version} {r['request_id']} {r['row']}"
        for version in ("adder:1", "doubler:1")
        for r in platform.logged(version, store)
        if r["outcome"] == "ok"
    )
    return unlogged, {key for key, count in rows.items() if count > 1}
