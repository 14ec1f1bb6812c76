"""What is said where an environment lacks the libraries of an engine that a user has to choose."""

from headrace_functions.errors import InvalidInput


def without_alibi() -> InvalidInput:
    """For ``raise … from``: Alibi and Alibi Detect come with one lock."""
    return InvalidInput(
        "engine: alibi is not installed in this environment",
        field="engine",
        expected="an environment made from requirements/jobs-alibi.txt",
        hint="use --engine native, or the jobs-alibi environment (see docs/licences.md)",
    )
