"""The command line: ``headrace <noun> <verb>``, one file a noun, over the client.

``COMMANDS`` is the table of commands; a command's module is imported when it is asked for, so that ``headrace --help`` and
completion answer at once. Tables go to standard output, progress to standard error. Exit codes: 0 done, 1 failed, 2 wrong
usage, 3 a version that is not good enough. Nothing but ``platform`` (up and down) knows more of a platform than its URL. Nobody imports this package.
"""

from headrace_controller.cli.entrypoint import main

__all__ = ["main"]
