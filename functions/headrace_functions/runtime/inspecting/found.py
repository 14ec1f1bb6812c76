"""What was found in an artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_functions.signature import Field


@dataclass(frozen=True, slots=True)
class Contents:
    """What one format tells; each part is empty where the format does not have it."""

    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries that wrote it, by distribution; formats have versions, too (``opset``)."""
    about: str = ""
    """The kind of model, in a few words."""
    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    unclear: tuple[str, ...] = ()
    """What has to be told or is found out when it is applied, a sentence each."""
    lines: tuple[str, ...] = ()
    """Lines of a definition that say it."""


@dataclass(frozen=True, slots=True)
class Found:
    """An artifact as ``headrace model inspect`` shows it."""

    framework: str
    file: str
    """The model's file or folder within what was inspected."""
    size: int
    """Bytes of it."""
    sha256: str
    """Of the file; empty for a folder."""
    contents: Contents
    requirements: tuple[str, ...]
    """What a version of it gets where its definition lists nothing."""
    safety: str
    """What it would import or do beyond what models usually do; empty where nothing."""

    def to_document(self) -> dict[str, Any]:
        told = self.contents
        return {
            "framework": self.framework,
            "file": self.file,
            "size": self.size,
            "sha256": self.sha256,
            "about": told.about,
            "versions": dict(told.versions),
            "inputs": [f.to_document() for f in told.inputs],
            "outputs": [f.to_document() for f in told.outputs],
            "requirements": list(self.requirements),
            "safety": self.safety,
            "unclear": list(told.unclear),
            "lines": list(told.lines),
        }
