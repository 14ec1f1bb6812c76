"""What can be told of a submission before it gets a version number: columns that a file does not have or cannot have."""

from pathlib import Path

from headrace_controller.definitions import ModelDefinition
from headrace_controller.service.assembly import Given
from headrace_controller.training import tables
from headrace_functions.errors import InvalidInput


def check(definition: ModelDefinition, given: Given) -> None:
    """Raises ``InvalidInput`` naming the key that is wrong; the rest shows in the build."""
    file, key = (given.training, "training-data") if given.training else (given.sample, "sample")
    for one, name in ((file, key), (given.reference, "reference-data")):
        if one is not None:
            _check_columns(definition, one, name)
    if given.reference is not None and definition.external is not None and definition.external.url is None:
        raise InvalidInput(
            "reference-data: a model that runs elsewhere and has no url cannot predict these rows",
            field="reference-data",
            hint="set the url of the model, or leave out reference-data",
        )
    if given.reference is not None and not definition.target:
        raise InvalidInput(
            "reference-data: the definition has no target",
            field="target",
            hint="name the label column of the file as 'target'",
        )


def _check_columns(definition: ModelDefinition, file: Path, key: str) -> None:
    names = tables.names_of(file, key)
    tables.check_names(names, key)
    for name in definition.target:
        if name not in names:
            raise InvalidInput(
                f"target: {file.name} has no column {name!r}",
                field="target",
                expected=f"one of {', '.join(names[:20])}",
                got=name,
            )
