"""What an artifact needs, read without running it and without its libraries: builds ask this where none of them is installed."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import mlmodel
from headrace_functions.runtime.frameworks.keras_files import BACKENDS, written_by
from headrace_functions.runtime.frameworks.model_files import (
    KERAS,
    LIGHTGBM,
    PICKLED,
    SKOPS,
    TORCH,
    XGBOOST,
    only_file,
)
from headrace_functions.runtime.frameworks.pickles import (
    LIBRARIES,
    Inert,
    UnreadablePickleError,
    contents,
    libraries,
    of_sources,
)
from headrace_functions.runtime.frameworks.port import Options

_NATIVE = (*XGBOOST, *LIGHTGBM, ".cbm")
"""How boosters' own files end."""
_BY_NAME = ("ColumnTransformer", "FunctionTransformer")
_NUMPY_2 = "2"
_KNOWS_NUMPY_2 = (1, 4, 2)
"""The first scikit-learn that was built for NumPy 2; earlier ones do not say that they are not."""
_SOURCES = 100  # Python files of a payload that are looked at
_POINTERS = (
    (b"version https://git-lfs.github.com", "git lfs pull"),
    (b"/annex/objects", "git annex get"),
    (b"outs:", "dvc pull"),
)


def requirements(framework: str, artifact: Path, options: Options) -> list[str]:
    """Requirements that the artifact in a folder tells; empty for a framework whose artifacts tell nothing."""
    read = _READERS.get(framework)
    return read(artifact, options) if read is not None else []


def model_file(artifact: Path, options: Options) -> Path:
    """The one pickled model in an artifact, or the one that ``options.file`` names."""
    native = next((p.name for p in sorted(artifact.rglob("*")) if p.suffix in _NATIVE), None)
    dump = f"if {native} is a booster's own file, say framework: xgboost or framework: lightgbm, or dump the estimator: joblib.dump(model, 'model.joblib')"
    return only_file(artifact, options, (*PICKLED, *SKOPS), dump if native else "")


def _pickled(artifact: Path, options: Options) -> list[str]:
    """What loads the file (scikit-learn, in the version that the estimators tell, and joblib), what the file names, what modules beside it import.

    pandas where a step picks columns by name or a booster was fitted on columns of type ``category``. Versions of scikit-learn that
    know nothing of NumPy 2 ask for an older one.
    """
    path = model_file(artifact, options)
    refuse_pointers(path)
    if path.suffix in SKOPS:
        return _skops(path)
    sources = [p.read_text("utf-8", "replace") for p in sorted(artifact.rglob("*.py"))[:_SOURCES]]
    try:
        found = contents(path)
    except UnreadablePickleError as error:
        found = error.found  # loading it will say what is wrong
    wanted = libraries(found)
    if (_picks_by_name(found) or _has_categories(found)) and "pandas" not in wanted:
        wanted.append("pandas")
    names = {_plain(w) for w in wanted}
    wanted += [name for name in ("scikit-learn", "joblib", *of_sources(sources)) if name not in names]
    wanted += [f"numpy<{_NUMPY_2}" for w in wanted if w.startswith("scikit-learn==") and _is_before(w, _KNOWS_NUMPY_2)]
    return sorted(set(wanted))


def _skops(path: Path) -> list[str]:
    """skops, and scikit-learn and what else the file's types are of. The file says the version of skops alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            schema = archive.read("schema.json").decode("utf-8", "replace")
    except (zipfile.BadZipFile, KeyError, OSError):
        schema = ""  # looking at its types says what is wrong
    roots = set(re.findall(r'"__module__": "(\w+)', schema))
    told = re.search(r'"_skops_version": "([\d.]+)"', schema)
    wanted = {name for root, name in LIBRARIES.items() if root in roots} | {"scikit-learn", "joblib"}
    return sorted({*wanted, f"skops>={told[1]}" if told else "skops"})


def _torch(artifact: Path, options: Options) -> list[str]:
    """PyTorch as new as the one that exported the program; what it reads of its own, later ones read, too."""
    path = only_file(artifact, options, TORCH)
    refuse_pointers(path)
    made = ""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            programs = [n for n in archive.namelist() if n.endswith(".json") and "/models/" in f"/{n}"]
            told = re.search(rb'"torch_version": "(\d+\.\d+)', archive.read(programs[0])) if programs else None
            made = told[1].decode() if told else ""
    return [f"torch>={made or '2.4'}", "numpy", *(["safetensors"] if path.suffix == ".safetensors" else [])]


def _keras(artifact: Path, options: Options) -> list[str]:
    """Keras from the version that wrote the file on, and its backend: TensorFlow's build for processors unless told otherwise."""
    path = only_file(artifact, options, KERAS)
    refuse_pointers(path)
    made = written_by(path)
    backend = str(options.get("backend", BACKENDS[0]))
    newest = made if made.startswith("3.") else "3"
    return [f"keras>={newest}", "tensorflow-cpu" if backend == "tensorflow" else backend]


