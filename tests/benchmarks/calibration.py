"""How often drift runs cry wolf, and what they hear: ``python tests/benchmarks/calibration.py [--full] [--part NAME]``.

Every run draws a reference and a window of n rows and d fields of four kinds in turn (smooth, with ties, with 5 % missing, with
rare categories) and judges them as the job does, the test of the whole model included. Seeds begin at ``SEEDS``: no constant of
the verdict was set on any of them, and none may be. Without ``--full`` big cells take fewer runs, as the table says. Set
OPENBLAS_NUM_THREADS=1 where the machine has other work.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context

import numpy as np
from scipy import stats

from headrace_functions.signature import Field, dtype
from headrace_functions.statistics.sample import RowSample
from headrace_functions.views import Array, names
from headrace_jobs.columns import Coded, Column, Numbers, Series
from headrace_jobs.detectors import domain_classifier
from headrace_jobs.detectors.base import Rows
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift.compare import Comparison, compare
from headrace_jobs.scan import Part, reference, summary, take
from headrace_jobs.verdict import DEFAULT, SEVERITIES, worst

SEEDS = 1_800_000_000
KINDS = ("smooth", "ties", "missing", "rare")
ROWS = (100, 500, 1000, 10_000, 100_000)
FIELDS = (1, 10, 100)
RUNS = 1000
WEIGHTS = 0.5 ** np.arange(1, 13)
REDUCED = {(10_000, 100): 195, (100_000, 100): 107}


def draw(kind: str, rows: int, random: np.random.Generator, move: float = 0.0) -> Series:
    """A field of one kind."""
    if kind == "rare":
        return Coded(random.choice(12, rows, p=WEIGHTS / WEIGHTS.sum()), tuple(f"c{i}" for i in range(12)))
    values = random.normal(move, 1, rows)
    if kind == "ties":
        values = values.round()
    if kind == "missing":
        values[random.random(rows) < 0.05] = np.nan
    return Numbers(values)


def judged(before: dict[str, Series], now: dict[str, Series], rows: int) -> dict[str, str]:
    """The severity of each field, and of the whole model under ``*``."""
    views, references, counted = {}, {}, {}
    first = np.arange(min(rows, domain_classifier.ROWS))
    sides: list[dict[str, Array]] = [{}, {}]
    for name, one in before.items():
        kind, profile = ("string", "categorical") if isinstance(one, Coded) else ("float64", "numerical")
        column = Column(Field(name, dtype(kind), profile=profile), "input", f"in.{name}")  # type: ignore[arg-type]
        (view,) = names(column.field)
        key = column.key(view)
        views[key] = (column, view)
        references[key] = reference(one, key, 0)
        counted[key] = summary(now[name], references[key], rows)
        for side, series in zip(sides, (one, now[name]), strict=True):
            side[key] = take(series, first)
    sample = RowSample(domain_classifier.ROWS, first.astype(np.uint64), sides[1])
    window = Part(rows=rows, views=counted, sample=sample)
    native = Native()
    both = Comparison(rows, references, views, window, 1, Rows(sides[0]), together=[native.whole("joint")])
    found = compare(both, native, DEFAULT)
    return {key.removeprefix("in.").removesuffix("|"): worst([j.severity for j in some]) for key, some in found.items()}


def still(arguments: tuple[int, int, int]) -> bool:
    """Whether a run without drift raises an alarm."""
    rows, fields, seed = arguments
    random = np.random.default_rng(SEEDS + seed)
    kinds = [KINDS[(i + seed * (fields == 1)) % len(KINDS)] for i in range(fields)]
    before, now = ({f"f{i}": draw(kind, rows, random) for i, kind in enumerate(kinds)} for _ in range(2))
    return any(severity != "none" for severity in judged(before, now, rows).values())


def shifted(seed: int) -> bool:
    """+0.3 standard deviations in one smooth field of ten, 500 rows a side: is that field found?"""
    random = np.random.default_rng(SEEDS + 10_000_000 + seed)
    kinds = [KINDS[i % len(KINDS)] for i in range(10)]
    before = {f"f{i}": draw(kind, 500, random) for i, kind in enumerate(kinds)}
    now = {f"f{i}": draw(kind, 500, random, 0.3 * (i == 0)) for i, kind in enumerate(kinds)}
    return judged(before, now, 500)["f0"] != "none"


def correlated(arguments: tuple[int, int]) -> bool:
    """A correlation of 0 that becomes 0.6 with equal margins, 2000 rows a side: is the run's verdict drift?"""
    fields, seed = arguments
    random = np.random.default_rng(SEEDS + 20_000_000 + seed)
    before, now = (random.normal(size=(fields, 2000)) for _ in range(2))
    now[1] = 0.6 * now[0] + 0.8 * now[1]
    sides = ({f"f{i}": Numbers(x[i]) for i in range(fields)} for x in (before, now))
    return any(severity != "none" for severity in judged(*sides, 2000).values())


