"""How long analyses take: an estimate of performance, drift and outliers of a million rows."""

import re
import resource
import subprocess
import time
from functools import partial

import numpy as np
import pytest

from fixtures_jobs import category, environment, given_log, given_version, number, objects, run_job
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.performance import multiclass
from headrace_jobs.performance.calibration import Reference
from headrace_jobs.performance.counting import SAMPLE
from headrace_jobs.performance.estimators import drawing, estimate_classes
from headrace_jobs.performance.likeness import like_window
from headrace_jobs.performance.scores import count
from support.memory import peak

REFERENCE, WINDOW = 10_000, 100_000

__all__ = ["objects"]
pytestmark = pytest.mark.timeout(600)


def test_performance_of_a_hundred_thousand_rows() -> None:
    """The best of five, from probabilities in memory to intervals: others may use the machine too."""
    random = np.random.default_rng(0)
    p = random.beta(0.7, 0.7, (REFERENCE, 1))
    reference = Reference.of(p, p >= 0.5, (random.random(REFERENCE) < p[:, 0]).astype(int))
    window = random.beta(0.9, 0.6, (WINDOW, 1))
    answers = multiclass.Answers(window[:SAMPLE], window[:SAMPLE] >= 0.5, WINDOW)
    estimate_classes(reference, drawing(answers, count(window, window >= 0.5)))  # imports what it needs

    taken = []
    for _ in range(5):
        started = time.perf_counter()
        like = partial(like_window, reference, p, answers, window[:SAMPLE])
        estimate_classes(reference, drawing(answers, count(window, window >= 0.5)), like)
        taken.append(time.perf_counter() - started)

    print(f"\nCBPE of {WINDOW:,} rows: best {min(taken):.3f} s, median {np.median(taken):.3f} s")


def test_performance_of_a_hundred_thousand_rows_of_several_classes() -> None:
    """Processor time from 10,000 reference rows and the 20,000 that are kept of the window to intervals."""
    print("\n| classes | s of processor, best of five | median |\n|---|---|---|")
    for classes in (3, 8, 32):
        random = np.random.default_rng(0)
        p, now = random.dirichlet(np.ones(classes), REFERENCE), random.dirichlet(np.ones(classes), SAMPLE)
        actual = (random.random(REFERENCE)[:, None] > p[:, :-1].cumsum(axis=1)).sum(axis=1)
        window = multiclass.Answers(now, now.argmax(axis=1)[:, None] == np.arange(classes), WINDOW)
        taken = []
        for _ in range(6):
            started = time.process_time()
            estimate_classes(
                Reference.of(p, p.argmax(axis=1)[:, None] == np.arange(classes), actual), drawing(window, None)
            )
            taken.append(time.process_time() - started)
        known = taken[1:]  # the first imports what it needs
        print(f"| {classes} | {min(known):.2f} | {np.median(known):.2f} |")


def test_drift_of_a_million_rows(objects: ObjectStore) -> None:
    """100 k rows of training data against 1 M of the log, 25 numbers and 5 categories, in 10 files, on Ray and without."""
    fields = [*(number(f"n{i}") for i in range(25)), *(category(f"c{i}") for i in range(5))]
    random = np.random.default_rng(0)

    def rows(count: int) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {f"n{i}": random.normal(size=count) for i in range(25)}
        words = np.array(["a", "b", "c", "d"], object)
        return {
            **found,
            **{f"c{i}": words[random.integers(0, 4, count)] for i in range(5)},
            "score": random.random(count),
        }

    version = given_version(objects, fields, rows(100_000))
    for part in range(10):
        given_log(objects, version, rows(100_000), request=f"p{part}")
    job = [str(environment("jobs")), "-m", "headrace_jobs", "drift", "--model", "churn:1", "--window", "24h"]
    job += ["--until", "2026-11-22T12:00:00Z", "--storage", objects.url]
    assert objects.directory is not None
    log = objects.directory.with_name("job.log")
    print("\n| 100 k against 1 M × 30 | | s of processor | PSS of all processes, of it Ray's own |\n|---|---|---|---|")
    for address in ("local", "sync"):
        used, told = [processor()], []
        for watched in (False, True):  # to look at memory takes time of its own
            with log.open("w") as sink, subprocess.Popen([*job, "--address", address], stdout=sink, stderr=sink) as run:
                memory = peak(run) if watched else None
                assert run.wait() == 0, log.read_text()
            used.append(processor())
            told.append(next(line for line in log.read_text().splitlines() if "analysed in" in line))
        assert memory is not None
        spent = f"{used[1] - used[0]:.1f}"
        print(f"| {address} | {told[0]} | {spent} | {memory.total:.0f} MB, {memory.of_ray:.0f} MB |")


def test_outliers_of_a_million_rows(objects: ObjectStore) -> None:
    """Scores of 1 M × 30, as a job: what it takes more than for an empty window, for both learn the same detector first."""
    fields = [number(f"n{i}") for i in range(30)]
    random = np.random.default_rng(0)

    def rows(count: int) -> dict[str, np.ndarray]:
        return {**{f"n{i}": random.normal(size=count) for i in range(30)}, "score": random.random(count)}

    version = given_version(objects, fields, rows(20_000))
    for part in range(10):
        given_log(objects, version, rows(100_000), request=f"p{part}")
    python = environment("jobs")
    for address in ("sync", "local"):
        seconds, spent = [], [processor()]
        for until in ("2026-11-02T12:00:00Z", "2026-11-22T12:00:00Z"):
            window = ("--model", "churn:1", "--window", "24h", "--until", until, "--storage", objects.url)
            done = run_job(python, "outliers", *window, "--address", address)
            assert done.returncode == 0, done.stderr
            found = re.search(r"scored in ([\d.]+) s", done.stderr)
            assert found is not None
            seconds.append(float(found[1]))
            spent.append(processor())
        learnt, scored = spent[1] - spent[0], seconds[1] - seconds[0]
        of_processor = spent[2] - spent[1] - learnt
        said = f"learnt in {seconds[0]:.1f} s; 1 M × 30 scored in {scored:.1f} s, {of_processor:.1f} s of processor"
        print(f"\noutliers, {address}: {said}")


def processor() -> float:
    """Processor time of all processes that were waited for, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
