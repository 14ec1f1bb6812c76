"""Which images pods of versions may be made from: those of the platform's own runtime images, of any tag, and those that it is told. Pure.

A version names its image, so what is not checked here could make a platform run anything.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping

from headrace_functions.errors import InvalidInput

ALLOWED_IMAGES = "HEADRACE_ALLOWED_IMAGES"
"""Patterns of images that definitions may name, separated by commas; ``*`` stands for any characters, e.g. ``registry.example/team/*``."""
_PLACEHOLDER = re.compile(r"\\{[a-z]+\\}")


def check_image(image: str, own: Iterable[str], patterns: Iterable[str]) -> None:
    """``InvalidInput`` for an image that is neither one of our ``own`` (templates, see ``ClusterSettings.image``) nor fits a pattern."""
    name = repository(image)
    if any(_template(repository(template)).fullmatch(name) for template in own):
        return
    if any(fnmatch.fnmatchcase(image, pattern) for pattern in patterns):
        return
    raise InvalidInput(
        f"image: {image} is not an image that this platform may run",
        field="image",
        got=image,
        expected="a runtime image of the platform, or one that matches HEADRACE_ALLOWED_IMAGES",
        hint=f"an operator can allow it in {ALLOWED_IMAGES}, e.g. {name}:*",
    )


def repository(image: str) -> str:
    """An image's name without tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def patterns_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The patterns of ``HEADRACE_ALLOWED_IMAGES``."""
    return tuple(filter(None, (p.strip() for p in environment.get(ALLOWED_IMAGES, "").split(","))))


def _template(name: str) -> re.Pattern[str]:
    return re.compile(_PLACEHOLDER.sub("[a-z0-9._-]+", re.escape(name)))
