"""Where in a cluster services live and what they are made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from headrace_controller.backends.kserve.allowed_images import check_image, patterns_of
from headrace_functions.errors import InvalidInput
from headrace_functions.gateway.incluster import store_proxy
from headrace_functions.version import CONTAINER, Version

NAMESPACE = "HEADRACE_NAMESPACE"
FUNCTION_IMAGE = "HEADRACE_FUNCTION_IMAGE"
STORAGE_SECRET = "HEADRACE_STORAGE_SECRET"  # noqa: S105 -- the name of the variable that names the secret
INGRESS = "HEADRACE_INGRESS"
COLLECTOR = "HEADRACE_COLLECTOR"
PLATFORM = "HEADRACE_PLATFORM"
STORE_PROXY = "HEADRACE_STORE_PROXY"
FUNCTION_ACCOUNT = "HEADRACE_FUNCTION_ACCOUNT"


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """One platform in one namespace."""

    storage: str
    """URL of the store as pods reach it; ``s3://bucket/prefix``."""
    namespace: str = "headrace"
    platform: str = "headrace"
    """Marks what is ours; two platforms of one namespace need two names."""
    image: str = "headrace-function-{framework}:{version}"
    """Runtime image; ``{framework}`` and ``{version}`` (of Headrace) are filled in. A tag other than ``latest``."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Runtime images of single frameworks, by framework, where they are not ``image``."""
    storage_secret: str = "headrace-storage"  # noqa: S105 -- its name, not its content
    """Secret of the namespace whose keys become the variables with which the platform's own pods read the store (``AWS_…``)."""
    store_proxy: str = ""
    """URL where pods that run users' code reach what they need of the store; empty for the gateway's in the namespace."""
    account: str = "headrace-function"
    """Service account of these pods. It may do nothing, and its token is mounted nowhere."""
    allowed_images: tuple[str, ...] = ()
    """Patterns of images that versions may run in beside the platform's runtime images; see ``allowed_images``."""
    locks: Mapping[str, str] = field(default_factory=dict)
    """The runtime image of today by the lock that it was made from."""
    secret: str = field(default="", repr=False)
    """The platform's secret, from which the tokens of these pods are made."""
    hash_key: Callable[[], str] = field(default=lambda: "", repr=False)
    """Gives the key by which sensitive fields are hashed now, hexadecimal; empty drops them."""
    collector: str = ""
    """URL that pods tell of records they shipped, empty for none."""
    ingress: str = ""
    """``tcp:HOST:PORT`` of the cluster's gateway for callers outside; empty calls services by their cluster-local names."""

    def __post_init__(self) -> None:
        kind, _, where = self.ingress.partition(":")
        host, _, port = where.rpartition(":")
        if self.ingress and not (kind == "tcp" and host and port.isdigit()):
            raise InvalidInput(
                f"ingress: {self.ingress!r} is not an address",
                field=INGRESS,
                expected="tcp:HOST:PORT",
                got=self.ingress,
            )
        named = {FUNCTION_IMAGE: self.image} | {f"{FUNCTION_IMAGE}_{k.upper()}": v for k, v in self.images.items()}
        for variable, image in named.items():
            _check_tag(variable, image)

    def image_for(self, version: Version) -> str:
        """The image that a version's pods are made from.

        ``InvalidInput`` for one that the platform may not run, and for a version of an earlier release whose function server reads
        the bucket with its key, unless an image of the same lock takes its place.
        """
        runtime = version.runtime
        if runtime is None:
            return self.image_of(version.framework)
        image = runtime.image if version.proxied else self.locks.get(runtime.lock, "")
        if not image:
            raise InvalidInput(
                f"{version.id} was built by an earlier release, whose function server needs the bucket's key",
                field="image",
                got=runtime.image,
                hint="apply the model again; replicas that are running continue until then",
            )
        check_image(image, (self.image, *self.images.values(), *self.locks.values()), self.allowed_images)
        container = version.options.get("container") if version.framework == CONTAINER else None
        if container:
            check_image(container["image"], (), self.allowed_images)
        return image

    @property
    def proxy_url(self) -> str:
        return self.store_proxy or store_proxy(self.namespace)

    def image_of(self, framework: str) -> str:
        """The runtime image for a framework's functions."""
        image = self.images.get(framework, self.image)
        return image.replace("{framework}", framework).replace("{version}", metadata.version("headrace"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], storage: str) -> "ClusterSettings":
        """Settings of variables; what is not set keeps its default."""
        variables = {
            "namespace": NAMESPACE,
            "platform": PLATFORM,
            "image": FUNCTION_IMAGE,
            "storage_secret": STORAGE_SECRET,
            "collector": COLLECTOR,
            "ingress": INGRESS,
            "store_proxy": STORE_PROXY,
            "account": FUNCTION_ACCOUNT,
        }
        single = f"{FUNCTION_IMAGE}_"
        images = {k.removeprefix(single).lower(): v for k, v in environment.items() if v and k.startswith(single)}
        told: dict[str, Any] = {f: environment[v] for f, v in variables.items() if environment.get(v)}
        return cls(storage, images=images, allowed_images=patterns_of(environment), **told)


def _check_tag(variable: str, image: str) -> None:
    if _tag(image) in ("", "latest"):
        raise InvalidInput(
            f"image: {image!r} has no fixed tag",
            field=variable,
            expected="e.g. registry.example/headrace-function-{framework}:{version}",
            hint="without one Kubernetes pulls the image at every start, and a version could change",
        )


def _tag(image: str) -> str:
    """The tag or digest of an image's name; a port of its registry is neither."""
    return image.rpartition("/")[2].partition("@" if "@" in image else ":")[2]
