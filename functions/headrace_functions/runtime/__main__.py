"""``python -m headrace_functions.runtime [SETTINGS.json]``: one function server in this process.

Without a file it is told by its environment and fetches what it serves (``fetch``), as pods do. A pod is made because
somebody waits, so there the order of the lines below is the work: what is read comes while libraries are imported (``prefetch``),
and libraries are imported without what no function uses (``lazy_imports``, ``deferred_modules``).
"""

import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from headrace_functions.errors import HeadraceError
from headrace_functions.runtime import deferred_modules, layers, lazy_imports, prefetch, threads
from headrace_functions.startup import cannot_start

gc.set_threshold(200_000)  # libraries make objects that stay; looking for garbage among them is a tenth of their import
threads.cap()  # before numpy is imported below: its libraries read the variables when they load
try:
    layers.activate(os.environ)  # and numpy itself may come from the layer
    STORE = prefetch.begin(os.environ) if len(sys.argv) == 1 else None
except HeadraceError as error:
    sys.exit(cannot_start(error))
if STORE is not None:
    lazy_imports.allow(deferred_modules.SERVER)

from headrace_functions.runtime.fetch import HASH_KEY, settings_from  # noqa: E402
from headrace_functions.runtime.frameworks import find  # noqa: E402
from headrace_functions.runtime.process import serve  # noqa: E402
from headrace_functions.runtime.settings import FunctionSettings  # noqa: E402
from headrace_functions.version import Version  # noqa: E402


def main() -> None:
    if len(sys.argv) > 2:
        sys.exit("usage: python -m headrace_functions.runtime [SETTINGS.json]")
    try:
        code = serve(FunctionSettings.read(Path(sys.argv[1]))) if len(sys.argv) == 2 else serve_alone(os.environ)
    except HeadraceError as error:
        sys.exit(cannot_start(error))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread of user code that hangs must not keep the process


def serve_alone(environment: Mapping[str, str]) -> int:
    """Serve what the environment names, and ship its records to the store; the process's exit code."""
    # Imported here alone: a function's environment on one machine has no client for object storage, its image has.
    from headrace_functions.recording.shipping import Shipping  # noqa: PLC0415

    settings = settings_from(environment, STORE, meanwhile=import_framework)
    os.environ.pop(HASH_KEY, None)  # the model and what it starts need not have it
    assert settings.spool is not None
    shipping = Shipping(settings.spool.parent, prefetch.open_store(environment))
    shipping.start()
    try:
        return serve(settings)
    finally:
        shipping.close()


def import_framework(version: Version) -> None:
    """Import the library that loads the artifact, which may still be on its way."""
    lazy_imports.allow(deferred_modules.FRAMEWORKS.get(version.framework, {}))
    with deferred_modules.plain_docstrings(version.framework):
        find(version.framework)


if __name__ == "__main__":
    main()
