"""XGBoost's and LightGBM's own files."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace_functions import ubjson
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import features
from headrace_functions.runtime.frameworks.boosted_outputs import Objective
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.runtime.inspecting.found import Contents

_HEAD = 1 << 20  # bytes of a LightGBM file that hold its header


def xgboost(path: Path, options: Options) -> Contents:
    """A booster: its features, what its objective answers, and the version that wrote it."""
    del options
    try:
        held = path.read_bytes()
        text = held[:1] == b"{" and held[1:2] not in (b"L", b"l", b"i", b"U", b"I")
        told: Mapping[str, Any] = json.loads(held) if text else ubjson.decode(held)
        learner = told["learner"]
        parameters = learner["learner_model_param"]
        name = str(learner["objective"]["name"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(
            f"payload: {path.name} is truncated or not a valid booster of XGBoost: {error}", field="payload"
        ) from error
    names, kinds = list(learner.get("feature_names") or ()), list(learner.get("feature_types") or ())
    objective = _objective(name, int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1) or 1))
    coded = [n for n, k in zip(names, kinds, strict=False) if k == "c"]
    unclear = [f"{', '.join(coded)}: takes the codes of its categories"] if coded else []
    if not names:
        unclear.append(
            "it was trained without names; its features are x0, x1, … or the columns of your training data in their order"
        )
    version = ".".join(str(n) for n in told.get("version", ()))
    return _contents(
        names, int(parameters.get("num_feature", 0)), objective, {"xgboost": version}, f"a booster, {name}", unclear
    )


def _objective(name: str, classes: int, targets: int) -> Objective:
    if name == "binary:logistic":
        return Objective(classes=2)
    if name in ("multi:softprob", "multi:softmax"):
        return Objective(classes=classes, probabilities=name == "multi:softprob")
    return Objective(targets=targets)


def lightgbm(path: Path, options: Options) -> Contents:
    """A booster: its features and what its objective answers; the file tells the version of its format alone."""
    del options
    with path.open("rb") as file:
        head = file.read(_HEAD).partition(b"\nTree=")[0].decode("utf-8", "replace")
    told = dict(line.partition("=")[::2] for line in head.splitlines() if "=" in line)
    if not head.startswith("tree") or "feature_names" not in told:
        raise InvalidInput(f"payload: {path.name} is truncated or not a valid booster of LightGBM", field="payload")
    name = told.get("objective", "").partition(" ")[0]
    classes = int(told.get("num_class", "1"))
    objective = Objective(classes=2) if name == "binary" else Objective(classes=classes) if classes > 1 else Objective()
    names = told["feature_names"].split()
    plain = [] if all(re.fullmatch(r"Column_\d+", n) for n in names) else names
    unclear = [] if plain else ["it was trained without names"]
    return _contents(
        plain,
        len(names),
        objective,
        {"format": told.get("version", "?")},
        f"a booster, {name or 'no objective'}",
        unclear,
    )


def _contents(
    names: Sequence[str],
    count: int,
    objective: Objective,
    versions: Mapping[str, str],
    about: str,
    unclear: Sequence[str],
) -> Contents:
    return Contents(versions, about, features.inputs(names or None, count), objective.defaults(), tuple(unclear))
