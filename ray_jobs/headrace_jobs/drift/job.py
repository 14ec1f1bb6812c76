"""The drift job: a window of a version's log against its training data or another window, field by field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from headrace_functions.drift_rules import USUAL, DriftRules
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import ViewName, names
from headrace_jobs import inputs
from headrace_jobs.baseline import Against, Baseline, from_log
from headrace_jobs.columns import Column, columns_of
from headrace_jobs.content import has_content
from headrace_jobs.content import key as content_key
from headrace_jobs.detectors import blocks
from headrace_jobs.detectors.base import Detector, Finding, WholeTest
from headrace_jobs.detectors.methods import Methods
from headrace_jobs.drift.apart import GROUPS, apart
from headrace_jobs.drift.baseline_cache import from_training
from headrace_jobs.drift.chunks import coarse, judge_chunks
from headrace_jobs.drift.compare import Comparison, compare
from headrace_jobs.drift.concept import concept
from headrace_jobs.drift.describe import Told, describe
from headrace_jobs.drift.usual import Usual, usual
from headrace_jobs.execution import Executor
from headrace_jobs.plan import ROOT, by_leaf, plan
from headrace_jobs.report.models import DriftReport
from headrace_jobs.sampling import size_for
from headrace_jobs.scan import Part, Reference, Task
from headrace_jobs.statistics.repeats import effective, of_groups
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
    together: tuple[str, ...] = ("joint", "relations", CONCEPT)
    """Names of tests of all fields together."""
    settings: tuple[str, ...] = ()
    """What this run goes by in place of the version's rules, e.g. ``monitoring.alpha=0.01``."""
    rules: DriftRules = USUAL
    """Whose they are is the version's, see ``ruled``."""

    def __post_init__(self) -> None:
        if self.chunks and self.detector.sample:
            raise InvalidInput(
                f"chunks: the {self.detector.name} engine uses samples of the whole window",
                field="chunks",
                hint="leave out --chunks, or use --engine native",
            )

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> DriftReport:
        """Read, count, test and judge; raises ``NotFound`` for an unknown version, ``InvalidInput`` without a reference."""
        version = inputs.read_version(objects, self.version)
        ruled = self.ruled(version)
        return ruled.of_version(objects, version, executor, progress)

    def ruled(self, version: Version) -> "DriftRun":
        """The same run by the version's rules, and by the settings of the run before them; ``InvalidInput`` for one that cannot be."""
        rules = version.drift.with_settings(self.settings)
        rules.check(version.signature)
        effects = {name: max(rules.effect, least) for name, least in rules.fields.items()}
        policy = replace(self.policy, alpha=rules.alpha, effect=rules.effect, effects=effects)
        return replace(self, rules=rules, policy=policy)

    def of_version(self, objects: ObjectStore, version: Version, executor: Executor, progress: Progress) -> DriftReport:
        """As ``report``, where the rules of the run are known."""
        columns = columns_of(version.signature)
        self.methods.check({c.field.name: {view.kind for view in names(c.field)} for c in columns})
        rows = self.rows_kept(columns)
        base = self._baseline(objects, version, rows, executor, progress)
        files = inputs.log_files(objects, self.version, self.window)
        part = self._count(files, self.task(columns, base, rows), executor, progress)
        words = self.against.words.kind
        before = usual(objects, self.version, self.window, words, self.detector.name)
        return self.conclude(base, part, len(files), self._concept(objects, version, files, executor), before)

    def _tests(self) -> list[WholeTest]:
        return [self.detector.whole(name) for name in self.together if name != CONCEPT]

    def rows_kept(self, columns: tuple[Column, ...]) -> int:
        """How many rows of a side are kept raw for tests of all fields."""
        grouped = self.rules.grouping is not None and not self.detector.sample
        inside = any(has_content(column.field) for column in columns)
        of_groups = (blocks.ROWS // 4 if inside else blocks.ROWS) if grouped else 0  # content takes a kilobyte a row
        return size_for(columns, max([self.detector.sample, of_groups, *(test.rows for test in self._tests())]))

    def task(self, columns: tuple[Column, ...], base: Baseline, rows: int) -> Task:
        """What is counted of the window, of which ``rows`` are kept raw."""
        starts = tuple(piece.microseconds()[0] for piece in self.chunks)
        group = next((c for c in columns if c.side == "input" and c.field.name == self.rules.grouping), None)
        return Task(self.window, columns, base.references, rows, starts, self._thin(base), base.told_by, group)

    def _thin(self, base: Baseline) -> Mapping[str, Reference]:
        return coarse(base.references, len(self.chunks)) if self.chunks else {}

    def conclude(
        self, base: Baseline, part: Part, files: int, more: tuple[Finding, ...] = (), before: Usual | None = None
    ) -> DriftReport:
        """Test and judge what was counted; ``more`` are findings about all fields that were made elsewhere, ``before`` is what earlier windows had."""
        sides = self._sides(base, part, files, more)
        tested = compare(sides, self.detector, self.policy)
        pieces = judge_chunks(self.chunks, sides, self._thin(base), self.detector, self.policy)
        told = Told(
            self.version,
            self.window,
            self.against,
            self.detector,
            self.policy,
            base.notes,
            pieces,
            base.ranking,
            before or Usual(),
        )
        return describe(told, sides, tested)

    def _sides(self, base: Baseline, part: Part, files: int, more: tuple[Finding, ...]) -> Comparison:
        kept = part.sample.columns if part.sample is not None else {}
        columns = {content_key(column): column for column, _ in base.views.values()}
        contents = {
            key: columns[key]
            for key in base.sample.contents
            if key in kept and columns[key].field.name not in self.rules.exclude
        }
        views = {key: one for key, one in base.views.items() if not self._left_out(one, contents)}
        grouping = self._grouping(base)
        scale = (1.0, 1.0)
        if base.repeats is not None and part.repeats is not None:
            both = base.repeats, part.repeats
            scale = effective(*both) if grouping is None else (of_groups(both[0]), of_groups(both[1]))
        return Comparison(
            base.rows,
            {key: base.references[key] for key in views},
            views,
            part,
            files,
            base.sample,
            self.methods,
            self._tests(),
            more,
            base.importance,
            scale,
            {key: why for key in views if (why := self._apart(key, base, part, grouping)) is not None},
            contents,
            base.told_by,
            grouping,
        )

    def _left_out(self, one: tuple[Column, ViewName], contents: Mapping[str, Column]) -> bool:
        """Whether a view is not compared: its field is excluded, or it is an element of an embedding, which is looked at as a whole."""
        column, view = one
        element = column.field.profile == "embedding" and not view.derived and content_key(column) in contents
        return column.field.name in self.rules.exclude or element

    def _grouping(self, base: Baseline) -> str | None:
        return next((key for key, (column, _) in base.views.items() if column.field.name == self.rules.grouping), None)

    def _apart(self, key: str, base: Baseline, part: Part, grouping: str | None) -> str | None:
        if key == grouping:
            return GROUPS
        return apart(base.references[key], part.views.get(key), part.trends.get(key))

    def _baseline(
        self, objects: ObjectStore, version: Version, rows: int, executor: Executor, progress: Progress
    ) -> Baseline:
        if self.against.window is None:
            return from_training(objects, version, self.detector.sample, rows, self.rules.grouping, self.window.where)
        kept = self.detector.sample
        return from_log(objects, version, self.against.window, kept, executor, progress, self.rules.grouping)

    def _concept(
        self, objects: ObjectStore, version: Version, files: tuple[inputs.LogFile, ...], executor: Executor
    ) -> tuple[Finding, ...]:
        if CONCEPT not in self.together or self.against.window is not None or self.window.where:
            return ()  # of some rows only the labels of all training rows say nothing
        found = concept(objects, version, self.window, files, executor)
        return () if found is None else (found,)

    def _count(self, files: tuple[inputs.LogFile, ...], task: Task, executor: Executor, progress: Progress) -> Part:
        whole: Part = executor.run(plan(files, task), ROOT, by_leaf(len(files), progress))
        return whole
