"""How artifacts of a framework load and what they answer: one file a framework, found by name and imported when needed.

A file here is the only one that imports its library. A new framework is a new file and a line in ``FRAMEWORKS``.
``port`` says what a file must offer. Only ``runtime`` and builds (``find(name).requirements``) use this package.
"""

import importlib
from typing import cast

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.port import Framework

FRAMEWORKS: dict[str, str] = {
    "python": f"{__name__}.python",
    "sklearn": f"{__name__}.sklearn",
}


def find(name: str) -> Framework:
    """The framework's file; ``InvalidInput`` for a name that there is not. Its library is imported by its verbs, not here."""
    module = FRAMEWORKS.get(name)
    if module is None:
        known = ", ".join(sorted(FRAMEWORKS))
        raise InvalidInput(
            f"framework: {name!r} is not known", field="framework", expected=f"one of {known}", got=repr(name)
        )
    return cast(Framework, importlib.import_module(module))
