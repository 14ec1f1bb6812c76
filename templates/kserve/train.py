"""Train a classifier on the breast-cancer data that scikit-learn bundles; writes model.json and train.csv beside this file."""

import json
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
TARGET = "malignant"


def main() -> None:
    data, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    data.columns = [name.replace(" ", "_") for name in data.columns]
    malignant = 1 - benign
    train_x, test_x, train_y, test_y = train_test_split(data, malignant, test_size=0.25, random_state=0, stratify=malignant)

    scaler = StandardScaler().fit(train_x)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(train_x), train_y)
    weights = model.coef_[0] / scaler.scale_
    learnt = {"weights": weights.tolist(), "bias": float(model.intercept_[0] - weights @ scaler.mean_)}
    (HERE / "model.json").write_text(json.dumps(learnt))

    train_x.assign(**{TARGET: train_y}).to_csv(HERE / "train.csv", index=False)
    print(f"wrote model.json and train.csv; accuracy on held-out rows: {model.score(scaler.transform(test_x), test_y):.3f}")


if __name__ == "__main__":
    main()
