"""Where batches that run as jobs may read and write: they have the platform's reach, so an operator names the places. Pure but for links of folders.

Each is a folder of the platform's machine or ``s3://BUCKET/PREFIX``; a batch may use what is below it. Without any, no batch runs as a job.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace_functions.errors import InvalidInput

PLACES = "HEADRACE_BATCH_PLACES"
"""Environment variable with the places, separated by commas."""
_S3 = "s3://"
_BOUNDS = {"part-rows": 100_000, "parallel": 64}
_CHOICES = {"log": ("on", "off"), "restart": ("yes", "no")}


def places_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The places of ``HEADRACE_BATCH_PLACES``. ``InvalidInput`` for one that is neither an absolute folder nor ``s3://BUCKET``."""
    found = tuple(filter(None, (p.strip() for p in environment.get(PLACES, "").split(","))))
    for place in found:
        if not (place.startswith("/") or place.removeprefix(_S3).strip("/") not in ("", place)):
            raise InvalidInput(
                f"{PLACES}: {place!r} is not a place",
                field=PLACES,
                expected="/a/folder or s3://BUCKET/PREFIX",
                got=place,
            )
    return found


def check(arguments: Mapping[str, str], places: Sequence[str]) -> None:
    """``InvalidInput`` for arguments of a batch that are none, or are not below one of the ``places``."""
    known = {"files", "to", "window", "until", "endpoint", "within", *_BOUNDS, *_CHOICES}
    for name, value in arguments.items():
        if name not in known:
            raise InvalidInput(f"{name}: a batch has no such option", field=name, expected=", ".join(sorted(known)))
        most = _BOUNDS.get(name)
        if most is not None and not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
            raise InvalidInput(f"{name}: {value!r} is out of range", field=name, expected=f"1 to {most:,}", got=value)
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InvalidInput(f"{name}: {value!r} is not an option", field=name, expected=" or ".join(_CHOICES[name]))
    for name in ("files", "to"):
        place = arguments.get(name, "")
        if not place:
            raise InvalidInput(
                f"{name}: it is required for a batch", field=name, expected="a folder or s3://BUCKET/PREFIX"
            )
        if not any(_is_below(place, allowed) for allowed in places):
            raise InvalidInput(
                f"{name}: {place} is outside the places that batches of this platform may read and write",
                field=name,
                expected=f"a place below one of {', '.join(places)}"
                if places
                else "a place that the platform allows (it allows none at the moment)",
                got=place,
                hint=f"an operator can allow it in {PLACES}; without --submit the command runs here, with your own reach",
            )


def _is_below(place: str, allowed: str) -> bool:
    if ".." in place.split("/") or not place.isprintable():
        return False
    if place.startswith(_S3) and "%" in place:
        return False  # what it says once it is decoded may lie elsewhere
    if allowed.startswith(_S3) or place.startswith(_S3):
        return f"{place.rstrip('/')}/".startswith(f"{allowed.rstrip('/')}/") and place.startswith(_S3)
    if not place.startswith("/"):
        return False
    plain = place[: min((place.index(c) for c in "*?[" if c in place), default=len(place))]
    folder = plain if plain == place else plain.rpartition("/")[0] or "/"
    return Path(folder).resolve().is_relative_to(Path(allowed).resolve())
