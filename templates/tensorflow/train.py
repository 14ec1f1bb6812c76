"""Train a classifier on the breast-cancer data that scikit-learn bundles; writes the SavedModel model/ and train.csv beside this file."""

from pathlib import Path

import tensorflow as tf
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
TARGET = "malignant"


class Classifier(tf.Module):
    def __init__(self, mean: tf.Tensor, deviation: tf.Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = tf.constant(mean), tf.constant(deviation)
        self.weights = tf.Variable(tf.zeros([len(mean), 2]))
        self.bias = tf.Variable(tf.zeros([2]))

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        return (x - self.mean) / self.deviation @ self.weights + self.bias


def main() -> None:
    data, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    data.columns = [name.replace(" ", "_") for name in data.columns]
    malignant = 1 - benign
    train_x, test_x, train_y, test_y = train_test_split(data, malignant, test_size=0.25, random_state=0, stratify=malignant)
    x, y = tf.constant(train_x.to_numpy("float32")), tf.constant(train_y.to_numpy())

    model = Classifier(tf.reduce_mean(x, 0), tf.math.reduce_std(x, 0))
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model.logits(x)))
        for variable, slope in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
            variable.assign_sub(0.3 * slope)

    # The signature is what is served: names, types and shapes of inputs and outputs. The number of rows is free.
    @tf.function(input_signature=[tf.TensorSpec([None, x.shape[1]], tf.float32, name="features")])
    def predict(features: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(model.logits(features))
        return {"label": tf.argmax(probabilities, axis=1), "probabilities": probabilities}

    tf.saved_model.save(model, str(HERE / "model"), signatures=predict)
    train_x.assign(**{TARGET: train_y}).to_csv(HERE / "train.csv", index=False)
    found = predict(tf.constant(test_x.to_numpy("float32")))["label"].numpy()
    print(f"wrote model/ and train.csv; accuracy on held-out rows: {(found == test_y.to_numpy()).mean():.3f}")


if __name__ == "__main__":
    main()
