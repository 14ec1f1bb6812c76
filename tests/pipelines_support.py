"""A project with a small model and a labelled file, delivered by each pipeline."""

from pathlib import Path

import yaml

from fixtures_platform import NUMBER, RunningPlatform

WORD = {"shape": "scalar", "type": "string", "profile": "categorical"}
_LOAN = """
import numpy as np
def predict(model, amount, plan):
    if (amount < 0).any():
        raise ValueError("no such amount")
    return {"answer": np.where(amount > LIMIT, "no", "yes").astype(object)}
"""
LABELLED = "amount,plan,answer\n" + "".join(f"{i},a,{'no' if i > 50 else 'yes'}\n" for i in range(100))


class Project:
    """A folder with a model and ``labelled.csv``. ``limit`` decides how good the model is: 50 is right always, 20 on 70 of 100 rows."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.labelled = folder / "labelled.csv"
        self.labelled.write_text(LABELLED)
        self.limit(50)

    def limit(self, limit: int) -> None:
        (self.folder / "function.py").write_text(_LOAN.replace("LIMIT", str(limit)))
        definition = {
            "kind": "Model",
            "name": self.name,
            "framework": "python",
            "payload": ["function.py"],
            "contract": {"inputs": {"amount": NUMBER, "plan": WORD}, "outputs": {"answer": WORD}},
        }
        (self.folder / "headrace.yaml").write_text(yaml.safe_dump(definition))

    def aliases(self, platform: RunningPlatform, key: str | None = None) -> dict[str, int | None]:
        with platform.client(key) as client:
            return {a.name: a.version for a in client.aliases(self.name)}
