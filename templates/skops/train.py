"""Train a classifier on the breast-cancer data that scikit-learn bundles; writes model.skops and train.csv beside this file."""

from pathlib import Path

import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
TARGET = "malignant"


def main() -> None:
    data, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    data.columns = [name.replace(" ", "_") for name in data.columns]
    malignant = 1 - benign
    train_x, test_x, train_y, test_y = train_test_split(data, malignant, test_size=0.25, random_state=0, stratify=malignant)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train_x, train_y)
    skops.io.dump(model, HERE / "model.skops")

    train_x.assign(**{TARGET: train_y}).to_csv(HERE / "train.csv", index=False)
    print(f"wrote model.skops and train.csv; accuracy on held-out rows: {model.score(test_x, test_y):.3f}")


if __name__ == "__main__":
    main()
