"""How often drift runs cry wolf, and what they hear: ``python tests/benchmarks/calibration.py --minutes 30 [--part NAME]``.

Each run draws a reference and a window, counts both as a job does, and judges the whole model as a report does. One
process and one thread; cells take turns until each has its runs or the time is over, and every cell says how many it had.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import concept_laws
import numpy as np
import pyarrow as pa
from drift_groups import KINDS, REPEATS, WHO, grouped
from drift_groups import SIZES as GROUP_SIZES
from drift_laws import FRESH, FURTHER, HELD_BACK, LAWS, Law, declared
from drift_shifts import BASE, SHIFTS, Shift, base
from scipy import stats

from headrace_functions.drift_rules import USUAL, DriftRules
from headrace_functions.logtable import input_column, output_column
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.baseline import Baseline, count_training
from headrace_jobs.columns import columns_of
from headrace_jobs.detectors.base import Finding
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift import concept
from headrace_jobs.drift.compare import compare
from headrace_jobs.drift.job import DriftRun
from headrace_jobs.performance.calibration import single_thread
from headrace_jobs.performance.problem import Classes
from headrace_jobs.report.models import DriftReport
from headrace_jobs.scan import Part, count_rows
from headrace_jobs.verdict import SEVERITIES
from headrace_jobs.window import Window

SEEDS = 2_600_000_000
BATCH = 3
"""Runs that a cell makes before another has its turn."""
UNTIL = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = Window(UNTIL - timedelta(hours=1), UNTIL, "1h")
SCORE = Field("score", dtype("float64"), profile="numerical")
MIX = (
    "normal", "few categories", "zero-inflated", "Zipf 200", "pareto", "counts", "missing 30 %", "prices", "rare category", "bimodal",
)  # fmt: skip
HELD_MIX = (
    "Student t, 2 df", "Yule categories", "99 % zeros", "40 equal categories", "negative binomial", "beta (0.5, 0.5)", "half rounded",
    "one in 300", "missing 99 %", "short words",
)  # fmt: skip
SIZES = (
    (30, 30), (100, 100), (500, 500), (2000, 2000), (10_000, 10_000), (500, 20_000), (20_000, 500), (100, 20_000), (20_000, 100),
)  # fmt: skip
LARGE = (100_000, 100_000)
FURTHER_SIZES = (
    (50, 50),
    (300, 300),
    (50, 5000),
    (5000, 50),
    (200, 20_000),
    (20_000, 200),
    (3000, 3000),
    (20_000, 20_000),
)
Table = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell of the table: fields by their laws, rows of both sides, and how often each row is repeated."""

    name: str
    laws: tuple[str, ...]
    rows: tuple[int, int]
    repeats: int = 1
    fields: int = 0
    """Fields whose laws are chosen anew for each run; 0 where ``laws`` says them."""

    def of(self, seed: int) -> "Cell":
        """The cell with the laws of a run."""
        if not self.fields:
            return self
        random = np.random.default_rng([SEEDS + seed, self.fields])
        return replace(self, laws=tuple(random.choice(QUICK, self.fields).tolist()))

    @property
    def width(self) -> int:
        return self.fields or len(self.laws)


QUICK = [name for name, law in {**LAWS, **HELD_BACK, **FRESH}.items() if law.kind in ("number", "category")]
"""Laws that any number of fields may follow: all but those of texts and vectors, which take a second each."""


def law(name: str) -> Law:
    return {**LAWS, **HELD_BACK, **FRESH, **FURTHER, "clock": Law("number", lambda n, _: np.arange(n) * 1.0)}[name]


def drawn(laws: Sequence[str], rows: int, random: np.random.Generator) -> Table:
    return {f"f{i}": law(name).draw(rows, random) for i, name in enumerate(laws)}


def repeated(table: Table, times: int, random: np.random.Generator) -> Table:
    """Each row ``times`` over, in random order."""
    order = random.permutation(np.repeat(np.arange(len(next(iter(table.values())))), times))
    return {
        name: values[order] if isinstance(values, np.ndarray) else [values[i] for i in order]
        for name, values in table.items()
    }


