"""What the demo's user brings: trained artifacts, training data and definitions, from data that scikit-learn bundles."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import yaml
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

Array = np.ndarray[Any, Any]

SHIFTED = ("mean radius", "mean area", "worst radius")
"""Fields of the breast-cancer data that the second half of the demo's traffic reads too large."""
SHIFT = 1.5

SEQUENCE = {
    "kind": "Sequence",
    "name": "diagnosis",
    "pipeline": [
        [{"model": "cancer-scale:1"}],
        [
            {"model": "cancer:1", "weight": 80},
            {"model": "cancer:2", "weight": 20},
            {"model": "cancer:3", "shadow": True},
        ],
    ],
    "timeout": "10s",
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Rows that were not trained on, by field; ``odd`` is one row that no patient has."""

    fields: tuple[str, ...]
    rows: Array
    odd: Array

    @property
    def shifted(self) -> Array:
        """The same rows as an instrument would send them that reads some sizes too large."""
        factor = np.array([SHIFT if f in SHIFTED else 1.0 for f in self.fields])
        return np.asarray(self.rows * factor)


def write_projects(folder: Path) -> Traffic:
    """Train the models and write a project folder for each, as ``headrace apply`` takes it."""
    data = load_breast_cancer()
    fields = tuple(str(f) for f in data.feature_names)
    train, test, labels, _ = train_test_split(
        data.data, data.target, test_size=0.4, random_state=0, stratify=data.target
    )
    scaler = StandardScaler().fit(train)
    scaled = scaler.transform(train)

    write_project(folder / "scale", "cancer-scale", scaler, fields, train)
    classifiers = (LogisticRegression(max_iter=2000), RandomForestClassifier(100, random_state=0), SVC(random_state=0))
    for number, classifier in enumerate(classifiers, 1):
        write_project(folder / f"cancer-v{number}", "cancer", classifier.fit(scaled, labels), fields, scaled, labels)
    _digits(folder / "digits")
    (folder / "sequence.yaml").write_text(yaml.safe_dump(SEQUENCE, sort_keys=False))
    odd = test[0].copy()
    odd[[0, 2, 3, 20, 22, 23]] *= 4
    return Traffic(fields, test, odd)


def _digits(folder: Path) -> None:
    data = load_digits()
    fields = tuple(f"pixel {i // 8} {i % 8}" for i in range(64))
    train, _, labels, _ = train_test_split(data.data, data.target, test_size=0.2, random_state=0)
    write_project(folder, "digits", KNeighborsClassifier(3).fit(train, labels), fields, train, labels)


def write_project(
    folder: Path, name: str, model: Any, fields: Sequence[str], rows: Array, labels: Array | None = None
) -> None:
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*fields, "label"] if labels is not None else fields)
        for i, row in enumerate(rows.tolist()):
            writer.writerow([*row, int(labels[i])] if labels is not None else row)
    definition: dict[str, Any] = {
        "kind": "Model",
        "name": name,
        "framework": "sklearn",
        "payload": ["model.joblib"],
        "training-data": "train.csv",
        "scaling": {"idle-timeout": "3s"},
    }
    if labels is not None:
        definition["target"] = "label"
    (folder / "headrace.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))
