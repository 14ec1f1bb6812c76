"""A batch as tasks: one for each file, on whatever worker runs it. Which parts of a file are answered is known where its answers go."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from headrace_functions.batch import places
from headrace_functions.batch.requests import Asker
from headrace_functions.batch.running import BatchRun, Totals
from headrace_functions.errors import FunctionFailed, HeadraceError
from headrace_functions.names import VersionId
from headrace_jobs.batch.gateway import Gateway
from headrace_jobs.command import LOG

log = logging.getLogger(LOG)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is asked, of plain values, so that it may be sent to a worker."""

    version: str
    endpoint: str
    files: str
    to: str
    part_rows: int
    parallel: int
    unlogged: bool
    restart: bool
    within: tuple[str, ...] = ()
    """Folders that its files and answers may lie below; empty for anywhere."""

    @property
    def work(self) -> Path:
        """A folder of this machine for what is fetched and not yet put."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
        return places.working_folder(cache, self.version, self.files, self.to)

    def answer(self, number: int) -> Totals | str:
        """Answer one file, by its place among all; what ended it in words, because an error may not survive its way from a worker."""
        try:
            one = places.inputs(self.files, self.work, self.within)[number]
            gateway = Gateway(self.endpoint, VersionId.parse(self.version))
            asker = Asker(gateway.post, gateway.metadata(), unlogged=self.unlogged)
            target = places.destination(self.to, self.work, durable=True, within=self.within)
            made = BatchRun(asker, self.version, target, rows=self.part_rows, parallel=self.parallel, progress=log.info)
            return made.run([one], restart=self.restart)
        except HeadraceError as error:
            return error.message + (f" ({error.hint})" if error.hint else "")


def merged(*answered: Totals | str) -> Totals:
    """The totals of all files. ``FunctionFailed`` with the words of the first that failed; the others have their answers."""
    whole = Totals()
    for one in answered:
        if isinstance(one, str):
            raise FunctionFailed(one)
        whole.files += one.files
        whole.rows += one.rows
        whole.refused += one.refused
        whole.already += one.already
        whole.versions |= one.versions
    return whole
