"""What pods do not import at their start: modules that a server names at the top of its files and a function never uses.

Measured with ``python -X importtime`` on the locks of ``functions/requirements``; what takes less than 3 ms is not worth a
line. A name or module that another version does not have does no harm: it is then imported as ever. docs/performance.md
has the figures, ``tests/unit/functions/test_deferred_modules.py`` holds the list to the libraries.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headrace_functions.runtime.lazy_imports import Late

SERVER: Late = {
    "uvicorn.main": ("Server", "main", "run"),
}
"""uvicorn's command line, and click with it."""

FRAMEWORKS: dict[str, Late] = {
    "sklearn": {
        "scipy.stats": ("chi2", "gmean", "rankdata", "spearmanr"),
        "scipy.optimize": ("linear_sum_assignment", "linprog", "minimize", "minimize_scalar"),
        "scipy.optimize._linesearch": ("line_search_wolfe2", "scalar_search_wolfe1"),
        "scipy.interpolate": ("BSpline",),
        "scipy.integrate": ("trapezoid",),
        "scipy.spatial.transform": (),
        "numpy.ctypeslib": (),
        "numpy.f2py": (),
        "numpy.ma": ("MaskedArray",),
        "numpy.polynomial": (),
        "numpy.testing": (),
    }
}
"""By framework: what estimators fit, search, plot and test with. scipy copies all of numpy's modules, which loads them."""


class _AsItIs(dict[str, list[str]]):
    """A docstring that takes notes and shows none; scipy cuts off the first line, where it expects a signature."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self._text = function.__doc__ or ""

    def __missing__(self, section: str) -> list[str]:
        return self.setdefault(section, [])

    def __str__(self) -> str:
        return f"\n{self._text}"


@contextlib.contextmanager
def plain_docstrings(framework: str) -> Iterator[None]:
    """Keep scipy from parsing the docstring of each special function while it is imported, to add a table of array libraries.

    That is more than half of the time of ``scipy.special``, and a pod has no reader. scipy 1.16 to 1.18 do it. Does nothing for a
    framework without scipy, and for a scipy that is another than the environment's own or does not work this way.
    """
    module = _scipy_docs() if framework in FRAMEWORKS else None
    if module is None:
        yield
        return
    original = module.FunctionDoc
    module.FunctionDoc = _AsItIs
    try:
        yield
    finally:
        module.FunctionDoc = original


def _scipy_docs() -> Any:
    try:
        module = importlib.import_module("scipy._lib._array_api")
    except ImportError:
        return None
    own = Path(getattr(module, "__file__", None) or "/").is_relative_to(sys.prefix)
    return module if own and hasattr(module, "FunctionDoc") else None
