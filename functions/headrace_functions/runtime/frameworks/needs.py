"""What an artifact needs, read without running it and without its libraries: builds ask this where none of them is installed."""

from collections.abc import Callable
from pathlib import Path

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.pickles import Inert, UnreadablePickleError, contents, libraries
from headrace_functions.runtime.frameworks.port import Options

SUFFIXES = (".joblib", ".pkl", ".pickle")
"""Of files that hold a pickled estimator."""
_BY_NAME = ("ColumnTransformer", "FunctionTransformer")


def requirements(framework: str, artifact: Path, options: Options) -> list[str]:
    """Requirements that the artifact in a folder tells; empty where nothing can be told."""
    read = _READERS.get(framework)
    return read(artifact, options) if read is not None else []


def model_file(artifact: Path, options: Options) -> Path:
    """The one pickled model in an artifact, or the one that ``options.file`` names."""
    if "file" in options:
        path = (artifact / str(options["file"])).resolve()
        found = [path] if path.is_file() and path.is_relative_to(artifact.resolve()) else []
    else:
        found = sorted(p for p in artifact.rglob("*") if p.suffix in SUFFIXES)
    if len(found) == 1:
        return found[0]
    have = ", ".join(sorted(p.name for p in artifact.iterdir())[:20]) if artifact.is_dir() else "no folder"
    raise InvalidInput(
        "payload: no single model file",
        field="payload",
        expected=f"one file that ends in {', '.join(SUFFIXES)}, or options.file",
        got=have or "nothing",
    )


def _pickled(artifact: Path, options: Options) -> list[str]:
    """scikit-learn's version as the estimators tell it; pandas where a step picks columns by name."""
    try:
        found = contents(model_file(artifact, options))
    except UnreadablePickleError:
        return []  # loading it will say what is wrong
    wanted = libraries(found)
    if _picks_by_name(found) and "pandas" not in wanted:
        wanted.append("pandas")
    return sorted({*wanted, "joblib"})


def _picks_by_name(found: list[Inert]) -> bool:
    named = any("feature_names_in_" in o.state for o in found)
    return named and any(o.path.rpartition(".")[2] in _BY_NAME for o in found)


# Source code does not say its versions: for framework python the user lists them.
_READERS: dict[str, Callable[[Path, Options], list[str]]] = {"sklearn": _pickled}
