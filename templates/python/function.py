"""A function that is served as it is: `load` runs once a process, `predict` once a batch of requests.

Inputs are arrays of n rows by name; the answer is a dict of arrays of n rows.
"""

import json
from pathlib import Path

import numpy as np


def load(path):
    """What `predict` needs: here the coefficients that train.py wrote. `path` is the folder of the payload."""
    return json.loads((Path(path) / "table.json").read_text())


def predict(model, temperature, hour, day):
    """Hourly consumption of a building in kWh."""
    heating = model["per_degree"] * np.maximum(model["threshold"] - temperature, 0)
    weekend = np.isin(day, ["saturday", "sunday"])
    usual = np.asarray(model["by_hour"])[hour] * np.where(weekend, model["weekend"], 1.0)
    return {"value": usual + heating}
