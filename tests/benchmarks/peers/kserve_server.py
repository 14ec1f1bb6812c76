"""KServe's ModelServer with one scikit-learn model: ``kserve_server.py MODEL.joblib PORT``. One worker, no access log.

``-`` in the model's place serves a function that doubles, without scikit-learn.
"""

import sys

model_file, port = sys.argv[1], int(sys.argv[2])
sys.argv = sys.argv[:1]  # kserve reads the command line when it is imported

import kserve  # noqa: E402
import uvicorn  # noqa: E402
from kserve.utils.utils import get_predict_input, get_predict_response  # noqa: E402

_Config = uvicorn.Config


def _loopback(app: object, **options: object) -> uvicorn.Config:
    """KServe listens on all addresses and cannot be told otherwise."""
    return _Config(app, **{**options, "host": "127.0.0.1"})


uvicorn.Config = _loopback


class Classifier(kserve.Model):
    """Works out the label and the probabilities, as Headrace does for a classifier."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        import joblib

        self._model = joblib.load(model_file)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        del headers, response_headers
        rows = get_predict_input(payload)
        self._model.predict_proba(rows)
        return get_predict_response(payload, self._model.predict(rows), self.name)


class Doubler(kserve.Model):
    """What any framework costs besides its library."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        del headers, response_headers
        return get_predict_response(payload, get_predict_input(payload) * 2, self.name)


kind = Doubler if model_file == "-" else Classifier
kserve.ModelServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False).start([kind("m")])