def _mlflow(artifact: Path, options: Options) -> list[str]:
    """What MLflow wrote down, or what the flavour's loader needs; PyYAML, which reads the folder."""
    model = mlmodel.read(artifact, options)
    if model.framework is None:
        return sorted({*model.requirements(), "pyyaml"})
    wanted = {_plain(r): r for r in requirements(model.framework, model.part, model.options)}
    pinned = {_plain(r): r for r in model.requirements()}
    same = {_LIGHT.get(name, name): name for name in wanted}
    return sorted({*(_pinned(r, pinned, same) for r in wanted.values()), *_beside(pinned, same), "pyyaml"})


_LIGHT = {"xgboost-cpu": "xgboost", "tensorflow-cpu": "tensorflow"}
"""Builds for processors of a library, which are versioned as it is."""


def _pinned(requirement: str, pinned: dict[str, str], same: dict[str, str]) -> str:
    """The version that MLflow wrote down for a library, of the build that is wanted here."""
    name = _plain(requirement)
    full = next((f for f, light in same.items() if light == name), name)
    return name + pinned[full][len(full) :] if full in pinned else requirement


def _beside(pinned: dict[str, str], same: dict[str, str]) -> list[str]:
    return [line for name, line in pinned.items() if name not in same and name not in same.values()]


def _plain(requirement: str) -> str:
    return re.split(r"[=<>!~ ]", requirement)[0]


def _is_before(requirement: str, version: tuple[int, ...]) -> bool:
    return tuple(int(n) for n in re.findall(r"\d+", requirement.partition("==")[2])) < version


def refuse_pointers(path: Path) -> None:
    """Version control leaves small text files in the place of big ones that were not fetched."""
    with path.open("rb") as file:
        start = file.read(100)
    for mark, command in _POINTERS:
        if start.startswith(mark):
            raise InvalidInput(
                f"payload: {path.name} is a pointer, not the model itself",
                field="payload",
                expected="the file that the pointer refers to",
                got=start.split(b"\n")[0].decode("utf-8", "replace"),
                hint=f"fetch it first: {command}",
            )


def _has_categories(found: list[Inert]) -> bool:
    return any(o.state.get("pandas_categorical") or o.state.get("enable_categorical") is True for o in found)


def _picks_by_name(found: list[Inert]) -> bool:
    named = any("feature_names_in_" in o.state for o in found)
    return named and any(o.path.rpartition(".")[2] in _BY_NAME for o in found)


# Source code does not say its versions: for framework python the user lists them.
_READERS: dict[str, Callable[[Path, Options], list[str]]] = {
    "sklearn": _pickled,
    "xgboost": lambda _artifact, _options: ["xgboost-cpu>=2.1"],
    "lightgbm": lambda _artifact, _options: ["lightgbm>=4"],
    "onnx": lambda _artifact, _options: ["onnxruntime>=1.19"],
    "torch": _torch,
    "keras": _keras,
    "tensorflow": lambda _artifact, _options: ["tensorflow-cpu>=2.16"],
    "mlflow": _mlflow,
    "fastai": lambda _artifact, _options: ["fastai>=2.7"],
    "kserve": lambda _artifact, _options: ["kserve>=0.15"],
}
"""Native files say no version of their library that would have to be kept: newer ones read what older ones wrote."""
