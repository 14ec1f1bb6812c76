"""``install-command`` of Hydrosphere: what of a shell command is a list of requirements, and what cannot be honoured."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from headrace_functions.errors import InvalidInput

EXPECTED = "pip install -r FILE, or pip install PACKAGE"
_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
_PIP = re.compile(r"pip(\d+(\.\d+)?)?")
_FILE = re.compile(r"(?:-r|--requirement=)(?P<file>.+)")
_PACKAGE = re.compile(r"(?!.*\.(whl|zip|tar\.gz)$)[A-Za-z0-9][^/\\]*")
_OF_NO_EFFECT = frozenset(
    ("-U", "--upgrade", "-q", "--quiet", "-v", "--verbose", "-I", "--ignore-installed", "--user", "--no-cache-dir", "--no-input",
     "--force-reinstall", "--disable-pip-version-check", "--no-warn-script-location", "--no-color", "--prefer-binary")
)  # fmt: skip
"""Options that say how pip goes about it, not what is there in the end: environments are resolved anew from the list."""
_TOOLS = frozenset(("pip", "setuptools", "wheel"))
"""What installs other packages, and is not needed to run a model."""
_FILES = "/model/files/"
"""The folder in which Hydrosphere runs the command."""
_LIST = "list the packages under 'requirements' and remove install-command"
_PROJECT = "add the folder of the project to 'payload', and list what it needs under 'requirements'"
_INDEX = "configure package indexes for uv on the platform, and leave the option out"


@dataclass(frozen=True, slots=True)
class Installed:
    """The files of requirements and the packages that a command installs."""

    files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


def installed_by(command: str) -> Installed:
    """What ``pip install`` commands joined by ``&&`` install. ``InvalidInput`` quoting the part that does something else."""
    files: list[str] = []
    packages: list[str] = []
    for step in _steps(command):
        words = iter(_arguments(step))
        for word in words:
            file = next(words, "") if word in ("-r", "--requirement") else _file(word)
            if file:
                files.append(file.removeprefix(_FILES))
            elif _PACKAGE.fullmatch(word):
                packages.append(word)
            elif word not in _OF_NO_EFFECT:
                raise _refused(step, f"{word} is neither a package nor -r FILE")
    return Installed(tuple(files), tuple(name for name in packages if name not in _TOOLS))


def _file(word: str) -> str:
    found = _FILE.fullmatch(word)
    return found["file"] if found else ""


def _steps(command: str) -> Iterator[list[str]]:
    words = shlex.shlex(command, posix=True, punctuation_chars="&;|")
    words.whitespace_split = True
    words.commenters = ""
    step: list[str] = []
    try:
        for word in (*words, "&&"):
            if word not in ("&&", ";"):
                step.append(word)
            elif step:
                yield step
                step = []
    except ValueError as error:
        raise _refused([command], str(error)) from error


def _arguments(step: Sequence[str]) -> Sequence[str]:
    """What follows ``pip install``, however pip is called."""
    words = step[1:] if step[0] == "sudo" else step
    program = PurePosixPath(words[0]).name if words else ""
    if _PYTHON.fullmatch(program) and list(words[1:2]) == ["-m"]:
        words, program = words[2:], "".join(words[2:3])
    if not _PIP.fullmatch(program) or list(words[1:2]) != ["install"]:
        raise _refused(step, "nothing but a requirement list is installed")
    return words[2:]


def _refused(step: Sequence[str], why: str) -> InvalidInput:
    project = any(word in ("-e", "--editable", ".") for word in step)
    index = "install" in step and any(
        word.startswith(("-i", "--index-url", "--extra-index-url", "-f", "--find-links")) for word in step
    )
    return InvalidInput(
        f"{' '.join(step)!r} cannot be honoured: {why}",
        expected=EXPECTED,
        hint=_PROJECT if project else _INDEX if index else _LIST,
    )
