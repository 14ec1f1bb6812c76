"""What a cluster would be asked to run."""

from headrace_controller.api import schemas
from headrace_controller.api.permissions import on, path_reference
from headrace_controller.api.routing import Resource
from headrace_controller.service.platform import Platform

resource = Resource("manifests")


@resource.route(
    "GET", "/manifests/<name>", access=on("view", "the name in the path", path_reference), answer=schemas.ManifestList
)
def get_manifests(platform: Platform, name: str) -> schemas.ManifestList:
    """Show the InferenceServices of a version, alias, model or sequence as the cluster backend would apply them."""
    return schemas.ManifestList(items=platform.rendering.documents(name))
