"""Learn vectors of support tickets, made up here so that nothing is downloaded; writes model.joblib and train.csv beside this file."""

import random
from pathlib import Path

import joblib
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

HERE = Path(__file__).parent
TARGET = "topic"

WORDS = {
    "billing": "invoice refund charged twice card payment price receipt bank subscription renewal discount".split(),
    "delivery": "parcel courier late lost address tracking box damaged shipped warehouse customs doorstep".split(),
    "account": "password login locked email reset profile username verify code session device sign".split(),
}
FRAMES = [
    "hello, my {0} is wrong and the {1} does not help",
    "why was the {0} changed? I asked about {1} last week",
    "please look at my {0}, the {1} never arrived",
    "I cannot find the {0} after the {1}",
    "thank you for the {0}, but the {1} and the {2} are still open",
]


def tickets(count: int) -> pd.DataFrame:
    chance = random.Random(0)
    rows = []
    for _ in range(count):
        topic = chance.choice(sorted(WORDS))
        rows.append({"text": chance.choice(FRAMES).format(*chance.sample(WORDS[topic], 3)), TARGET: topic})
    return pd.DataFrame(rows)


def main() -> None:
    train, test = train_test_split(tickets(1200), test_size=0.25, random_state=0)
    model = make_pipeline(TfidfVectorizer(), TruncatedSVD(32, random_state=0), Normalizer(copy=False)).fit(train["text"])
    joblib.dump(model, HERE / "model.joblib")
    train[["text"]].to_csv(HERE / "train.csv", index=False)
    nearest = KNeighborsClassifier(5).fit(model.transform(train["text"]), train[TARGET])
    right = nearest.score(model.transform(test["text"]), test[TARGET])
    print(f"wrote model.joblib and train.csv; nearest neighbours have the same topic on held-out rows: {right:.3f}")


if __name__ == "__main__":
    main()
