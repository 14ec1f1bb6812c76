"""Requirement lists: what a line may be, and how the user's list and the platform's are joined."""

import re
from collections.abc import Iterable

from headrace_functions.errors import InvalidInput, TooLarge

MAX_REQUIREMENTS = 500  # lines
_LIBRARY = {"xgboost-cpu": "xgboost"}
"""Distributions that hold the library of another one: both in an environment would overwrite each other."""
_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_SEPARATORS = re.compile(r"[-_.]+")


def parse(text: str) -> list[str]:
    """The requirements of a ``requirements.txt``: comments and empty lines removed, continued lines joined."""
    joined = text.replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return check(line for line in lines if line)


def check(lines: Iterable[str]) -> list[str]:
    """The lines, if each names a package; options such as ``--index-url`` or ``-e`` are refused."""
    checked = [re.sub(r"\s+--hash=\S+", "", line).strip() for line in lines]
    if len(checked) > MAX_REQUIREMENTS:
        raise TooLarge(f"requirements: at most {MAX_REQUIREMENTS} lines", field="requirements", got=str(len(checked)))
    for line in checked:
        if not _NAME.match(line):
            raise InvalidInput(
                f"requirements: {line!r} does not name a package",
                field="requirements",
                expected="e.g. scikit-learn==1.5.2",
                hint="configure package indexes for uv on the platform; options and local paths are not supported here",
            )
    return checked


def package(requirement: str) -> str:
    """The normalised name of the package that a requirement is about (PEP 503): ``Scikit_Learn>=1`` is ``scikit-learn``."""
    match = _NAME.match(requirement)
    assert match is not None, requirement
    return _SEPARATORS.sub("-", match[1]).lower()


def join(first: Iterable[str], *others: Iterable[str]) -> list[str]:
    """All of ``first``, and of the others what is about libraries that no earlier list is about."""
    joined = list(first)
    for other in others:
        known = {_library(line) for line in joined}
        joined += [line for line in other if _library(line) not in known]
    return joined


def _library(requirement: str) -> str:
    name = package(requirement)
    return _LIBRARY.get(name, name)