def scored(table: Table, random: np.random.Generator) -> Array:
    """The answers of a model that looks at the numbers of the first fields."""
    numbers = [v for v in table.values() if isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype.kind == "f"][:4]
    rows = len(next(iter(table.values())))
    total = sum((np.tanh(np.nan_to_num(v) / 3) for v in numbers), np.zeros(rows))
    return np.asarray(1 / (1 + np.exp(-total - random.normal(0, 0.3, rows))))


@dataclass(frozen=True)
class Drawn:
    """Both sides of a run, counted."""

    run: DriftRun
    reference: Baseline
    window: Part

    def report(self, more: tuple[Finding, ...] = ()) -> DriftReport:
        return self.run.conclude(self.reference, self.window, 1, more)

    def drifted(self) -> bool:
        """The verdict alone, without its description."""
        sides = self.run._sides(self.reference, self.window, 1, ())
        tested = compare(sides, self.run.detector, self.run.policy)
        return any(j.severity != "none" for some in tested.values() for j in some)


def counted(fields: tuple[Field, ...], before: Table, now: Table, rules: DriftRules = USUAL) -> Drawn:
    """A window of rows ``now`` and the training rows ``before``; both may hold ``score``."""
    version = Version(VersionId("study", 1), "python", Signature(fields, (SCORE,)), "0" * 64, "env", "content")
    run = DriftRun(version.id, WINDOW, Native(), rules=rules)
    columns = columns_of(version.signature)
    kept = run.rows_kept(columns)
    training, window = ({k: arrow(v) for k, v in side.items()} for side in (before, now))
    answers = {output_column(SCORE): training["score"]} if "score" in training else {}
    rows, count = len(next(iter(before.values()))), len(next(iter(now.values())))
    reference = count_training(
        version, rows, training.get, answers.get if answers else None, np.arange(rows), (0, kept), rules.grouping
    )
    named = {input_column(f): window[f.name] for f in fields} | {output_column(SCORE): window.get("score")}
    since, until = WINDOW.microseconds()
    received = np.linspace(since, until - 1, count).astype(np.int64)
    part = count_rows(run.task(columns, reference, kept), received, np.zeros(count, np.int64), named.get)
    return Drawn(run, reference, part)


def judged(fields: tuple[Field, ...], before: Table, now: Table, more: tuple[Finding, ...] = ()) -> DriftReport:
    """The report of a window of rows ``now`` against the training rows ``before``."""
    return counted(fields, before, now).report(more)


def arrow(values: Any) -> pa.ChunkedArray:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        flat = pa.array(values.reshape(-1))
        return pa.chunked_array([pa.FixedSizeListArray.from_arrays(flat, values.shape[1])])
    return pa.chunked_array([pa.array(values)])


