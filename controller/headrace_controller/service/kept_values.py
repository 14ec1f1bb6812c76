"""What of a version's logged values can be asked again."""

from headrace_functions.errors import InvalidInput
from headrace_functions.version import Version


def require_clear_inputs(version: Version | None, what: str) -> None:
    """``InvalidInput`` where the log does not have what was asked: a model that is asked hashes answers something else."""
    names = [f.name for f in version.signature.inputs if f.sensitive] if version is not None else []
    if names:
        raise InvalidInput(
            f"{what}: the log does not keep what {version.id if version else ''} received in {', '.join(names)}, which the contract marks as sensitive",
            field="model",
            hint="only versions without sensitive inputs can be called again with logged values",
        )
