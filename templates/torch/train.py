"""Train a network on the breast-cancer data that scikit-learn bundles and export it; writes model.pt2 and train.csv beside this file."""

from pathlib import Path

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
TARGET = "malignant"


class Classifier(torch.nn.Module):
    """Scales its features by those of the training data, so that callers send them as they are."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.layers = torch.nn.Sequential(torch.nn.Linear(len(mean), 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        probabilities = torch.softmax(self.layers((x - self.mean) / self.deviation), dim=1)
        return {"label": probabilities.argmax(dim=1), "probabilities": probabilities}


def main() -> None:
    torch.manual_seed(0)
    data, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    data.columns = [name.replace(" ", "_") for name in data.columns]
    malignant = 1 - benign
    train_x, test_x, train_y, test_y = train_test_split(data, malignant, test_size=0.25, random_state=0, stratify=malignant)
    x, y = torch.tensor(train_x.to_numpy("float32")), torch.tensor(train_y.to_numpy())

    model = Classifier(x.mean(0), x.std(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.001)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(model(x)["probabilities"].log(), y).backward()
        optimizer.step()

    # The number of rows is free, so that requests may be of any size.
    rows = {"x": {0: torch.export.Dim.AUTO}}
    torch.export.save(torch.export.export(model.eval(), (x[:2],), dynamic_shapes=rows), HERE / "model.pt2")
    train_x.assign(**{TARGET: train_y}).to_csv(HERE / "train.csv", index=False)
    with torch.no_grad():
        found = model(torch.tensor(test_x.to_numpy("float32")))["label"].numpy()
    print(f"wrote model.pt2 and train.csv; accuracy on held-out rows: {(found == test_y).mean():.3f}")


if __name__ == "__main__":
    main()
