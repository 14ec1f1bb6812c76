"""Which file of an artifact is the model. Imports no framework's library: builds and jobs ask here too."""

from collections.abc import Sequence
from pathlib import Path

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.port import Options

PICKLED = (".joblib", ".pkl", ".pickle")
"""How files end that hold a pickled estimator."""
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
        f"payload: {len(found)} model files, one is needed" if found else "payload: no model file",
        field="payload",
        expected=f"one file that ends in {', '.join(suffixes)}, or options.file",
        got=have or "nothing",
        hint="name the one to serve as options.file" if found else hint or None,
    )
