"""How versions are built on a cluster: images, the index, and what a build Job may take."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.environments import images
from headrace_controller.environments.images import RuntimeImage
from headrace_functions.errors import InvalidInput

BUILDER_IMAGE = "HEADRACE_BUILDER_IMAGE"
INDEX_SECRET = "HEADRACE_INDEX_SECRET"  # noqa: S105 -- the name of the variable that names the secret
BUILD_MEMORY = "HEADRACE_BUILD_MEMORY"
BUILD_CPU = "HEADRACE_BUILD_CPU"


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """The build side of one platform in a cluster."""

    images: tuple[RuntimeImage, ...] = ()
    """Runtime images; a build fails where there are none."""
    builder: str = "headrace-builder:{version}"
    """Image that holds uv at ``/uv``; ``{version}`` (of Headrace) is filled in."""
    index_secret: str = "headrace-index"  # noqa: S105 -- its name, not its content
    """Secret whose keys become uv's variables (``UV_INDEX_URL``, …) and files in ``/etc/headrace/index``; it need not exist."""
    memory: str = "4Gi"
    """What a build Job may use at most."""
    cpu: str = "2"
    """Processors that a build Job may use at most."""

    @property
    def builder_image(self) -> str:
        return self.builder.replace("{version}", metadata.version("headrace"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], cluster: ClusterSettings) -> "BuildSettings":
        """Settings of variables; what is not set keeps its default. ``InvalidInput`` where the list of images is wrong."""
        variables = {"builder": BUILDER_IMAGE, "index_secret": INDEX_SECRET, "memory": BUILD_MEMORY, "cpu": BUILD_CPU}
        chosen = {f: environment[v] for f, v in variables.items() if environment.get(v)}
        return cls(_listed(environment.get(images.VARIABLE, ""), cluster), **chosen)


def _listed(file: str, cluster: ClusterSettings) -> tuple[RuntimeImage, ...]:
    if not file:
        return ()
    try:
        text = Path(file).read_text()
    except OSError as error:
        raise InvalidInput(
            f"the list of runtime images cannot be read: {error.strerror}", field=images.VARIABLE, got=file
        ) from error
    found = images.read(text, cluster.image_of, where=file)
    # Where images are named one by one, what is not named is not there: images of frameworks are big, and a platform has those that it wants.
    return tuple(i for i in found if i.listed.image or not cluster.images or i.name in cluster.images)
