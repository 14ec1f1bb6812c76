"""Which build of PyTorch an environment gets: on a machine without a GPU the one for processors, from PyTorch's own index, where that is reached.

The package index has PyTorch for Linux with NVIDIA's libraries alone, some 5 GB of them; PyTorch's index has a build without, of a tenth of that. uv knows it
as a *backend*. A lock keeps which one it was made with in PyTorch's version (``2.9.1+cpu``), so that it is installed from there again.
"""

import os
import re
from collections.abc import Mapping

VARIABLE = "UV_TORCH_BACKEND"
"""uv's own: ``cpu``, ``cu128``, … or ``auto``, which takes the driver's. Set, it is honoured and nothing else is tried."""
_INDEX = re.compile(r"/whl/[a-z0-9.]+/")
"""In a URL of PyTorch's index: a folder for each backend."""
_OWN_INDEX = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX", "UV_OFFLINE")
_LOCAL = re.compile(r"^torch==[0-9][^+\s]*\+(?P<build>\S+)", re.MULTILINE)
UNREACHED = (
    f"note: PyTorch's own index is not reached, so PyTorch comes from the package index, with NVIDIA's libraries (5 GB); "
    f"a mirror in UV_INDEX, or {VARIABLE}, changes that"
)


def resolving(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Options of ``uv pip compile``: none where the operator has set a backend or indexes of their own."""
    if environment.get(VARIABLE) or any(environment.get(name) for name in _OWN_INDEX):
        return []
    return ["--torch-backend", "auto"]


def unreached(said: str) -> bool:
    """Whether uv failed because of PyTorch's index, which is asked for PyTorch's packages alone."""
    return _INDEX.search(said) is not None


def installing(lock: str) -> list[str]:
    """Options of ``uv pip install`` for a lock, whatever the machine would be given today."""
    found = _LOCAL.search(lock)
    return ["--torch-backend", found["build"]] if found else []
