"""Late labels: what was pushed for a version, and its join with rows of the log."""

from typing import Any

import numpy as np
import pyarrow as pa

from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs

KEYS = ("request_id", "row")


def read_labels(objects: ObjectStore, version: VersionId, target: str) -> pa.Table | None:
    """Labels of ``target`` with ``request_id`` and ``row``, one a row of a request: the last that was pushed; None without any."""
    names = sorted(n for n in objects.names(layout.labels(version)) if n.endswith(".parquet"))
    files = [inputs.open_parquet(objects, layout.labels(version) + name) for name in names]
    tables = [file.read(columns=[*KEYS, target]) for file in files if target in file.schema_arrow.names]
    if not tables:
        return None
    whole = pa.concat_tables(tables, promote_options="permissive")
    numbered = whole.append_column("place", pa.array(np.arange(len(whole))))
    last = numbered.group_by(list(KEYS)).aggregate([("place", "max")])
    chosen = np.sort(last["place_max"].to_numpy())
    return whole.take(pa.array(chosen)).rename_columns([*KEYS, "label"])


def join(request_ids: Any, rows: Any, labels: pa.Table) -> tuple[Array, Any]:
    """Places of the rows that have a label, ascending, and their labels as an Arrow column."""
    logged = pa.table(
        {
            KEYS[0]: request_ids.cast(pa.string()),
            KEYS[1]: rows.cast(pa.int32()),
            "place": pa.array(np.arange(len(rows))),
        }
    )
    found = logged.join(labels, keys=list(KEYS), join_type="inner").sort_by("place")
    return found["place"].to_numpy(), found["label"]
