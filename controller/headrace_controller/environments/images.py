"""Runtime images: what each holds, and which one satisfies a list of requirements. Pure.

The list is a YAML or JSON file, made from the locks of the images by ``environments.listing``. A requirement is satisfied by the
version that an image's lock pins (PEP 440, 508). Two kinds never are, because a lock does not tell: direct URLs, and extras,
whose own requirements it does not name. These need a layer.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace_controller.definitions.validation_errors import explain
from headrace_functions.errors import InvalidInput

VARIABLE = "HEADRACE_RUNTIME_IMAGES"


class ListedImage(BaseModel):
    """One entry of the list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    """What ``{framework}`` stands for in the name of the image."""
    image: str = ""
    """Exact reference, where it is not the platform's ``HEADRACE_FUNCTION_IMAGE`` with this name."""
    python: str = Field(pattern=r"3\.\d+")
    lock: str = Field(pattern=r"[0-9a-f]{64}")
    """SHA-256 of the lock that the image was made from; the image holds the same file."""
    packages: dict[str, str] = Field(min_length=1)
    """Version of each distribution by its name."""


class ImageList(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: list[ListedImage] = Field(min_length=1)


def markers(python: str) -> dict[str, str]:
    """What environment markers see in an image with this Python (``3.11``): CPython on Linux (PEP 508)."""
    version = {"python_version": python, "python_full_version": f"{python}.0"}
    system = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    implementation = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return {**version, **system, **implementation, "extra": ""}


@dataclass(frozen=True)
class RuntimeImage:
    """A runtime image and what is in it."""

    reference: str
    listed: ListedImage

    @property
    def name(self) -> str:
        return self.listed.name

    @cached_property
    def packages(self) -> dict[str, Version]:
        return {canonicalize_name(name): Version(version) for name, version in self.listed.packages.items()}

    @cached_property
    def markers(self) -> dict[str, str]:
        return markers(self.listed.python)

    @property
    def lock_text(self) -> str:
        """Its distributions as a lock that any platform can install."""
        return "".join(sorted(f"{name}=={version}\n" for name, version in self.packages.items()))

    @property
    def environment(self) -> str:
        """Key of the environment that the image alone is."""
        return hashlib.sha256(f"{self.listed.lock}\0".encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Choice:
    """The image to build on, and why it is not enough: empty where it is."""

    image: RuntimeImage
    lacking: tuple[str, ...]


def read(text: str, reference: Callable[[str], str], *, where: str) -> tuple[RuntimeImage, ...]:
    """The images of a list. ``reference`` names the image of an entry that does not; ``InvalidInput`` says what is wrong where."""
    try:
        listed = ImageList.model_validate(yaml.safe_load(text)).images
        images = tuple(RuntimeImage(entry.image or reference(entry.name), entry) for entry in listed)
        for image in images:
            _ = image.packages
    except (yaml.YAMLError, ValidationError, InvalidVersion) as error:
        what = explain(error).message if isinstance(error, ValidationError) else error
        raise InvalidInput(
            f"{where} is not a list of runtime images: {what}",
            field=VARIABLE,
            hint="create it with: python -m headrace_controller.environments.listing (docs/cluster-builds.md)",
        ) from error
    return images


def choose(images: Sequence[RuntimeImage], requirements: Sequence[str]) -> Choice:
    """The smallest image that satisfies all requirements; where none does, the one that lacks least.

    Small is few distributions, then the name. ``InvalidInput`` for a line that is no requirement.
    """
    wanted = [parse(line) for line in requirements]
    choices = [Choice(image, tuple(_lacking(image, wanted))) for image in images]
    if not choices:
        raise InvalidInput(
            "no runtime images are configured",
            field=VARIABLE,
            hint="set the file that lists the platform's images; see docs/cluster-builds.md",
        )
    return min(choices, key=lambda c: (len(c.lacking), len(c.image.packages), c.image.name))


def parse(line: str) -> Requirement:
    """A requirement by PEP 508."""
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise InvalidInput(
            f"requirements: {line!r} cannot be parsed: {error}".splitlines()[0],
            field="requirements",
            expected="e.g. scikit-learn==1.5.2",
            got=line,
        ) from error


def _lacking(image: RuntimeImage, wanted: Sequence[Requirement]) -> list[str]:
    return [f"{r} ({why})" for r in wanted for why in (_unsatisfied(image, r),) if why]


def _unsatisfied(image: RuntimeImage, requirement: Requirement) -> str:
    """Why the image does not satisfy a requirement; empty where it does, or where a marker says that it is not meant."""
    if requirement.marker is not None and not requirement.marker.evaluate(dict(image.markers)):
        return ""
    if requirement.url is not None:
        return "a URL"
    if requirement.extras:
        return "with extras"
    found = image.packages.get(canonicalize_name(requirement.name))
    if found is None:
        return "not there"
    return "" if requirement.specifier.contains(found, prereleases=True) else f"has {found}"
