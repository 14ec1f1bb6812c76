"""Requests that are answered later, while parts of the platform are killed round after round: each that was accepted has one result and one row."""

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from fixtures_platform import RunningPlatform, body, until

ROUNDS = int(os.environ.get("HEADRACE_CHAOS_ROUNDS", "3"))
A_ROUND = 30
PARTS = ("gateway", "slow-v1", "collector", "zygote", "controller", "gateway and slow-v1")
SLOW = """
import time

def predict(model, x):
    time.sleep(0.02)
    if (x % 10 == 3).any():
        raise ValueError("three")
    return {"y": x + 1}
"""


class Accepting:
    """Sends requests that want to be answered later, and remembers those that were accepted."""

    def __init__(self, platform: RunningPlatform) -> None:
        self.platform = platform
        self.accepted: dict[int, str] = {}
        self.stop = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            headers = {"prefer": "respond-async", "x-request-id": f"r-{number}"}
            with contextlib.suppress(httpx.TransportError):
                url = f"{self.platform.url}/v2/models/slow/infer"
                reply = httpx.post(url, json=body(float(number)), headers=headers, timeout=10)
                if reply.status_code == 202:
                    self.accepted[number] = reply.headers["location"]
            number += 1
            self.stop.wait(0.005)

    def result(self, number: int) -> str:
        """``right`` or ``wrong``, empty while there is none."""
        with contextlib.suppress(httpx.TransportError):
            reply = httpx.get(f"{self.platform.url}{self.accepted[number]}", timeout=30)
            if reply.status_code == 202:
                return ""
            if number % 10 == 3:
                return "right" if (500, "function-failed") == (reply.status_code, reply.json()["code"]) else "wrong"
            right = reply.status_code == 200 and [number + 1.0] == reply.json()["outputs"][0]["data"]
            return "right" if right else f"wrong: {reply.status_code} {reply.text[:200]}"
        return ""


def strike(platform: RunningPlatform, part: str) -> None:
    if part != "controller":
        for name in part.split(" and "):
            platform.kill(name)
        return
    assert platform._process is not None
    platform._process.send_signal(signal.SIGKILL)
    platform._process.wait(10)
    platform.start()


@pytest.mark.timeout(120 + ROUNDS * 60)
def test_each_accepted_request_has_one_result_and_one_row_whatever_is_killed(
    shared_environments: Path, tmp_path: Path
) -> None:
    seed = int(os.environ.get("HEADRACE_CHAOS_SEED") or time.time_ns() % 10**9)
    chance, struck = random.Random(seed), Counter[str]()
    home = tmp_path / "home"
    home.mkdir()
    (home / "environments").symlink_to(shared_environments)
    platform = RunningPlatform(home).start()
    try:
        platform.apply_python("slow", SLOW, tmp_path / "slow")
        load = Accepting(platform)
        caller = threading.Thread(target=load.run)
        caller.start()
        try:
            for number in range(ROUNDS):
                goal = len(load.accepted) + chance.randrange(A_ROUND // 2, A_ROUND)
                until(lambda goal=goal: len(load.accepted) >= goal, f"round {number} of seed {seed}: traffic", 60)
                part = chance.choice(PARTS)
                struck[part] += 1
                strike(platform, part)
        finally:
            load.stop.set()
            caller.join()
        results: dict[int, str] = {}

        def all_have_results() -> bool:
            results.update({n: found for n in load.accepted if n not in results and (found := load.result(n))})
            return len(results) == len(load.accepted)

        until(all_have_results, f"seed {seed}: each accepted request has a result", 240)

        def rows() -> Counter[str]:
            return Counter(row["request_id"] for row in platform.logged("slow:1"))

        wanted = {f"r-{n}" for n in load.accepted}
        with contextlib.suppress(AssertionError):  # what is missing is told below
            until(lambda: wanted <= rows().keys(), "all are logged", 60)
        found = rows()
        wrong = {n: said for n, said in results.items() if said != "right"}
        missing, doubled = wanted - found.keys(), {i: k for i, k in found.items() if i in wanted and k > 1}
        sys.stderr.write(
            f"\nseed {seed}: {ROUNDS} rounds ({dict(struck)}), {len(results):,} accepted and answered, wrong {len(wrong)}, "
            f"not logged {len(missing)}, doubled {len(doubled)}\n"
        )
        assert ({}, set(), {}) == (wrong, missing, doubled), f"seed {seed}"
    finally:
        if platform._process is not None and platform._process.poll() is None:
            platform.stop()
