"""Evidently's drift of two Parquet files: prints seconds and the peak of its memory in MB. Run in Evidently's own environment."""

import resource
import sys
import time

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main(reference: str, window: str) -> None:
    """Reading is counted, as it is for ours; importing is not."""
    started = time.perf_counter()
    frames = [pd.read_parquet(path) for path in (reference, window)]
    numbers = [c for c in frames[0].columns if frames[0][c].dtype.kind == "f"]
    others = [c for c in frames[0].columns if c not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=others)
    before, now = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    Report([DataDriftPreset()]).run(now, before).json()
    seconds = time.perf_counter() - started
    print(f"{seconds:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
