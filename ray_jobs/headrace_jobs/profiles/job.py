"""The profile job: training data and a window of the log through the same statistics, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs import inputs
from headrace_jobs.columns import Column, columns_of
from headrace_jobs.execution import Executor
from headrace_jobs.inputs import LogFile
from headrace_jobs.plan import ROOT, by_leaf, tree
from headrace_jobs.profiles.partial import Profiled, merge_all
from headrace_jobs.profiles.presentation import tell
from headrace_jobs.profiles.training import profiled
from headrace_jobs.profiles.training_cache import profile_training
from headrace_jobs.report.models import Note, ProfileReport, ProfileRows, Span
from headrace_jobs.sampling import Progress
from headrace_jobs.window import Window


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """One run of the job."""

    version: VersionId
    window: Window

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> ProfileReport:
        """``NotFound`` for an unknown version. Without training data the window stands alone."""
        version = inputs.read_version(objects, self.version)
        files = inputs.log_files(objects, self.version, self.window)
        leaves = [(profile_file, file, self.window, columns_of(version.signature)) for file in files]
        now: Profiled = executor.run(tree(leaves, merge_all), ROOT, by_leaf(len(files), progress))
        before = profile_training(objects, version)
        names = [f"log: {problem}" for problem in now.problems.values()]
        notes = [*before.problems.items(), *zip(now.problems, names, strict=True)]
        return ProfileReport(
            model=str(self.version),
            window=Span.of(self.window),
            rows=ProfileRows(training=before.rows, window=now.rows, failed=now.failed, files=len(files)),
            fields=tell(before, now),
            notes=tuple(Note(name=name, reason=reason) for name, reason in notes),
        )


def profile_file(file: LogFile, window: Window, columns: Sequence[Column]) -> Profiled:
    """The rows of one file that are in the window and were answered; one column is in memory at a time."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), window)
    if not answered.rows:
        return Profiled(failed=answered.failed)
    read = ((column, answered.column(column.name)) for column in columns)
    return profiled(answered.rows, answered.failed, read, answered.priorities())
