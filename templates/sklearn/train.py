"""Train a classifier on the breast-cancer data that scikit-learn bundles; writes model.joblib and train.csv beside this file."""

from pathlib import Path

import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
TARGET = "malignant"


def main() -> None:
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    malignant = 1 - data.target  # scikit-learn has it the other way round: 1 is benign
    train_x, test_x, train_y, test_y = train_test_split(data.data, malignant, test_size=0.25, random_state=0, stratify=malignant)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train_x, train_y)
    joblib.dump(model, HERE / "model.joblib")

    lines = [",".join([*names, TARGET])]
    lines += [",".join(map(repr, [*row, label])) for row, label in zip(train_x.tolist(), train_y.tolist())]
    (HERE / "train.csv").write_text("\n".join(lines) + "\n")
    print(f"wrote model.joblib and train.csv; accuracy on held-out rows: {model.score(test_x, test_y):.3f}")


if __name__ == "__main__":
    main()
