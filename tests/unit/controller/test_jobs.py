"""Jobs: states, results, failures, cancel and time-out of real process groups that a shell script plays."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller_support import wait_until
from function_support import alive
from headrace_controller.service.jobprocess import NICE, ProcessRunner
from headrace_controller.service.jobs import CANCELLED, INTERRUPTED, Job, JobRequest, Jobs, arguments_of
from headrace_controller.service.paging import PageRequest
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

VERSION = VersionId("m", 1)
DRIFT = JobRequest("drift", VERSION, arguments={"window": "1h"})


class Script:
    """In place of the environment of the jobs: its Python is a shell script of the test."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "python"

    def says(self, text: str) -> None:
        self.file.write_text(f"#!/bin/sh\n{text}\n")
        self.file.chmod(0o755)

    def python(self, engine: str, log: Callable[[str], None]) -> Path:
        log(f"environment of {engine}")
        return self.file


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def open_jobs(home: Path, script: Script) -> Jobs:
    jobs = Jobs(Documents(ObjectStore(str(home / "data"))), ProcessRunner(script), "store", home)  # type: ignore[arg-type]
    jobs.open()
    return jobs


@pytest.fixture
def jobs(tmp_path: Path, script: Script) -> Iterator[Jobs]:
    found = open_jobs(tmp_path / "home", script)
    yield found
    found.close()


def run(jobs: Jobs, request: JobRequest = DRIFT) -> Job:
    return jobs.wait(jobs.start(request).id, 30)


def test_a_run_is_done_with_the_last_line_it_printed_as_its_result(jobs: Jobs, script: Script) -> None:
    script.says(
        'echo progress >&2; echo \'{"half": 1}\'; echo \'{"report": "reports/m/v1/drift/x.json", "verdict": "drift"}\''
    )
    job = run(jobs)
    assert (job.state, job.reason) == ("done", "")
    assert job.result == {"report": "reports/m/v1/drift/x.json", "verdict": "drift"}
    assert jobs.log(job.id) == "environment of native\nprogress\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('echo \'{"error": {"code": "not-found", "message": "no such row"}}\'; exit 1', "no such row"),
        ("echo one >&2; echo two >&2; exit 3", "environment of native\none\ntwo"),
        ("exit 0", "it ended without a result; its log says more"),
        ("echo not json", "it ended without a result; its log says more"),
    ],
)
def test_a_run_that_fails_says_why(jobs: Jobs, script: Script, text: str, reason: str) -> None:
    script.says(text)
    job = run(jobs)
    assert (job.state, job.reason) == ("failed", reason)


def test_a_run_that_takes_too_long_is_stopped_with_everything_it_started(
    jobs: Jobs, script: Script, tmp_path: Path
) -> None:
    script.says(f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    job = run(jobs, JobRequest("drift", VERSION, timeout=0.5))
    assert job.state == "failed"
    assert "took more than" in job.reason
    wait_until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_a_run_gives_way_to_what_answers_requests(jobs: Jobs, script: Script, tmp_path: Path) -> None:
    script.says(f"sleep 600 & echo $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; wait")
    jobs.start(DRIFT)
    wait_until((tmp_path / "pid").exists)
    child = int((tmp_path / "pid").read_text())
    lower = min(os.getpriority(os.PRIO_PROCESS, 0) + NICE, 19)
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, child) == lower)


def test_what_a_finished_run_left_behind_is_ended(jobs: Jobs, script: Script, tmp_path: Path) -> None:
    script.says(f'sleep 600 > /dev/null 2>&1 & echo $! > {tmp_path}/pid; echo \'{{"verdict": "ok"}}\'')
    assert run(jobs).state == "done"
    wait_until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_a_running_job_can_be_cancelled_and_a_waiting_one_never_starts(
    jobs: Jobs, script: Script, tmp_path: Path
) -> None:
    script.says(f"touch {tmp_path}/started; sleep 600")
    first = jobs.start(DRIFT)
    wait_until((tmp_path / "started").exists)
    second = jobs.start(DRIFT)
    assert jobs.get(second.id).state == "queued"
    assert (jobs.cancel(second.id).state, jobs.cancel(first.id).reason) == ("failed", CANCELLED)
    script.says('echo \'{"verdict": "ok"}\'')
    assert run(jobs).state == "done"
    assert jobs.get(second.id).reason == CANCELLED


def test_the_same_question_waits_once(jobs: Jobs, script: Script, tmp_path: Path) -> None:
    script.says(f"touch {tmp_path}/started; sleep 600")
    running = jobs.start(DRIFT)
    wait_until((tmp_path / "started").exists)

    waiting = [jobs.start(DRIFT).id for _ in range(4)]
    another = jobs.start(JobRequest("drift", VERSION, arguments={"window": "2h"})).id

    assert 1 == len(set(waiting))
    assert 3 == len({running.id, waiting[0], another})
    for job_id in (another, waiting[0], running.id):
        jobs.cancel(job_id)
    assert jobs.start(DRIFT).id not in {running.id, waiting[0]}, "one that is over is not joined"


def test_a_job_that_a_crash_cut_short_is_failed_at_the_next_start(tmp_path: Path, script: Script) -> None:
    script.says(f"touch {tmp_path}/started; sleep 600")
    before = open_jobs(tmp_path / "home", script)
    job = before.start(DRIFT)
    wait_until((tmp_path / "started").exists)
    after = open_jobs(tmp_path / "home", script)
    assert (after.get(job.id).state, after.get(job.id).reason) == ("failed", INTERRUPTED)
    before.close()


def test_a_job_whose_environment_cannot_be_built_fails_with_the_reason(
    jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(engine: str, log: object) -> Path:
        raise InvalidInput("no such package")

    monkeypatch.setattr(script, "python", refuse)
    assert run(jobs).reason == "no such package"


def test_jobs_are_listed_newest_first_by_kind_model_and_state(jobs: Jobs, script: Script) -> None:
    script.says('echo \'{"verdict": "ok"}\'')
    made = [run(jobs, JobRequest(kind, VERSION)).id for kind in ("drift", "profile")]
    page = jobs.select(PageRequest(10))
    assert {j.id for j in page.items} == set(made)
    assert [j.id for j in jobs.select(PageRequest(10), kind="profile", status="done").items] == [made[1]]
    assert jobs.select(PageRequest(10), model="other:1").items == []


def test_unknown_jobs_kinds_and_engines_are_refused(jobs: Jobs) -> None:
    with pytest.raises(NotFound):
        jobs.get("nothing")
    with pytest.raises(InvalidInput, match="kind"):
        JobRequest("magic", VERSION)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="engine"):
        JobRequest("drift", VERSION, "magic")  # type: ignore[arg-type]


def test_the_command_line_of_a_run_is_what_the_jobs_package_takes() -> None:
    assert arguments_of("id", DRIFT, "s3://b") == [
        "-m", "headrace_jobs", "drift", "--model", "m:1", "--storage", "s3://b", "--engine", "native", "--id", "id", "--window", "1h",
    ]  # fmt: skip


def test_the_process_gets_nothing_of_the_platforms_environment_but_the_way_to_the_store(
    jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_OF_ANOTHER", "x")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("AWS_REGION", "here")
    script.says(f"env > {tmp_path}/env; echo '{{}}'")
    run(jobs)
    names = {line.split("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert "AWS_REGION" in names
    assert not names & {"SECRET_OF_ANOTHER", "PYTHONPATH", "VIRTUAL_ENV"}
