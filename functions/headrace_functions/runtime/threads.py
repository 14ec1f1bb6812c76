"""Threads of numerical libraries: none, unless the environment says otherwise.

A replica is one process of many on its machine; threads of BLAS or OpenMP would only make replicas wait for each other, and
a zygote must have none when it forks.
"""

import os
from pathlib import Path

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_ALLOCATOR = ("JE_ARROW_MALLOC_CONF", "background_thread:false")
"""pyarrow, which pandas imports where it is installed, starts a thread for its allocator otherwise."""


def cap() -> None:
    """One thread for each library that asks the environment; values that are set already stay."""
    for name in VARIABLES:
        os.environ.setdefault(name, "1")
    os.environ.setdefault(*_ALLOCATOR)


def count() -> int:
    """Threads of this process, those of libraries included; 1 where the system does not tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1
