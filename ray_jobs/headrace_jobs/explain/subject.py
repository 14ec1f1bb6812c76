"""What an explanation is of: one version, or a whole sequence from its inputs to the outputs of its last stage.

A sequence is asked as one function with the id of the request that is explained, so that the same variants answer. Its inputs in the log stand with the stages
that took them. Rows to compare with come from the training data of a stage that has all of them, else from the sequence's own log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.attribution.features import matrix
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.logtable import input_column, output_column
from headrace_functions.names import VersionId
from headrace_functions.sequence import Sequence
from headrace_functions.signature import Field
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.explain.background import BACKGROUND, read_background, read_more

Source = Literal["training", "log"]
LEAST = 10
"""Rows of the log below which there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Subject:
    """``version`` has the signature that is asked; ``sequence`` is empty, or a name, and ``title`` how a report calls it."""

    version: Version
    stages: tuple[tuple[Version, ...], ...]
    sequence: str = ""
    revision: int = 0

    @property
    def title(self) -> str | None:
        return f"{self.sequence}, revision {self.revision}" if self.sequence else None

    def logged(self, objects: ObjectStore, request_id: str, row: int) -> dict[str, Any]:
        """The row of the log by column of the log; ``NotFound`` for one that was not answered."""
        found: dict[str, Any] = {}
        wanted = {input_column(f) for f in self.version.signature.inputs}
        given = [output_column(f) for f in self.version.signature.outputs]
        for place, versions in enumerate(self.stages):
            last = place == len(self.stages) - 1
            own = {input_column(f) for v in versions for f in v.signature.inputs} & wanted - found.keys()
            columns = [*sorted(own), *(given if last else ())]
            part = self._of_stage(objects, versions, request_id, row, columns)
            if part is None:
                where = f"row {row} of request {request_id}"
                hint = "see headrace log query; only answered requests can be explained"
                log = f"sequence {self.sequence}" if self.sequence else str(self.version.id)
                raise NotFound(f"the log of {log} has no answered {where}", field="request-id", hint=hint)
            found |= part
        missing = sorted(wanted - found.keys())
        if missing:
            raise InvalidInput(f"{self.sequence}: no stage takes {missing[0]}", field="model")
        return found

    def _of_stage(
        self, objects: ObjectStore, versions: tuple[Version, ...], request_id: str, row: int, columns: list[str]
    ) -> dict[str, Any] | None:
        for version in versions:
            table = inputs.open_log(objects, version.id)
            for key in inputs.newest_first(table, version.id) if table is not None else ():
                part = _find(objects, key, request_id, row, columns, self.sequence)
                if part is not None:
                    return part
        return None

    def background(self, objects: ObjectStore) -> tuple[Array, Source]:
        """Rows ``(b, d)`` that stand for what is not known, and where they are from."""
        if not self.sequence:
            return read_background(objects, self.version), "training"
        names = {f.name for f in self.version.signature.inputs}
        members = [v for versions in self.stages for v in versions]
        for version in members:
            training = inputs.read_training(objects, version)
            if training is not None and names <= set(training.schema_arrow.names):
                return read_background(objects, replace(version, signature=self.version.signature)), "training"
        for version in members:
            if names <= {f.name for f in version.signature.inputs}:
                rows = self._rows_of_log(objects, version)
                if len(rows) >= LEAST:
                    return rows, "log"
        raise InvalidInput(
            f"{self.sequence}: there are no rows to explain against",
            field="model",
            expected=f"a stage that takes all inputs of the sequence, with training data or {LEAST} answered rows in its log",
            hint="explain the stage itself: headrace explain MODEL:NUMBER REQUEST_ID",
        )

    def more(self, objects: ObjectStore) -> Array:
        """More rows of the training data of a version; none of a sequence."""
        if self.sequence:
            return np.empty((0, sum(f.size or 1 for f in self.version.signature.inputs)), object)
        return read_more(objects, self.version)

    def _rows_of_log(self, objects: ObjectStore, version: Version) -> Array:
        """The newest whole rows that the sequence sent this version."""
        fields = self.version.signature.inputs
        found = [np.empty((0, sum(f.size or 1 for f in fields)), object)]
        table = inputs.open_log(objects, version.id)
        for key in inputs.newest_first(table, version.id) if table is not None else ():
            if sum(map(len, found)) >= BACKGROUND:
                break
            found.append(_whole_rows(objects, key, fields, self.version, self.sequence))
        return np.concatenate(found)[:BACKGROUND]


def subject_of(objects: ObjectStore, version: VersionId, sequence: str = "") -> Subject:
    """The version, or the sequence as it is now; ``NotFound`` where there is none."""
    last = inputs.read_version(objects, version)
    if not sequence:
        return Subject(last, ((last,),))
    documents = Documents(objects)
    number = documents.last_number(layout.revisions(sequence))
    document: Mapping[str, Any] | None = documents.last(layout.revisions(sequence)) if number else None
    if number is None or document is None or document.get("deleted"):
        raise NotFound(f"there is no sequence {sequence}", field="sequence", hint="see headrace sequence list")
    whole = Sequence.from_document(document)
    stages = tuple(tuple(inputs.read_version(objects, v.version) for v in stage.variants) for stage in whole.stages)
    batch = all(v.batch for versions in stages for v in versions)
    return Subject(replace(last, signature=whole.signature, batch=batch), stages, sequence, number)


def _find(
    objects: ObjectStore, key: str, request_id: str, row: int, wanted: list[str], sequence: str
) -> dict[str, Any] | None:
    """Columns of the one answered row of a file, where it is there."""
    parquet = inputs.open_parquet(objects, key)
    names = ["request_id", "row", "outcome", "received", *(["sequence", "shadow"] if sequence else [])]
    head: Any = parquet.read(columns=names, use_threads=False)
    mask = pc.and_(pc.equal(head["request_id"], request_id), pc.equal(head["row"], row))
    places = np.flatnonzero(_answered(head, mask, sequence).to_numpy(zero_copy_only=False))
    if not len(places):
        return None
    place = int(places[0])
    found = {"received": head["received"][place].as_py()}
    for name in wanted:
        column = inputs.column(parquet, name)
        found[name] = column[place].as_py() if column is not None else None
    return found


def _answered(head: Any, mask: Any, sequence: str) -> Any:
    """Rows under the mask that were answered, of a sequence not by a shadow."""
    mask = pc.and_(mask, pc.equal(head["outcome"], "ok"))
    if sequence:
        own = pc.and_(pc.equal(head["sequence"], sequence), pc.invert(pc.fill_null(head["shadow"], False)))
        mask = pc.and_(mask, own)
    return pc.fill_null(mask, False)


def _whole_rows(objects: ObjectStore, key: str, fields: tuple[Field, ...], version: Version, sequence: str) -> Array:
    parquet = inputs.open_parquet(objects, key)
    columns = [input_column(f) for f in fields]
    if not {*columns, "sequence", "shadow"} <= set(parquet.schema_arrow.names):
        return np.empty((0, sum(f.size or 1 for f in fields)), object)
    table: Any = parquet.read(columns=[*columns, "outcome", "sequence", "shadow"], use_threads=False)
    mask = _answered(table, pa.array(np.ones(table.num_rows, bool)), sequence)
    for name in columns:
        mask = pc.and_(mask, pc.is_valid(table[name]))
    kept = table.filter(mask)
    rows = {f.name: kept[name].to_pylist()[::-1] for f, name in zip(fields, columns, strict=True)}
    return matrix(version.signature, rows)
