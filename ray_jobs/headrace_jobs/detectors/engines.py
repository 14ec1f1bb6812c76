"""Which engine a name stands for."""

from headrace_functions.errors import InvalidInput
from headrace_jobs.detectors.alibi import AlibiDetect
from headrace_jobs.detectors.base import Detector
from headrace_jobs.detectors.native import Native

ENGINES = ("native", "alibi")


def engine(name: str) -> Detector:
    """The engine; ``InvalidInput`` for an unknown one, or one that this environment does not have."""
    if name == "native":
        return Native()
    if name == "alibi":
        return AlibiDetect()
    raise InvalidInput(
        f"engine: {name!r} is not a valid engine", field="engine", expected=" or ".join(ENGINES), got=repr(name)
    )
