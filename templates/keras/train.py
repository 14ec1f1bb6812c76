"""Train a network on the breast-cancer data that scikit-learn bundles; writes model.keras and train.csv beside this file."""

from pathlib import Path

import keras
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
TARGET = "malignant"


def main() -> None:
    keras.utils.set_random_seed(0)
    data, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    data.columns = [name.replace(" ", "_") for name in data.columns]
    malignant = 1 - benign
    train_x, test_x, train_y, test_y = train_test_split(data, malignant, test_size=0.25, random_state=0, stratify=malignant)

    scale = keras.layers.Normalization()
    scale.adapt(train_x.to_numpy("float32"))
    features = keras.Input((train_x.shape[1],), name="features")
    hidden = keras.layers.Dense(16, "relu")(scale(features))
    probabilities = keras.layers.Dense(2, "softmax", name="probabilities")(hidden)
    model = keras.Model(features, probabilities)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_x.to_numpy("float32"), train_y.to_numpy(), epochs=60, batch_size=32, verbose=0)
    _, accuracy = model.evaluate(test_x.to_numpy("float32"), test_y.to_numpy(), verbose=0)

    # What is served answers with the class beside the probabilities, each by its name.
    served = keras.Model(features, {"label": keras.ops.argmax(probabilities, axis=-1), "probabilities": probabilities})
    served.save(HERE / "model.keras")
    train_x.assign(**{TARGET: train_y}).to_csv(HERE / "train.csv", index=False)
    print(f"wrote model.keras and train.csv; accuracy on held-out rows: {accuracy:.3f}")


if __name__ == "__main__":
    main()
