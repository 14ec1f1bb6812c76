"""Which kind of model a file of PyTorch's is, by its bytes. Imports no library."""

import zipfile
from pathlib import Path
from typing import Literal

from headrace_functions.errors import InvalidInput

Kind = Literal["exported", "script", "state"]
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file begins that PyTorch before 1.6 saved: a pickle of a number of its own."""


def kind_of(path: Path) -> Kind:
    """``InvalidInput`` for a file that is none."""
    if path.suffix == ".safetensors":
        return "state"
    if not _is_whole(path):
        with path.open("rb") as file:
            if file.read(len(_LEGACY)) == _LEGACY:
                return "state"
        raise InvalidInput(
            f"payload: {path.name} is truncated or not a valid file of PyTorch",
            field="payload",
            expected="an archive that torch.export.save, torch.jit.save or torch.save wrote",
        )
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    inside = {n.partition("/")[2] for n in names} | set(names)
    if any(n == "archive_format" or n.startswith("serialized_exported_program") for n in inside):
        return "exported"
    if any(n.startswith("code/") for n in inside) or "constants.pkl" in inside:
        return "script"
    if "data.pkl" in inside:
        return "state"
    raise InvalidInput(
        f"payload: {path.name} is an archive, but not a PyTorch file",
        field="payload",
        expected="an archive that torch.export.save, torch.jit.save or torch.save wrote",
        got=", ".join(sorted(names)[:5]) or "an empty archive",
    )


def _is_whole(path: Path) -> bool:
    """Whether the file is an archive from its first byte on: of one that is cut short an archive within it would be found."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return min((m.header_offset for m in archive.infolist()), default=0) == 0
