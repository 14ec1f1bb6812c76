"""How artifacts of a framework load and what they answer: one file a framework, found by name and imported when needed.

A file here is the only one that imports its library. A new framework is a new file and a line in ``FRAMEWORKS``.
``port`` says what a file must offer. ``needs`` tells an artifact's requirements without its libraries: builds use that alone.
"""

import importlib
from typing import cast

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.port import Framework
from headrace_functions.version import CONTAINER, EXTERNAL

FRAMEWORKS: dict[str, str] = {
    CONTAINER: f"{__name__}.container",
    EXTERNAL: f"{__name__}.external",
    "fastai": f"{__name__}.fastai",
    "keras": f"{__name__}.keras",
    "kserve": f"{__name__}.kserve",
    "lightgbm": f"{__name__}.lightgbm",
    "mlflow": f"{__name__}.mlflow",
    "onnx": f"{__name__}.onnx",
    "python": f"{__name__}.python",
    "sklearn": f"{__name__}.sklearn",
    "tensorflow": f"{__name__}.tensorflow",
    "torch": f"{__name__}.torch",
    "xgboost": f"{__name__}.xgboost",
}


def check(name: str) -> str:
    """The name, if there is such a framework; ``InvalidInput`` names the known ones."""
    if name not in FRAMEWORKS:
        known = ", ".join(sorted(FRAMEWORKS))
        raise InvalidInput(
            f"framework: {name!r} is not known", field="framework", expected=f"one of {known}", got=repr(name)
        )
    return name


def find(name: str) -> Framework:
    """The framework's file, whose library is imported with it; ``InvalidInput`` for a name that there is not."""
    return cast(Framework, importlib.import_module(FRAMEWORKS[check(name)]))
