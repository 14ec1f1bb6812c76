"""Train a classifier of support tickets, made up here so that nothing is downloaded; writes model.joblib and train.csv beside this file."""

import random
from pathlib import Path

import joblib
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

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
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)).fit(train["text"], train[TARGET])
    joblib.dump(model, HERE / "model.joblib")
    train.to_csv(HERE / "train.csv", index=False)
    print(f"wrote model.joblib and train.csv; accuracy on held-out rows: {model.score(test['text'], test[TARGET]):.3f}")


if __name__ == "__main__":
    main()
