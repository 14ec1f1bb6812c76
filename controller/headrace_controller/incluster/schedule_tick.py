"""What the pod of a schedule's CronJob does: tells the controller of the tick and waits until its run is over.

``python -m headrace_controller.incluster.schedule_tick SCHEDULE``. Kubernetes watches the clock, so a tick is not missed by a controller
that is away: the pod asks until it is there. It waits to the end, so that ``concurrencyPolicy: Forbid`` means the run and not the
asking. It needs no rights at the Kubernetes API.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import httpx

from headrace_controller import clock
from headrace_controller.logging_setup import set_up_logging
from headrace_functions.errors import InvalidInput
from headrace_functions.platform_secret import PROOF
from headrace_functions.startup import NAMESPACE, PLATFORM_SECRET

JOB_NAME = "HEADRACE_JOB_NAME"
"""Name of the Job that the CronJob made; it ends with the tick in minutes since the epoch."""
OVER = ("done", "given-up")
PATIENCE = 600.0
"""Seconds to ask a controller that does not answer."""
_AGAIN = 2.0

log = logging.getLogger("headrace.schedule")


def tick_of(job: str) -> datetime:
    """The tick for which the CronJob controller made a Job."""
    minutes = job.rpartition("-")[2]
    if not minutes.isdigit():
        raise InvalidInput(
            f"{job!r} is not a Job of a CronJob", field=JOB_NAME, expected="NAME-<minutes since the epoch>"
        )
    return datetime.fromtimestamp(int(minutes) * 60, UTC)


class Ticking:
    def __init__(self, client: httpx.Client, schedule: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._schedule = schedule
        self._sleep = sleep

    def run(self, tick: datetime, patience: float = PATIENCE) -> str:
        """The state in which the run of the tick ended."""
        left = patience
        while True:
            run = self._ask(tick)
            if run is not None and run["state"] in OVER:
                log.info("%s: %s %s", run["slot"], run["state"], run["reason"])
                return str(run["state"])
            left = patience if run is not None else left - _AGAIN
            if left <= 0:
                raise TimeoutError(f"the controller did not answer for {patience:.0f} s")
            self._sleep(_AGAIN)

    def _ask(self, tick: datetime) -> Mapping[str, str] | None:
        """The run, claimed by the first question; None while the controller is away."""
        try:
            answer = self._client.post(f"/api/v1/schedules/{self._schedule}/tick", json={"at": clock.show(tick)})
            if answer.is_server_error:
                return None
            answer.raise_for_status()
            found: Mapping[str, str] = answer.json()
        except httpx.TransportError as error:
            log.warning("the controller does not answer: %s", error)
            return None
        return found


def main(schedule: str) -> int:
    set_up_logging()
    url = f"http://headrace-controller.{os.environ[NAMESPACE]}.svc"
    proof = {PROOF.decode(): os.environ[PLATFORM_SECRET]}
    with httpx.Client(base_url=url, timeout=30, trust_env=False, headers=proof) as client:
        return 0 if Ticking(client, schedule).run(tick_of(os.environ[JOB_NAME])) == "done" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
