"""Rows of the training data of a version, as somebody would send them: examples that are typical, and practice traffic."""

import io
import random
from typing import Any

import pyarrow.parquet as pq

from headrace_controller.catalog.catalog import Catalog
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout

MAX_ROWS = 10_000
"""Rows of one answer."""
MAX_BYTES = 256 * 1024 * 1024
"""Bytes of training data that are fetched from a bucket for a sample; a directory is read where it lies."""

Json = dict[str, Any]


class Samples:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def rows(self, version_id: VersionId, count: int, seed: int = 0) -> list[Json]:
        """``count`` rows of the inputs, by chance but the same for the same seed; some twice where there are fewer.

        Raises ``NotFound`` for a version without training data and ``InvalidInput`` for a count that is not 1 to ``MAX_ROWS``.
        """
        if not 1 <= count <= MAX_ROWS:
            raise InvalidInput(f"rows: {count} is not possible", field="rows", expected=f"1 to {MAX_ROWS}")
        found = self._catalog.get(version_id)
        version = found.version
        if version is None or version.training is None:
            raise NotFound(f"{version_id} has no training data", field="version")
        file = self._file(version_id)
        names = [f.name for f in version.signature.inputs if f.name in file.schema_arrow.names]
        chance = random.Random(seed)  # noqa: S311 -- examples, not secrets
        groups = [n for n in range(file.num_row_groups) if file.metadata.row_group(n).num_rows]
        if not groups or not names:
            raise NotFound(f"the training data of {version_id} has no row with all of its inputs", field="version")
        table = file.read_row_group(chance.choice(groups), columns=names)
        return [table.slice(chance.randrange(table.num_rows), 1).to_pylist()[0] for _ in range(count)]

    def _file(self, version: VersionId) -> pq.ParquetFile:
        objects, key = self._catalog.documents.objects, layout.training(version)
        if objects.directory is not None:
            return pq.ParquetFile(objects.directory / key)
        if objects.size(key) > MAX_BYTES:
            raise NotFound(f"the training data of {version} is larger than {MAX_BYTES} bytes, so it cannot be sampled")
        return pq.ParquetFile(io.BytesIO(objects.get(key)))