def million(arguments: tuple[float, int]) -> str:
    """The severity of a shift of one field, a million rows a side."""
    move, seed = arguments
    random = np.random.default_rng(SEEDS + 30_000_000 + seed)
    return judged({"x": draw("smooth", 10**6, random)}, {"x": draw("smooth", 10**6, random, move)}, 10**6)["x"]


def bounds(hits: int, runs: int) -> tuple[float, float]:
    """One-sided 95 % bounds of a rate, lower and upper (Clopper and Pearson 1934)."""
    low = float(stats.beta.ppf(0.05, hits, runs - hits + 1)) if hits else 0.0
    return low, float(stats.beta.ppf(0.95, hits + 1, runs - hits)) if hits < runs else 1.0


def false_alarms(run: Callable[..., Iterator[bool]], *, full: bool, sizes: Sequence[int] = ROWS) -> Iterator[str]:
    yield "| rows a side | fields | runs | with an alarm | rate | 95 % bound |\n|---|---|---|---|---|---|"
    for rows in sizes:
        for fields in FIELDS:
            runs = RUNS if full else REDUCED.get((rows, fields), RUNS)
            hits = sum(run(still, [(rows, fields, seed) for seed in range(runs)]))
            yield f"| {rows:,} | {fields} | {runs} | {hits} | {hits / runs:.1%} | ≤ {bounds(hits, runs)[1]:.1%} |"


def power(run: Callable[..., Iterator[bool]], *, full: bool) -> Iterator[str]:
    yield "| case | runs | found | rate | 95 % bound |\n|---|---|---|---|---|"
    runs = RUNS if full else 400
    hits = sum(run(shifted, list(range(runs))))
    yield f"| +0.3 sd in 1 of 10 fields, 500 rows | {runs} | {hits} | {hits / runs:.1%} | ≥ {bounds(hits, runs)[0]:.1%} |"
    for fields in (2, 10, 30):
        hits = sum(run(correlated, [(fields, seed) for seed in range(runs)]))
        rate = f"{hits / runs:.1%} | ≥ {bounds(hits, runs)[0]:.1%}"
        yield f"| correlation 0 → 0.6, {fields} fields, 2000 rows | {runs} | {hits} | {rate} |"


def big(run: Callable[..., Iterator[str]], *, full: bool) -> Iterator[str]:
    yield "| 1,000,000 rows a side, shift | runs | " + " | ".join(SEVERITIES) + " |\n|---|---|" + "---|" * 4
    runs = 100 if full else 20
    for move in (0.0, 0.01, 0.05, 0.1, 0.3):
        found = list(run(million, [(move, seed) for seed in range(runs)]))
        yield f"| {move} sd | {runs} | " + " | ".join(str(found.count(s)) for s in SEVERITIES) + " |"


PARTS = {"false-alarms": false_alarms, "power": power, "million": big}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="1000 runs of every cell: hours")
    parser.add_argument("--part", choices=PARTS, action="append", help="one table (default: all)")
    parser.add_argument("--rows", type=int, choices=ROWS, action="append", help="false alarms of these sizes only")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    with get_context("fork").Pool(options.processes) as pool:

        def run(function: Callable[..., object], cases: list[object]) -> Iterator[object]:
            return pool.imap_unordered(function, cases)

        for part in options.part or PARTS:
            chosen = {"sizes": options.rows} if part == "false-alarms" and options.rows else {}
            for line in PARTS[part](run, full=options.full, **chosen):  # type: ignore[operator]
                print(line, flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
