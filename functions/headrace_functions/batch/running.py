"""A batch run: parts of each file, kept one by one below the destination's folder until the file is whole.

``OUT/.NAME.parts/<k>.arrow`` and ``<k>.refused.json`` hold the part ``k``, each written under another name and renamed; ``run.json`` says of what, which
binds the next run once a part is there. A part that is there is not asked again. When all are there they become ``OUT/NAME`` and
``OUT/NAME.refused.jsonl``, and the folder goes.
"""

import hashlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from headrace_functions.batch import files
from headrace_functions.batch.places import Destination, Input
from headrace_functions.batch.requests import Answered, Asker, check_outputs
from headrace_functions.errors import Conflict


@dataclass(slots=True)
class Totals:
    """What a run came to."""

    files: int = 0
    rows: int = 0
    refused: int = 0
    already: int = 0
    """Rows of parts that an earlier run had answered."""
    versions: set[str] = field(default_factory=set)


class BatchRun:
    def __init__(
        self,
        asker: Asker,
        name: str,
        out: Destination,
        *,
        rows: int,
        parallel: int,
        progress: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """``rows`` are those of a part, ``parallel`` the parts that are asked at once."""
        self._asker = asker
        self._name = name
        self._out = out
        self._rows = rows
        self._parallel = parallel
        self._progress = progress

    def run(self, inputs: Sequence[Input], *, restart: bool = False) -> Totals:
        """Answer each file. Raises what ends the run; what was answered is kept for the next."""
        self._out.folder.mkdir(parents=True, exist_ok=True)
        totals = Totals()
        for one in inputs:
            if self._out.holds(one):
                raise Conflict(
                    f"{one.place} would be overwritten by its outputs", field="out", hint="choose another folder"
                )
            self._input(one, totals, restart=restart)
            totals.files += 1
        return totals

    def _input(self, one: Input, totals: Totals, *, restart: bool) -> None:
        folder = self._out.folder / f".{one.name}.parts"
        if restart:
            self._out.drop(folder)
        self._out.fetch(folder)
        began = one.fingerprint()
        wanted = {"model": self._name, "rows": self._rows, "file": one.place, **began}
        _check_claim(folder, wanted)
        with one.opened() as file:
            parts = files.parts(file, self._rows, one.place)
            first = next(parts)
            if first.num_columns:  # lines of JSON may be none, which say nothing of columns
                self._asker.check(first.column_names, one.place)
            folder.mkdir(exist_ok=True)
            _replace(folder / "run.json", json.dumps(wanted).encode())
            self._out.keep(folder / "run.json")
            with _Ahead(self._out.folder / one.name) as ahead:
                self._parts(folder, one, itertools.chain([first], parts), totals, ahead)
                if one.fingerprint() != began:
                    raise Conflict(
                        f"{one.place} changed while it was being read", field="in", hint="run again with --restart"
                    )
        self._finish(folder, one.name, totals, written=ahead.written)

    def _parts(self, folder: Path, source: Input, parts: Iterable[pa.Table], totals: Totals, ahead: "_Ahead") -> None:
        with ThreadPoolExecutor(self._parallel) as pool:
            open_parts: deque[tuple[int, Future[pa.Table] | None]] = deque()

            def take() -> None:
                number, asked = open_parts.popleft()
                ahead.write(_read(folder, number) if asked is None else asked.result())

            try:
                for number, part in enumerate(parts):
                    totals.rows += part.num_rows
                    if (folder / f"{number}.arrow").exists():
                        totals.already += part.num_rows
                        open_parts.append((number, None))
                    else:
                        asked = pool.submit(self._part, folder, source, number, part, totals)
                        open_parts.append((number, asked))
                    while len(open_parts) >= 2 * self._parallel:
                        take()
                        self._progress(f"{source.name}: {totals.rows:,} rows read")
                while open_parts:
                    take()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _part(self, folder: Path, source: Input, number: int, part: pa.Table, totals: Totals) -> pa.Table:
        key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        answered = self._asker.ask(part, f"batch-{key}-{number}")
        rows = part if len(answered.kept) == part.num_rows else part.take(pa.array(answered.kept, pa.int64()))
        columns = answered.columns or self._asker.no_answers()
        # Again, by what was answered: an alias may have moved to a version with other outputs.
        check_outputs(part.column_names, columns, source.place)
        for name, column in columns.items():
            rows = rows.append_column(name, column)
        _replace(
            folder / f"{number}.refused.json", json.dumps(self._refused(number, part, answered), default=str).encode()
        )
        young = folder / f".{number}.arrow.new"
        with ipc.new_file(str(young), rows.schema) as writer:
            writer.write_table(rows)
        young.replace(folder / f"{number}.arrow")  # last: it says that the part is whole
        for suffix in ("refused.json", "arrow"):
            self._out.keep(folder / f"{number}.{suffix}")
        totals.versions |= answered.versions
        return rows

    def _refused(self, number: int, part: pa.Table, answered: Answered) -> list[dict[str, object]]:
        return [
            {
                "row": number * self._rows + r.row,
                "problem": r.problem,
                "values": part.slice(r.row, 1).to_pylist()[0],
            }
            for r in answered.refused
        ]

    def _finish(self, folder: Path, name: str, totals: Totals, *, written: bool) -> None:
        """The parts as one file, in their order, unless that is ``written``, and the refused rows beside it. One part is in memory at a time."""
        numbers = sorted(int(p.stem) for p in folder.glob("*.arrow"))
        if not written:
            schemas = {n: ipc.open_file(pa.OSFile(str(folder / f"{n}.arrow"))) for n in numbers}
            answered = [n for n in numbers if _rows(schemas[n])] or numbers[:1]
            if answered:
                with files.Writer(self._out.folder / name, [schemas[n].schema for n in answered]) as writer:
                    for number in answered:
                        writer.write(schemas[number].read_all())
        beside = self._out.folder / f"{name}.refused.jsonl"
        refused = self._gather(folder, numbers, beside)
        self._out.publish(self._out.folder / name)
        if refused:
            self._out.publish(beside)
        else:
            self._out.withdraw(beside.name)
        totals.refused += refused
        self._out.drop(folder)

    def _gather(self, folder: Path, numbers: Sequence[int], beside: Path) -> int:
        """Write the refused rows of all parts to one file; their number."""
        young, count = beside.with_name(f".{beside.name}.new"), 0
        with young.open("w", encoding="utf-8") as lines:
            for number in numbers:
                for row in json.loads((folder / f"{number}.refused.json").read_text()):
                    lines.write(files.line_of(row) + "\n")
                    count += 1
        young.replace(beside)
        return count


class _Ahead:
    """Writes the answers of a file in their order while later parts are still asked, as long as all have the columns of the first.

    Where one has others, such as text where the others have numbers, nothing is ``written``, and the parts become a file when all are there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: files.Writer | None = None
        self._schema: pa.Schema | None = None
        self._alike = True
        self.written = False

    def __enter__(self) -> "_Ahead":
        return self

    def write(self, rows: pa.Table) -> None:
        """The next part; one without rows has nothing to say of columns."""
        if not rows.num_rows or not self._alike:
            return
        if self._writer is None:
            self._schema = rows.schema
            self._writer = files.Writer(self._file, [rows.schema])
            self._writer.__enter__()
        if rows.schema != self._schema:
            self._alike = False
            self._leave(Conflict)
        else:
            self._writer.write(rows)

    def _leave(self, kind: type[BaseException] | None) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.__exit__(kind)
            self.written = kind is None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._leave(kind)


def _read(folder: Path, number: int) -> pa.Table:
    """A part that an earlier run has answered."""
    with pa.OSFile(str(folder / f"{number}.arrow")) as file:
        return ipc.open_file(file).read_all()


def _check_claim(folder: Path, wanted: Mapping[str, object]) -> None:
    """``Conflict`` where parts of another run were answered; a run that answered none is in nobody's way."""
    told = folder / "run.json"
    if not told.exists() or not any(folder.glob("*.arrow")) or json.loads(told.read_text()) == wanted:
        return
    raise Conflict(
        f"{folder} contains parts of a different run: the model, --rows or the file has changed since then",
        field="out",
        hint="run again with --restart, or choose another --out",
    )


def _rows(part: ipc.RecordBatchFileReader) -> int:
    return sum(part.get_batch(i).num_rows for i in range(part.num_record_batches))


def _replace(file: Path, data: bytes) -> None:
    young = file.with_name(f".{file.name}.new")
    young.write_bytes(data)
    young.replace(file)
