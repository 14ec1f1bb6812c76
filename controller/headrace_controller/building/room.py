"""The port between the steps of a build and where they happen: this machine or a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from headrace_controller.child_processes import Log
from headrace_controller.training.tables import Columns
from headrace_functions.names import VersionId
from headrace_functions.signature import Field
from headrace_functions.version import Runtime

PROBE_TIMEOUT = 300.0  # seconds to load an artifact and answer some rows
ANSWERS_TIMEOUT = 600.0  # seconds to answer the reference rows

Fields = tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a version wants to run on."""

    requirements: tuple[str, ...]
    """Joined: the user's, the artifact's own and the runtime's."""
    image: str = ""
    """A finished image, where the definition names one; then nothing is resolved."""
    container: str = ""
    """The image of a server that the function server passes requests on to."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a version runs on; all of it becomes part of the version."""

    environment: str
    """Key of the environment, see ``environments.resolution.Lock``."""
    runtime: Runtime | None = None
    """The image and layer in a cluster."""
    lacking: tuple[str, ...] = ()
    """Requirements that the image lacks, each with the reason; empty without a layer."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask. Empty ``inputs`` or ``outputs`` are to be found out."""

    version: VersionId
    digest: str
    """SHA-256 of the artifact, which is in the store by now."""
    framework: str
    artifact: Path
    """The same unpacked on this machine."""
    options: Mapping[str, Any]
    inputs: Fields
    outputs: Fields
    batch: bool


class BuildRoom(Protocol):
    """Makes environments and asks functions in them; everything may take minutes and says so in the log.

    A ``HeadraceError`` says what to correct. ``folder`` is the build's own, removed with it.
    """

    def artifact(self, digest: str, packed: Path, folder: Path) -> Path:
        """The artifact as a folder to look into; nothing of it is run on this machine by the platform's own process."""
        ...

    def prepare(self, needs: Needs, log: Log) -> Ground:
        """What the version will run on, there for the next two calls and for every start of it later."""
        ...

    def signature(
        self, ground: Ground, question: Question, sample: Columns, folder: Path, log: Log
    ) -> tuple[Fields, Fields]:
        """Inputs and outputs: the declared ones confirmed by answers to the sample, the others found."""
        ...

    def answers(self, ground: Ground, question: Question, rows: Columns, folder: Path, log: Log) -> Columns:
        """Answers to rows, by the names of the question's outputs."""
        ...
