"""A predictor as KServe runs it: `python model.py` starts KServe's own server, Headrace runs the same class."""

import json
import math
from pathlib import Path

from kserve import Model, ModelServer


class Tumours(Model):
    def load(self) -> bool:
        learnt = json.loads(Path(__file__).with_name("model.json").read_text())
        self.weights, self.bias = learnt["weights"], learnt["bias"]
        self.ready = True
        return self.ready

    def predict(self, payload: dict, headers: dict | None = None) -> dict:
        """Rows as lists, the columns in the order of train.csv."""
        answers = []
        for row in payload["instances"]:
            score = sum(w * x for w, x in zip(self.weights, row, strict=True)) + self.bias
            probability = 1 / (1 + math.exp(-max(-500.0, min(500.0, score))))
            answers.append({"label": int(probability > 0.5), "probability": probability})
        return {"predictions": answers}


if __name__ == "__main__":
    model = Tumours("template-model")
    model.load()
    ModelServer().start([model])
