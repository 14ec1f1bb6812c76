"""The stories' model: a scikit-learn classifier on data that scikit-learn brings, as a project with its definition."""

import csv
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FIELDS = ("radius", "texture", "smoothness")
ROWS, LABELS = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, [0, 1, 4]]


def project(folder: Path, strength: float, name: str = "tumour", idle: str = "10s") -> Path:
    """A trained classifier with its training data and definition."""
    folder.mkdir()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(ROWS, LABELS)
    joblib.dump(model, folder / "model.joblib")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*FIELDS, "benign"])
        writer.writerows([*row, label] for row, label in zip(ROWS.tolist(), LABELS.tolist(), strict=True))
    definition = {
        "kind": "Model",
        "name": name,
        "framework": "sklearn",
        "payload": ["model.joblib"],
        "training-data": "train.csv",
        "target": "benign",
        "scaling": {"idle-timeout": idle},
    }
    (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
    return folder


def request_of(rows: np.ndarray) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": rows[:, i].tolist()}
            for i, name in enumerate(FIELDS)
        ]
    }
