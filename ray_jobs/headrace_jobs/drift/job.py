"""The drift job: a window of a version's log against its training data or another window, field by field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import names
from headrace_jobs import inputs
from headrace_jobs.baseline import Against, Baseline, from_log
from headrace_jobs.columns import Column, columns_of
from headrace_jobs.detectors.base import Detector, Finding, WholeTest
from headrace_jobs.detectors.methods import Methods
from headrace_jobs.drift.baseline_cache import from_training
from headrace_jobs.drift.chunks import coarse, judge_chunks
from headrace_jobs.drift.compare import Comparison, compare
from headrace_jobs.drift.concept import concept
from headrace_jobs.drift.describe import Told, describe
from headrace_jobs.execution import Executor
from headrace_jobs.plan import ROOT, by_leaf, plan
from headrace_jobs.report.models import DriftReport
from headrace_jobs.sampling import size_for
from headrace_jobs.scan import Part, Reference, Task
from headrace_jobs.verdict import DEFAULT, Policy
from headrace_jobs.window import Window

Progress = Callable[[int, int, str], None]
"""Called with what is done, the total, and of what."""


CONCEPT = "concept"


@dataclass(frozen=True, slots=True)
class DriftRun:
    """One run of the job."""

    version: VersionId
    window: Window
    detector: Detector
    policy: Policy = DEFAULT
    against: Against = field(default_factory=Against)
    chunks: tuple[Window, ...] = ()
    """The window cut into pieces that are compared by themselves too."""
    methods: Methods = field(default_factory=Methods)
    together: tuple[str, ...] = ("joint", CONCEPT)
    """Names of tests of all fields together."""

    def __post_init__(self) -> None:
        if self.chunks and self.detector.sample:
            raise InvalidInput(
                f"chunks: the {self.detector.name} engine looks at samples of the whole window",
                field="chunks",
                hint="leave out --chunks, or use --engine native",
            )

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> DriftReport:
        """Read, count, test and judge; raises ``NotFound`` for an unknown version, ``InvalidInput`` without a reference."""
        version = inputs.read_version(objects, self.version)
        columns = columns_of(version.signature)
        self.methods.check({c.field.name: {view.kind for view in names(c.field)} for c in columns})
        tests = self._tests()
        rows = size_for(columns, max([self.detector.sample, *(test.rows for test in tests)], default=0))
        base = self._baseline(objects, version, rows, executor, progress)
        files = inputs.log_files(objects, self.version, self.window)
        part = self._count(files, self.task(columns, base, rows), executor, progress)
        return self.conclude(base, part, len(files), self._concept(objects, version, files, executor))

    def _tests(self) -> list[WholeTest]:
        return [self.detector.whole(name) for name in self.together if name != CONCEPT]

    def task(self, columns: tuple[Column, ...], base: Baseline, rows: int) -> Task:
        """What is counted of the window, of which ``rows`` are kept raw."""
        starts = tuple(piece.microseconds()[0] for piece in self.chunks)
        return Task(self.window, columns, base.references, rows, starts, self._thin(base))

    def _thin(self, base: Baseline) -> Mapping[str, Reference]:
        return coarse(base.references, len(self.chunks)) if self.chunks else {}

    def conclude(self, base: Baseline, part: Part, files: int, more: tuple[Finding, ...] = ()) -> DriftReport:
        """Test and judge what was counted; ``more`` are findings about all fields that were made elsewhere."""
        sides = Comparison(
            base.rows,
            base.references,
            base.views,
            part,
            files,
            base.sample,
            self.methods,
            self._tests(),
            more,
            base.importance,
        )
        tested = compare(sides, self.detector, self.policy)
        pieces = judge_chunks(self.chunks, sides, self._thin(base), self.detector, self.policy)
        told = Told(
            self.version, self.window, self.against, self.detector, self.policy, base.notes, pieces, base.ranking
        )
        return describe(told, sides, tested)

    def _baseline(
        self, objects: ObjectStore, version: Version, rows: int, executor: Executor, progress: Progress
    ) -> Baseline:
        if self.against.window is None:
            return from_training(objects, version, self.detector.sample, rows)
        return from_log(objects, version, self.against.window, self.detector.sample, executor, progress)

    def _concept(
        self, objects: ObjectStore, version: Version, files: tuple[inputs.LogFile, ...], executor: Executor
    ) -> tuple[Finding, ...]:
        if CONCEPT not in self.together or self.against.window is not None:
            return ()
        found = concept(objects, version, self.window, files, executor)
        return () if found is None else (found,)

    def _count(self, files: tuple[inputs.LogFile, ...], task: Task, executor: Executor, progress: Progress) -> Part:
        whole: Part = executor.run(plan(files, task), ROOT, by_leaf(len(files), progress))
        return whole
