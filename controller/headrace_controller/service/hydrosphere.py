"""What a payload of Hydrosphere's Python runtime means here: ``func_main.py``, one row a request, the function that the contract names."""

from pathlib import PurePosixPath

from headrace_controller.child_processes import Log
from headrace_controller.definitions import ModelDefinition
from headrace_functions.runtime.frameworks.python_names import ENTRY, HYDROSPHERE


def adapted(definition: ModelDefinition, files: list[str], log: Log) -> ModelDefinition:
    """The definition with what its payload implies; as it is for a payload of another kind, or where it says its framework itself."""
    found = [f for f in files if PurePosixPath(f).name == HYDROSPHERE]
    if definition.framework is not None or len(found) != 1 or any(PurePosixPath(f).name == ENTRY for f in files):
        return definition
    options = {"entry": found[0], "function": definition.contract.name, **definition.options}
    batch = definition.batch if "batch" in definition.model_fields_set else False
    log(f"framework: python, by {found[0]} of Hydrosphere: {options['function']} is called with the inputs of one row")
    return definition.model_copy(update={"framework": "python", "options": options, "batch": batch})
