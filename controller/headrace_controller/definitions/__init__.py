"""What a user writes: the YAML documents that ``headrace apply`` reads, checked by pydantic.

``fields`` holds the pieces, one module a kind follows, ``reading`` turns files into checked documents and errors into places
(document, line, path). Nothing here touches the store, an environment or the network; CLI, client, API and builds import it.
"""

from headrace_controller.definitions.deployment import DeploymentConfiguration
from headrace_controller.definitions.grant import GrantDefinition
from headrace_controller.definitions.model import ModelDefinition
from headrace_controller.definitions.reading import KINDS, Definition, Source, check_document, placed, read, read_text
from headrace_controller.definitions.sequence import SequenceDefinition, StageDefinition, VariantDefinition
from headrace_controller.definitions.stream import StreamDefinition

__all__ = [
    "KINDS",
    "Definition",
    "DeploymentConfiguration",
    "GrantDefinition",
    "ModelDefinition",
    "SequenceDefinition",
    "Source",
    "StageDefinition",
    "StreamDefinition",
    "VariantDefinition",
    "check_document",
    "placed",
    "read",
    "read_text",
]
