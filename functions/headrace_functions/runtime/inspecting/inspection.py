"""An artifact as it can be described before anything of it runs: what ``headrace model inspect`` prints, and what builds start from."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from headrace_functions.errors import HeadraceError, InvalidInput, NotFound
from headrace_functions.runtime.frameworks import FRAMEWORKS, check
from headrace_functions.runtime.frameworks.needs import requirements
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.runtime.frameworks.safety import check as check_safety
from headrace_functions.runtime.inspecting import boosters, estimators, graph_files, networks
from headrace_functions.runtime.inspecting.found import Contents, Found
from headrace_functions.runtime.inspecting.kinds import Kind, kinds

Reader = Callable[[Path, Options], Contents]
_READERS: Mapping[str, Reader] = {
    "fastai": estimators.learner,
    "keras": networks.keras,
    "kserve": estimators.predictor,
    "lightgbm": boosters.lightgbm,
    "mlflow": estimators.mlflow,
    "onnx": graph_files.onnx,
    "python": estimators.function,
    "sklearn": estimators.pickled,
    "tensorflow": graph_files.saved_model,
    "torch": networks.torch,
    "xgboost": boosters.xgboost,
}
_SEVERAL = 10  # models that an error names


def framework_of(artifact: Path) -> Kind:
    """The one model of an artifact. ``InvalidInput`` naming what there is where it is none, or are several of different frameworks."""
    found = kinds(artifact)
    if not found:
        have = ", ".join(sorted(p.name for p in artifact.iterdir())[:20]) if artifact.is_dir() else artifact.name
        raise InvalidInput(
            "framework: the payload does not tell which framework it needs",
            field="framework",
            expected=f"one of {', '.join(sorted(FRAMEWORKS))}",
            got=have or "nothing",
        )
    if len({k.framework for k in found}) > 1:
        root = artifact if artifact.is_dir() else artifact.parent
        told = ", ".join(f"{k.path.relative_to(root)} ({k.framework})" for k in found[:_SEVERAL])
        raise InvalidInput(
            "framework: the payload contains models of several frameworks",
            field="framework",
            expected="framework and, where it has several files, options.file",
            got=told,
            hint=f"name the one to serve, e.g. framework: {found[0].framework}",
        )
    return found[0]


def inspect(artifact: Path, framework: str | None = None, options: Options | None = None) -> Found:
    """Describe the model in a file or folder. ``NotFound`` where there is nothing, ``InvalidInput`` for damage, with the file's name."""
    if not artifact.exists():
        raise NotFound(f"{artifact} does not exist", field="file", hint="correct the path")
    if framework is not None:
        check(framework)
    found = kinds(artifact)
    chosen = [k for k in found if framework in (None, k.framework)]
    kind = chosen[0] if framework and chosen else Kind(framework, artifact) if framework else framework_of(artifact)
    contents = _READERS[kind.framework](kind.path, options or {})
    same = [k for k in found if k.framework == kind.framework]
    if len(same) > 1:
        root = artifact if artifact.is_dir() else artifact.parent
        names = ", ".join(str(k.path.relative_to(root)) for k in same[:_SEVERAL])
        line = f"options: {{file: {same[0].path.relative_to(root)}}}"
        contents = replace(
            contents, unclear=(f"there are several models: {names}", *contents.unclear), lines=(line, *contents.lines)
        )
    listed, unsafe = _as_a_build_sees_it(kind, options or {})
    name = kind.path.name if kind.path == artifact else str(kind.path.relative_to(artifact))
    return Found(kind.framework, name, _size(kind.path), _digest(kind.path), contents, listed, unsafe)


def _as_a_build_sees_it(kind: Kind, options: Options) -> tuple[tuple[str, ...], str]:
    """Requirements and what is unsafe, of the model alone in a folder, as builds have it."""
    with tempfile.TemporaryDirectory(prefix="headrace-inspect-") as made:
        folder = Path(made)
        if kind.path.is_dir():
            folder = kind.path
        else:
            _beside(kind.path, folder)
        try:
            listed = tuple(requirements(kind.framework, folder, {k: v for k, v in options.items() if k != "file"}))
        except HeadraceError:
            listed = ()
        try:
            check_safety(kind.framework, folder, {k: v for k, v in options.items() if k != "file"}, [])
        except HeadraceError as error:
            return listed, error.message
    return listed, ""


def _beside(file: Path, folder: Path) -> None:
    """The file, linked; and the Python files beside it, which its pickles may name."""
    (folder / file.name).symlink_to(file.resolve())
    for source in sorted(file.parent.glob("*.py"))[:100]:
        if source != file:
            shutil.copyfile(source, folder / source.name)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
