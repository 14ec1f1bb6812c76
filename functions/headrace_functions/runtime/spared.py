"""What pods do not import at their start: modules that a server names at the top of its files and a function never uses.

Measured with ``python -X importtime`` on the locks of ``functions/requirements``; what takes less than 3 ms is not worth a
line. A name or module that another version does not have does no harm: it is then imported as ever. docs/performance.md
has the figures, ``tests/unit/functions/test_spared.py`` holds the list to the libraries.
"""

from headrace_functions.runtime.late import Late

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
