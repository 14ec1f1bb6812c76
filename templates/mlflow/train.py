"""Train a classifier on the breast-cancer data that scikit-learn bundles; writes the MLflow model model/ and train.csv beside this file."""

import shutil
from pathlib import Path

import mlflow
from mlflow.models import infer_signature
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

    # A tracking server's `mlflow.sklearn.log_model` makes the same folder; download it, or name it by its URL.
    shutil.rmtree(HERE / "model", ignore_errors=True)
    signature = infer_signature(train_x, model.predict(train_x))
    mlflow.sklearn.save_model(model, HERE / "model", signature=signature, input_example=train_x[:2])
    train_x.assign(**{TARGET: train_y}).to_csv(HERE / "train.csv", index=False)
    print(f"wrote model/ and train.csv; accuracy on held-out rows: {model.score(test_x, test_y):.3f}")


if __name__ == "__main__":
    main()
