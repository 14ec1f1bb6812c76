"""``python -m headrace_functions.runtime [SETTINGS.json]``: one function server in this process.

Without a file it is told by its environment and fetches what it serves (``fetch``), as pods do.
"""

import os
import sys
from pathlib import Path

from headrace_functions.runtime import threads

threads.cap()  # before numpy is imported below: its libraries read the variables when they load

from headrace_functions.errors import HeadraceError  # noqa: E402
from headrace_functions.runtime.fetch import settings_from  # noqa: E402
from headrace_functions.runtime.process import serve  # noqa: E402
from headrace_functions.runtime.settings import FunctionSettings  # noqa: E402


def main() -> None:
    if len(sys.argv) > 2:
        sys.exit("usage: python -m headrace_functions.runtime [SETTINGS.json]")
    try:
        settings = FunctionSettings.read(Path(sys.argv[1])) if len(sys.argv) == 2 else settings_from(os.environ)
    except HeadraceError as error:
        sys.exit(f"cannot start: {error.message}" + "".join(f"\n  {k}: {v}" for k, v in error.details().items()))
    code = serve(settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread of user code that hangs must not keep the process


if __name__ == "__main__":
    main()
