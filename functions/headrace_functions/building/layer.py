"""``python -m headrace_functions.building.layer``: make the libraries that a runtime image lacks for a list of requirements.

It runs in that image, with uv beside it. uv is shown what the image has (the descriptions of its distributions alone), so it
keeps what fits, asks the index for the rest only, and what it adds is the layer. Source distributions run code of their own while
they are installed, so the Job decides nothing: it hands over lock and archive, and the controller keeps them.
"""

import compileall
import hashlib
import re
import shutil
import sys
import tarfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import orjson
import zstandard

from headrace_functions import startup
from headrace_functions.building import command, job_contract
from headrace_functions.building.ask import check_image
from headrace_functions.errors import InvalidInput, TooLarge
from headrace_functions.runtime import layers
from headrace_functions.runtime.prefetch import open_store

NO_INDEX = "UV_NO_INDEX"
"""Set to 1: nothing is looked for but at ``UV_FIND_LINKS``. uv itself has the option and no variable for it."""
_SEPARATORS = re.compile(r"[-_.]+")  # of a name; all mean the same (PEP 503)
_LEVEL = 6
_VENV_FILES = ("_virtualenv.py", "_virtualenv.pth", "distutils-precedence.pth")


def build(environment: Mapping[str, str]) -> None:
    """Resolve, install, pack, and hand over what was made."""
    check_image(environment)
    store = open_store(environment)
    question: dict[str, Any] = orjson.loads(store.get(environment[job_contract.QUESTION]))
    work = Path(environment[startup.WORK])
    site, shown = show(work / "environment", environment)
    install(question["requirements"], work, site, environment)
    lock = frozen(site)
    take_back(site, shown)
    packages = " ".join(sorted(f"{d.name}=={d.version}" for d in metadata.distributions(path=[str(site)])))
    archive = work / "layer.tar.zst"
    # Compiled here, because a pod could not keep it; by content, so that the same files are the same bytes.
    compileall.compile_dir(
        site, quiet=2, stripdir=str(site), prependdir="layer", invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    size = pack(site, archive)
    store.put(environment[job_contract.ARCHIVE], archive)
    print(f"{packages or 'nothing'} beyond the image", flush=True)  # noqa: T201 -- the build log
    result = {"lock": lock, "sha256": _digest(archive), "size": size, "packages": packages}
    store.put(environment[job_contract.RESULT], orjson.dumps(result))


def show(folder: Path, environment: Mapping[str, str]) -> tuple[Path, set[str]]:
    """A virtual environment that looks to uv as if it had what the image has; its packages folder, and the names copied there."""
    seen = command.plain(environment, "UV_") | {"HOME": str(folder.parent), "UV_CACHE_DIR": str(folder.parent / "uv")}
    uv = [environment[job_contract.UV], "venv", "--quiet", "--python", sys.executable, str(folder)]
    if command.run(uv, seen, timeout=job_contract.LAYER_TIMEOUT):
        sys.exit(job_contract.ENDED)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    shown = set()
    for found in metadata.distributions(path=[p for p in sys.path if p.startswith(sys.prefix)]):
        described = Path(str(found.locate_file(""))) / f"{found.name.replace('-', '_')}-{found.version}.dist-info"
        if not described.is_dir():
            described = Path(str(found._path))  # type: ignore[attr-defined]  # noqa: SLF001 -- the folder has no public name
        shutil.copytree(described, site / described.name)
        shown.add(described.name)
    return site, shown


def install(requirements: list[str], work: Path, site: Path, environment: Mapping[str, str]) -> None:
    """Install what is lacking. ``InvalidInput`` where the list has no solution; uv's words are in the log."""
    constraints = work / "constraints.txt"
    constraints.write_text("".join(f"{name}=={metadata.version(name)}\n" for name in layers.PINNED))
    wanted = work / "requirements.txt"
    wanted.write_text("\n".join(requirements) + "\n")
    seen = command.plain(environment, "UV_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    seen |= {"HOME": str(work), "TMPDIR": str(work), "UV_CACHE_DIR": str(work / "uv")}
    seen |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    python = site.parents[2] / "bin" / "python"
    uv = [environment[job_contract.UV], "pip", "install", "--python", str(python), "--link-mode", "hardlink"]
    uv += ["--constraint", str(constraints), "--requirements", str(wanted)]
    if environment.get(NO_INDEX, "") not in ("", "0", "false"):
        uv.append("--no-index")
    if command.run(uv, seen, timeout=job_contract.LAYER_TIMEOUT):
        raise InvalidInput(
            "the requirements could not be installed; the build log says why",
            field="requirements",
            hint="in a network without the public index, configure your own in the index secret (docs/cluster-builds.md)",
        )


def frozen(site: Path) -> str:
    """The whole environment, image and layer, as a lock: a line a distribution, sorted."""
    return "".join(sorted(f"{_pinned(d)}\n" for d in metadata.distributions(path=[str(site)])))


def _pinned(distribution: metadata.Distribution) -> str:
    name = _SEPARATORS.sub("-", distribution.name).lower()
    source = distribution.read_text("direct_url.json")
    if source is not None:
        return f"{name} @ {orjson.loads(source)['url']}"
    return f"{name}=={distribution.version}"


def take_back(site: Path, shown: set[str]) -> None:
    """Remove what is the image's or the virtual environment's own, so that the layer remains."""
    for name in shown:
        shutil.rmtree(site / name, ignore_errors=True)  # what uv replaced is gone already
    for name in _VENV_FILES:
        (site / name).unlink(missing_ok=True)


def pack(site: Path, archive: Path) -> int:
    """Write the files of a layer as tar.zst, the same files as the same bytes; the size of the files. ``TooLarge`` past the limit."""
    files = sorted(p for p in site.rglob("*") if p.is_file() and not p.is_symlink())
    size = sum(f.stat().st_size for f in files)
    if size > job_contract.MAX_LAYER or len(files) > layers.MAX_FILES:
        raise TooLarge(
            f"requirements: a layer has at most {job_contract.MAX_LAYER} bytes in {layers.MAX_FILES} files",
            field="requirements",
            got=f"{size} bytes in {len(files)} files",
            hint="build an image with these libraries and set it as 'image'",
        )
    with (
        archive.open("wb") as sink,
        zstandard.ZstdCompressor(level=_LEVEL).stream_writer(sink, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for file in files:
            info = tarfile.TarInfo(file.relative_to(site).as_posix())
            info.size = file.stat().st_size
            info.mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            with file.open("rb") as source:
                tar.addfile(info, source)
    return size


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


if __name__ == "__main__":
    command.main(build)
