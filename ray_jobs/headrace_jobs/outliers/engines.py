"""Who fits the detectors and looks at the series of a window: the port, and the engine that has no condition."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace_functions.errors import InvalidInput
from headrace_functions.views import Array
from headrace_jobs.detectors.alibi import LICENCE
from headrace_jobs.outliers import alibi
from headrace_jobs.outliers.candidates import CANDIDATES, State
from headrace_jobs.outliers.series import spectral_residual

ENGINES = ("native", "alibi")


@dataclass(frozen=True, slots=True)
class OutlierEngine:
    """``candidates`` fit encoded rows ``(n, d)``, by a method of ``scorer`` which needs no engine any more; ``series`` tells how far each
    value of ``(t,)`` stands out of its neighbours."""

    name: str
    licence: str | None
    candidates: Mapping[str, Callable[[Array], State]]
    series: Callable[[Array], Array]


NATIVE = OutlierEngine("native", None, CANDIDATES, spectral_residual)


def outlier_engine(name: str) -> OutlierEngine:
    """The engine; ``InvalidInput`` for an unknown one, or one that this environment does not have."""
    if name == "native":
        return NATIVE
    if name == "alibi":
        return OutlierEngine("alibi", LICENCE, alibi.candidates(), alibi.series)
    raise InvalidInput(
        f"engine: {name!r} is not a valid engine", field="engine", expected=" or ".join(ENGINES), got=repr(name)
    )
