"""Which file of an artifact is the model. Imports no framework's library: builds and jobs ask here too."""

from collections.abc import Sequence
from pathlib import Path

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.port import Options

SKOPS = (".skops",)
"""How files end that skops wrote: an estimator without a pickle."""
PICKLED = (".joblib", ".pkl", ".pickle")
"""How files end that hold a pickled estimator."""
TORCH = (".pt2", ".pt", ".pth", ".jit", ".ts", ".torchscript", ".safetensors")
"""How PyTorch's end: exported programs, TorchScript or the state of a module, and its state as safetensors."""
KERAS = (".keras", ".h5", ".hdf5")
SAVED_MODEL = "saved_model.pb"
"""The file that makes a folder a SavedModel of TensorFlow."""
FASTAI = (".pkl", ".fastai")
"""How exported learners of fastai end."""
XGBOOST = (".json", ".ubj", ".bst", ".model")
"""How the files end in which XGBoost keeps a booster, without the interface of scikit-learn."""
LIGHTGBM = (".txt", ".lgb")
"""How LightGBM's end."""


def only_file(artifact: Path, options: Options, suffixes: Sequence[str], hint: str = "") -> Path:
    """The one file that ends in one of ``suffixes``, or the one that ``options.file`` names; ``InvalidInput`` says what is there instead."""
    if "file" in options:
        path = (artifact / str(options["file"])).resolve()
        found = [path] if path.is_file() and path.is_relative_to(artifact.resolve()) else []
    else:
        found = sorted(p for p in artifact.rglob("*") if p.suffix in suffixes and p.is_file())
    if len(found) == 1:
        return found[0]
    have = ", ".join(sorted(p.name for p in artifact.iterdir())[:20]) if artifact.is_dir() else "no folder"
    raise InvalidInput(
        f"payload: {len(found)} model files, but one is required" if found else "payload: no model file",
        field="payload",
        expected=f"one file that ends in {', '.join(suffixes)}, or options.file",
        got=have or "nothing",
        hint="set options.file to the one to serve" if found else hint or None,
    )


def saved_model(artifact: Path) -> Path:
    """The folder of the one SavedModel of TensorFlow in an artifact; ``InvalidInput`` says what is there instead."""
    found = sorted(artifact.rglob(SAVED_MODEL))
    if len(found) == 1:
        return found[0].parent
    have = ", ".join(sorted(p.name for p in artifact.iterdir())[:20]) if artifact.is_dir() else "no folder"
    raise InvalidInput(
        f"payload: {len(found)} SavedModels, but one is required" if found else "payload: no SavedModel",
        field="payload",
        expected=f"a folder with {SAVED_MODEL} and variables/",
        got=have or "nothing",
    )
