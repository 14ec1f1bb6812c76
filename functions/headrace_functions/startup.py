"""What every program of ours that is a container by itself does at its start: read its variables, or say why it cannot.

Variables of one part alone are named in that part. ``knative/`` sets them, and the controller's ``backends/kserve``. Nothing
here may import more than ``errors``: a function's pod reads its variables before its libraries are in place.
"""

from collections.abc import Mapping

from headrace_functions.errors import HeadraceError, InvalidInput

STORAGE = "HEADRACE_STORAGE"
"""URL of the store, e.g. ``s3://bucket/prefix``; credentials are its own variables, ``AWS_…``."""
NAMESPACE = "HEADRACE_NAMESPACE"
PLATFORM_SECRET = "HEADRACE_PLATFORM_SECRET"  # noqa: S105 -- the name of the variable
"""What the platform's own parts in a cluster know one another by; no pod that runs users' code has it."""
PREVIOUS_SECRET = "HEADRACE_PREVIOUS_PLATFORM_SECRET"  # noqa: S105 -- the name of the variable
"""The one before it, while pods still have tokens of that."""
AUTH = "HEADRACE_AUTH"
"""``1``: callers are asked who they are."""
RELEASE_KEY = "HEADRACE_RELEASE_KEY"
"""By which releases are checked."""
WORK = "HEADRACE_WORK"
"""Folder for files and for records on their way; all else may be read-only."""
POD = "HOSTNAME"
"""Kubernetes sets it to the name of the pod."""
PORT = "PORT"
"""Knative's own."""


def required(environment: Mapping[str, str], name: str, *, hint: str) -> str:
    """Its value; ``InvalidInput`` with who sets it where it is absent or empty."""
    value = environment.get(name, "")
    if not value:
        raise InvalidInput(f"the variable {name} is not set", field=name, hint=hint)
    return value


def switched_on(environment: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on; ``InvalidInput`` for a value that says neither."""
    value = environment.get(name, "").strip().lower()
    if value not in ("", "0", "1", "false", "true", "no", "yes"):
        raise InvalidInput(f"{name}: {value!r} is neither on nor off", field=name, expected="1 or 0", got=value)
    return value in ("1", "true", "yes")


def port(environment: Mapping[str, str]) -> int:
    """``PORT``, 8080 where it is not set; ``InvalidInput`` where it is none."""
    value = environment.get(PORT) or "8080"
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 1 << 16):
        raise InvalidInput(f"{PORT}: {value!r} is not a port", field=PORT, expected="1 to 65535", got=value)
    return int(value)


def cannot_start(error: HeadraceError) -> str:
    """The last words of a program, for the pod's log."""
    return f"cannot start: {error.message}" + "".join(f"\n  {name}: {value}" for name, value in error.details().items())