def sides(cell: Cell, seed: int) -> tuple[Table, Table]:
    """Training rows and a window without any change between them, but that a clock went on."""
    random = np.random.default_rng([SEEDS + seed, zlib.crc32(repr(cell).encode())])
    found = []
    for rows in cell.rows:
        table = drawn(cell.laws, rows // cell.repeats, random)
        table = repeated(table, cell.repeats, random) if cell.repeats > 1 else table
        found.append({**table, "score": scored(table, random)})
    for i, name in enumerate(cell.laws):
        if name == "clock":  # training rows in random order, as most people keep them
            found[0][f"f{i}"] = random.permutation(1.7e9 + np.cumsum(random.integers(1, 60, cell.rows[0])))
            found[1][f"f{i}"] = 1.9e9 + np.cumsum(random.integers(1, 60, cell.rows[1])) * 1.0
    return found[0], found[1]


def alarm(cell: Cell, seed: int) -> bool:
    cell = cell.of(seed)
    fields = tuple(law(name).field(f"f{i}") for i, name in enumerate(cell.laws))
    return counted(fields, *sides(cell, seed)).drifted()


def quiet_cells(laws: Mapping[str, Law], mix: Sequence[str], wide: Sequence[int]) -> list[Cell]:
    """Each law alone, mixtures, and mixtures with each row five times."""
    names = [*laws, *(["clock"] if "normal" in laws else [])]
    alone = [Cell(name, (name,), rows) for name in names for rows in SIZES]
    mixed = [
        Cell(f"mixture of {d}", tuple(mix[i % len(mix)] for i in range(d)), rows) for d in (10, *wide) for rows in SIZES
    ]
    clusters = [Cell("mixture of 10, each row five times", tuple(mix), rows, 5) for rows in SIZES]
    single = [Cell("normal, each row five times", ("normal",), rows, 5) for rows in SIZES] if "normal" in laws else []
    return [*alone, *mixed, *clusters, *single]


def bounds(hits: int, runs: int) -> tuple[float, float]:
    """One-sided 95 % bounds of a rate, lower and upper (Clopper and Pearson 1934)."""
    low = float(stats.beta.ppf(0.05, hits, runs - hits + 1)) if hits else 0.0
    return low, float(stats.beta.ppf(0.95, hits + 1, runs - hits)) if hits < runs else 1.0


def take_turns(
    cells: Sequence[Any], run: Callable[[Any, int], Any], runs: int, minutes: float, first: int
) -> list[list[Any]]:
    """Answers of each cell; cells that are quick get ahead, so that the time is shared evenly."""
    end = time.monotonic() + 60 * minutes
    spent, found = np.zeros(len(cells)), [[] for _ in cells]  # type: ignore[var-annotated]
    while time.monotonic() < end:
        open_ = [i for i in range(len(cells)) if len(found[i]) < runs]
        if not open_:
            break
        at = min(open_, key=lambda i: spent[i])
        started = time.monotonic()
        for _ in range(min(BATCH, runs - len(found[at]))):
            found[at].append(run(cells[at], first + len(found[at])))
            if time.monotonic() > end:
                break
        spent[at] += time.monotonic() - started
    return found


def false_alarms(cells: Sequence[Cell], options: argparse.Namespace) -> Iterator[str]:
    """A line a law, with a column for each size."""
    chosen = [c for c in cells if options.only in c.name]
    answers = take_turns(chosen, alarm, options.runs, options.minutes, options.first)
    found = {(c.name, c.rows): (sum(seen), len(seen)) for c, seen in zip(chosen, answers, strict=True) if seen}
    sizes = list(dict.fromkeys(c.rows for c in chosen if (c.name, c.rows) in found))
    yield f"| law | fields | {' | '.join(f'{n:,} → {m:,}' for n, m in sizes)} | all sizes | 95 % bound |"
    yield "|---|---|" + "---|" * (len(sizes) + 2)
    for name, fields in dict.fromkeys((c.name, c.width) for c in chosen):
        of = [found.get((name, rows), (0, 0)) for rows in sizes]
        hits, runs = (sum(side) for side in zip(*of, strict=True))
        if runs:
            each = " | ".join(f"{k} of {n}" if n else "" for k, n in of)
            yield f"| {name} | {fields} | {each} | {hits / runs:.1%} | ≤ {bounds(hits, runs)[1]:.1%} |"
    hits, runs = (sum(side) for side in zip(*found.values(), strict=True))
    columns = [
        [found[c.name, c.rows] for c in chosen if c.rows == rows and (c.name, c.rows) in found] for rows in sizes
    ]
    each = " | ".join(f"{sum(k for k, _ in of) / sum(n for _, n in of):.1%}" for of in columns)
    yield f"| all | | {each} | {hits} of {runs}, {hits / runs:.1%} | ≤ {bounds(hits, runs)[1]:.1%} |"


def quiet(options: argparse.Namespace) -> Iterator[str]:
    return false_alarms(quiet_cells(LAWS, MIX, (50, 100)), options)


def held_back(options: argparse.Namespace) -> Iterator[str]:
    return false_alarms(quiet_cells(HELD_BACK, HELD_MIX, (50,)), options)


def fresh(options: argparse.Namespace) -> Iterator[str]:
    return false_alarms([Cell(name, (name,), rows) for name in FRESH for rows in SIZES], options)


def further(options: argparse.Namespace) -> Iterator[str]:
    alone = [Cell(name, (name,), rows) for name in FURTHER for rows in FURTHER_SIZES]
    quick = tuple(name for name, one in FURTHER.items() if one.kind != "text")
    return false_alarms([*alone, *(Cell("all numbers and categories", quick, rows) for rows in FURTHER_SIZES)], options)


def width(options: argparse.Namespace) -> Iterator[str]:
    """By the number of fields, whose laws are chosen anew for each run from all of ``QUICK``."""
    sizes = [*SIZES[1:7], LARGE]
    return false_alarms(
        [Cell(f"{d} of {len(QUICK)}", (), rows, 1, d) for d in (1, 10, 50, 100) for rows in sizes], options
    )


@dataclass(frozen=True)
class Groups:
    """Rows in groups that are named as ``grouping``: how much they share, rows of a group, rows of both sides, fields, and how far the first moves."""

    shared: float
    sizes: str
    rows: tuple[int, int]
    fields: int
    move: float = 0.0


def grouped_alarm(case: Groups, seed: int) -> bool:
    random = np.random.default_rng([SEEDS + seed, zlib.crc32(repr(case).encode())])
    sides = []
    for rows, first, move in ((case.rows[0], 0, 0.0), (case.rows[1], 10_000_000, case.move)):
        table = grouped(case.shared, case.sizes, rows, case.fields, first, random, move)
        # An answer of equal rows is equal too.
        sides.append({**table, "score": 1 / (1 + np.exp(-np.tanh(table["f0"])))})
    fields = (declared("category", WHO), *(declared(KINDS[i % 4], f"f{i}") for i in range(case.fields)))
    return counted(fields, *sides, DriftRules(grouping=WHO)).drifted()


def groups(options: argparse.Namespace) -> Iterator[str]:
    sizes = ((500, 500), (2000, 2000), (500, 10_000), (10_000, 500))
    cases = [
        Groups(shared, name, rows, fields, move)
        for move, widths in ((0.0, (1, 8)), (0.4, (8,)))
        for shared in (0.0, 0.3, 0.9, 1.0)
        for name in GROUP_SIZES
        for fields in widths
        for rows in sizes
    ]
    answers = dict(
        zip(cases, take_turns(cases, grouped_alarm, options.runs, options.minutes, options.first), strict=True)
    )
    for move in (0.0, 0.4):
        yield (
            f"\n| first field moves by {move} sd: rows of a group | shared | fields | "
            + " | ".join(f"{n:,} → {m:,}" for n, m in sizes)
            + " | all sizes | 95 % bound |"
        )
        yield "|---|---|---|" + "---|" * (len(sizes) + 2)
        for one in [case for case in cases if case.move == move and case.rows == sizes[0]]:
            seen = [answers[replace(one, rows=rows)] for rows in sizes]
            hits, runs = sum(map(sum, seen)), sum(map(len, seen))
            if runs:
                each = " | ".join(f"{sum(some)} of {len(some)}" for some in seen)
                rate = f"{hits / runs:.1%} | ≤ {bounds(hits, runs)[1]:.1%}"
                yield f"| {one.sizes} | {one.shared:.0%} | {one.fields} | {each} | {rate} |"


@dataclass(frozen=True)
class Repeats:
    """How often rows are sent on either side, rows of both, and what each row bears besides: nothing, an ``id`` or a ``time`` of its own."""

    often: tuple[str, str]
    rows: tuple[int, int]
    own: str = ""


def repeated_alarm(case: Repeats, seed: int) -> bool:
    random = np.random.default_rng([SEEDS + seed, zlib.crc32(repr(case).encode())])
    laws, found = ("normal", "few categories", "prices"), []
    for side, (rows, often) in enumerate(zip(case.rows, case.often, strict=True)):
        times = REPEATS[often](rows, random)
        table = drawn(laws, len(times), random)
        table["score"] = scored(table, random)
        order = random.permutation(np.repeat(np.arange(len(times)), times))
        table = {k: v[order] if isinstance(v, np.ndarray) else [v[i] for i in order] for k, v in table.items()}
        if case.own == "id":
            table["own"] = [f"r{i}" for i in random.integers(0, 1 << 60, len(order))]
        elif case.own:
            table["own"] = 1.7e9 + side * 1e8 + np.sort(random.random(len(order))) * 1e6
        found.append(table)
    own = (declared("category" if case.own == "id" else "number", "own"),) if case.own else ()
    return counted((*(law(name).field(f"f{i}") for i, name in enumerate(laws)), *own), *found).drifted()


def repeats(options: argparse.Namespace) -> Iterator[str]:
    sizes = ((500, 500), (2000, 2000), (500, 10_000))
    often = [(name, name) for name in REPEATS if name != "never"] + [("never", "geometric")]
    cases = [Repeats(pair, rows, own) for own in ("", "id", "time") for pair in often for rows in sizes]
    answers = take_turns(cases, repeated_alarm, options.runs, options.minutes, options.first)
    found = dict(zip(cases, answers, strict=True))
    yield f"| rows are sent (reference, window) | beside | {' | '.join(f'{n:,} → {m:,}' for n, m in sizes)} |"
    yield "|---|---|---|---|---|"
    for one in [case for case in cases if case.rows == sizes[0]]:
        seen = [found[replace(one, rows=rows)] for rows in sizes]
        each = " | ".join(f"{sum(some)} of {len(some)}" for some in seen)
        yield f"| {', '.join(dict.fromkeys(one.often))} | {one.own} | {each} |"
    hits, runs = sum(map(sum, answers)), sum(map(len, answers))
    yield f"| all | | {hits} of {runs}, {hits / max(runs, 1):.1%}, ≤ {bounds(hits, runs)[1]:.1%} |"


@dataclass(frozen=True)
class Planted:
    shift: Shift
    rows: int


def found(case: Planted, seed: int) -> tuple[bool, bool]:
    """Whether a planted shift is found, and whether the guilty field comes first (of a relation: is named)."""
    random = np.random.default_rng([SEEDS + seed, case.rows, zlib.crc32(case.shift.name.encode())])
    before, now = (base(case.rows, random) for _ in range(2))
    now[case.shift.guilty[-1]] = case.shift.change(now, random)
    fields = tuple(declared(kind, name) for name, kind in BASE.items())
    report = judged(fields, *({**side, "score": scored(side, random)} for side in (before, now)))
    if report.verdict != "drift":
        return False, False
    guilty = case.shift.guilty
    named = any(set(t.about) == set(guilty) for t in report.whole if t.severity != "none")
    first = report.fields[0].name.split("[")[0].split(" ")[0]
    return True, named if len(guilty) > 1 else first == guilty[0]


def power(options: argparse.Namespace) -> Iterator[str]:
    yield "| planted shift | rows a side | runs | found | guilty field first |\n|---|---|---|---|---|"
    cases = [Planted(shift, rows) for rows in options.rows for shift in SHIFTS if options.only in shift.name]
    answers = take_turns(cases, found, min(options.runs, 40), options.minutes, options.first)
    for case, seen in zip(cases, answers, strict=True):
        hits = [first for hit, first in seen if hit]
        if seen:
            first = f"{sum(hits)} of {len(hits)}"
            yield f"| {case.shift.name} | {case.rows:,} | {len(seen)} | {len(hits) / len(seen):.0%} | {first} |"
    for rows in options.rows:
        of = [seen for case, seen in zip(cases, answers, strict=True) if case.rows == rows and seen]
        rate = np.mean([np.mean([hit for hit, _ in seen]) for seen in of])
        hits = [first for seen in of for hit, first in seen if hit]
        yield f"| **all** | {rows:,} | {sum(map(len, of))} | **{rate:.1%}** | **{np.mean(hits):.1%}** |"


def concept_found(case: tuple[int, int, float], seed: int) -> bool:
    """Labels of a score of known meaning, some of which are exchanged: is concept drift among the findings that count?"""
    before, now, flipped = case
    random = np.random.default_rng([SEEDS + seed, before, now, round(100 * flipped)])
    problem = Classes("label", SCORE, ("no", "yes"), None)
    tables: list[Array] = []
    cut: concept.Cut | None = None
    for rows, share in ((before, 0.0), (now, flipped)):
        score = 1 / (1 + np.exp(-random.normal(0, 2, rows)))
        yes = (random.random(rows) < score) != (random.random(rows) < share)
        columns, labels = {output_column(SCORE): arrow(score)}, pa.array(np.where(yes, "yes", "no"))
        cut = cut or concept.cut_of(problem, columns, labels)
        tables.append(cut.table(columns, labels))
    finding = concept.compare(*tables)
    fields = tuple(law(name).field(f"f{i}") for i, name in enumerate(MIX))
    sides = [drawn(MIX, 500, random) for _ in range(2)]
    report = judged(fields, *sides, () if finding is None else (finding,))
    return any(test.test == "concept" and test.severity != "none" for test in report.whole)


def concept_drift(options: argparse.Namespace) -> Iterator[str]:
    yield "| labelled rows, reference → window | labels exchanged | runs | found |\n|---|---|---|---|"
    cases = [
        (n, m, share) for share in (0.0, 0.1) for n, m in ((500, 500), (2000, 2000), (10_000, 2000), (10_000, 10_000))
    ]
    answers = take_turns(cases, concept_found, min(options.runs, 200), options.minutes, options.first)
    for (n, m, share), seen in zip(cases, answers, strict=True):
        yield f"| {n:,} → {m:,} | {share:.0%} | {len(seen)} | {np.mean(seen):.1%} |" if seen else ""


@dataclass(frozen=True)
class Labels:
    """A law of predictions and labels, rows of both sides, and whether predictions mean something else in the window."""

    law: str
    rows: tuple[int, int]
    changed: bool

    def p(self, seed: int) -> float:
        random = np.random.default_rng([SEEDS + seed, zlib.crc32(repr(self).encode())])
        finding = concept_laws.finding(self.law, self.rows, self.changed, random)
        return 1.0 if finding is None else finding.p


def concept_p_values(options: argparse.Namespace) -> Iterator[str]:
    """How often p-values of the test of concept drift are at most a level: 0.05 without a change, 0.005 with one, about what counts in a report."""
    cases = [
        Labels(law, rows, changed)
        for law in concept_laws.LAWS
        for changed in (False, True)
        for rows in concept_laws.SIZES
        if options.only in law
    ]
    answers = dict(zip(cases, take_turns(cases, Labels.p, options.runs, options.minutes, options.first), strict=True))
    for changed, level in ((False, 0.05), (False, 0.005), (True, 0.005)):
        yield (
            f"\n| p ≤ {level}{', changed' if changed else ''} | "
            + " | ".join(f"{n:,} → {m:,}" for n, m in concept_laws.SIZES)
            + " | all sizes | 95 % bounds |"
        )
        yield "|---|" + "---|" * (len(concept_laws.SIZES) + 2)
        every: list[bool] = []
        for law in concept_laws.LAWS:
            of = [[p <= level for p in answers.get(Labels(law, rows, changed), [])] for rows in concept_laws.SIZES]
            every += (seen := [one for some in of for one in some])
            if seen:
                each = " | ".join(f"{sum(some)} of {len(some)}" for some in of)
                yield f"| {law} | {each} | {rate_of(seen)} |"
        yield f"| all |{' |' * len(concept_laws.SIZES)} {rate_of(every)} |"


def rate_of(seen: Sequence[bool]) -> str:
    low, high = bounds(sum(seen), len(seen))
    return f"{np.mean(seen):.1%} | {low:.1%} to {high:.1%}"


def severity(move: float, seed: int) -> str:
    """Of a shift of one field of a million rows a side."""
    random = np.random.default_rng([SEEDS + seed, round(1000 * move)])
    before, now = ({"f0": random.normal(shift, 1, 1_000_000)} for shift in (0.0, move))
    return judged((declared("number", "f0"),), before, now).severity


def million(options: argparse.Namespace) -> Iterator[str]:
    yield "| 1,000,000 rows a side, shift | runs | " + " | ".join(SEVERITIES) + " |\n|---|---|" + "---|" * 4
    moves = (0.0, 0.01, 0.05, 0.1, 0.3)
    answers = take_turns(moves, severity, min(options.runs, 20), options.minutes, options.first)
    for move, seen in zip(moves, answers, strict=True):
        yield f"| {move} sd | {len(seen)} | " + " | ".join(str(seen.count(s)) for s in SEVERITIES) + " |"


PARTS: Mapping[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "quiet": quiet,
    "held-back": held_back,
    "fresh": fresh,
    "further": further,
    "width": width,
    "groups": groups,
    "repeats": repeats,
    "power": power,
    "concept": concept_drift,
    "concept-p-values": concept_p_values,
    "million": million,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="one table (default: all)")
    parser.add_argument("--minutes", type=float, default=30, help="for each table (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=1000, help="of each cell at most (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 2000, 10_000], help="of planted shifts")
    options = parser.parse_args()
    with single_thread():  # threads that wait for each other take most of the time of small runs
        for part in options.part or PARTS:
            for line in PARTS[part](options):
                print(line, flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
