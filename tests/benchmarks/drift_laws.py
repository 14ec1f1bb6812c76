"""Laws that fields of made-up data follow: each draws independent rows. ``calibration.py`` studies drift verdicts on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.signature import Field, dtype
from headrace_functions.views import Array

Draw = Callable[[int, np.random.Generator], Any]


@dataclass(frozen=True)
class Law:
    """How a field is declared, and its values of ``n`` rows."""

    kind: str
    """``number``, ``category``, ``text``, ``embedding``."""
    draw: Draw

    def field(self, name: str) -> Field:
        return declared(self.kind, name)


def declared(kind: str, name: str) -> Field:
    """A field of a kind as a contract declares it."""
    if kind == "number":
        return Field(name, dtype("float64"), profile="numerical")
    if kind == "embedding":
        return Field(name, dtype("float32"), (VECTOR,), profile="embedding")
    return Field(name, dtype("string"), profile="text" if kind == "text" else "categorical")


VECTOR = 48
DIRECTIONS = np.random.default_rng(77).normal(size=(VECTOR, 6))
WORDS = {
    "en": [
        "order",
        "late",
        "again",
        "please",
        "refund",
        "item",
        "broken",
        "was",
        "delivered",
        "yesterday",
        "thanks",
        "support",
        "answer",
        "account",
        "price",
        "box",
        "wrong",
        "size",
        "colour",
        "need",
        "help",
        "with",
        "my",
        "last",
        "invoice",
        "why",
        "is",
        "this",
        "not",
        "working",
        "call",
        "me",
        "back",
        "soon",
    ],
    "de": [
        "bestellung",
        "schon",
        "wieder",
        "falsch",
        "bitte",
        "geld",
        "lieferung",
        "kaputt",
        "gestern",
        "danke",
        "antwort",
        "konto",
        "preis",
        "karton",
        "größe",
        "farbe",
        "brauche",
        "hilfe",
        "mit",
        "meiner",
        "letzten",
        "rechnung",
        "warum",
        "geht",
        "das",
        "nicht",
        "bald",
        "zurück",
        "rufen",
    ],
    "spam": [
        "win",
        "cash",
        "prize",
        "now",
        "click",
        "free",
        "bonus",
        "casino",
        "crypto",
        "offer",
        "http",
        "cheap",
        "pills",
        "urgent",
        "winner",
        "$$$",
        "deal",
    ],
}


def zipf(values: int, n: int, random: np.random.Generator, tilt: float = 1.0) -> Array:
    share = 1 / np.arange(1, values + 1) ** tilt
    return random.choice(values, n, p=share / share.sum())


def named(codes: Array, prefix: str = "c") -> list[str]:
    return [f"{prefix}{i}" for i in codes.tolist()]


def text(n: int, random: np.random.Generator, words: str = "en", mean: float = 9.0) -> list[str]:
    known = WORDS[words]
    lengths = 1 + random.poisson(mean, n)
    chosen = zipf(len(known), int(lengths.sum()), random, 0.7).tolist()
    ends = np.cumsum(lengths).tolist()
    return [
        " ".join(known[c] for c in chosen[end - length : end])
        for end, length in zip(ends, lengths.tolist(), strict=True)
    ]


def vectors(n: int, random: np.random.Generator) -> Array:
    return (random.normal(size=(n, 6)) @ DIRECTIONS.T + random.normal(size=(n, VECTOR))).astype(np.float32)


def holes(values: Array, share: float, random: np.random.Generator) -> Array:
    return np.where(random.random(len(values)) < share, np.nan, values)


def inflated(n: int, random: np.random.Generator, zeros: float = 0.7, scale: float = 1.0) -> Array:
    return np.where(random.random(n) < zeros, 0.0, random.lognormal(2, 0.8, n) * scale)


LAWS: Mapping[str, Law] = {
    "normal": Law("number", lambda n, r: r.normal(size=n)),
    "pareto": Law("number", lambda n, r: r.pareto(1.2, n) + 1),
    "zero-inflated": Law("number", inflated),
    "counts": Law("number", lambda n, r: r.poisson(3, n) * 1.0),
    "rounded": Law("number", lambda n, r: r.normal(size=n).round()),
    "uniform": Law("number", lambda n, r: r.random(n)),
    "bimodal": Law("number", lambda n, r: r.normal(size=n) + 5 * (r.random(n) < 0.3)),
    "prices": Law("number", lambda n, r: r.lognormal(3, 0.7, n).round(2)),
    "missing 30 %": Law("number", lambda n, r: holes(r.normal(size=n), 0.3, r)),
    "rare flag": Law("number", lambda n, r: (r.random(n) < 0.02) * 1.0),
    "rare category": Law("category", lambda n, r: named(r.random(n) < 0.02)),
    "few categories": Law("category", lambda n, r: named(zipf(6, n, r))),
    "Zipf 200": Law("category", lambda n, r: named(zipf(200, n, r))),
    "Zipf 2000": Law("category", lambda n, r: named(zipf(2000, n, r))),
    "5000 categories": Law("category", lambda n, r: named(r.integers(0, 5000, n))),
    "identifiers": Law("category", lambda n, r: named(r.integers(0, 1 << 60, n))),
    "text": Law("text", text),
    "vector": Law("embedding", vectors),
    "constant": Law("number", lambda n, _: np.full(n, 3.0)),
}
"""``clock`` is a law besides, of which every row is later than the one before: see ``calibration.sides``."""
HELD_BACK: Mapping[str, Law] = {
    "Student t, 2 df": Law("number", lambda n, r: r.standard_t(2, n)),
    "beta (0.5, 0.5)": Law("number", lambda n, r: r.beta(0.5, 0.5, n)),
    "negative binomial": Law("number", lambda n, r: r.negative_binomial(0.3, 0.02, n) * 1.0),
    "99 % zeros": Law("number", lambda n, r: inflated(n, r, 0.99)),
    "half rounded": Law("number", lambda n, r: np.where(r.random(n) < 0.5, r.normal(size=n).round(), r.normal(size=n))),
    "Yule categories": Law("category", lambda n, r: named(np.minimum(r.zipf(1.3, n), 1 << 40))),
    "40 equal categories": Law("category", lambda n, r: named(r.integers(0, 40, n))),
    "one in 300": Law("category", lambda n, r: named(r.random(n) < 1 / 300)),
    "missing 99 %": Law("number", lambda n, r: holes(r.normal(size=n), 0.99, r)),
    "short words": Law("text", lambda n, r: text(n, r, "de", 1.0)),
}
"""Laws that no constant of the verdict was chosen on."""


def heaped(n: int, r: np.random.Generator) -> Array:
    """Ages that three people in ten round to tens."""
    age = np.clip(r.normal(45, 15, n), 18, 90).round()
    return np.where(r.random(n) < 0.3, (age / 10).round() * 10, age)


def incomes(n: int, r: np.random.Generator) -> Array:
    """Rounded to thousands, to hundreds, or not at all."""
    income, how = r.lognormal(10, 0.8, n), r.random(n)
    return np.where(how < 0.5, income.round(-3), np.where(how < 0.8, income.round(-2), income.round(2)))


def cells(n: int, r: np.random.Generator, shares: tuple[float, ...], values: tuple[float, ...], rest: Array) -> Array:
    """Values with shares of their own, and the rest."""
    place = np.searchsorted(np.cumsum(shares), r.random(n), "right")
    return np.choose(place, [*(np.full(n, v) for v in values), rest])


def urls(n: int, r: np.random.Generator) -> list[str]:
    parts = zip(zipf(5, n, r).tolist(), r.integers(0, 10**6, n).tolist(), zipf(50, n, r).tolist(), strict=True)
    return [f"/{('a', 'item', 'user', 'cart', 'help')[kind]}/{item}?q={query}" for kind, item, query in parts]


def some_empty(n: int, r: np.random.Generator) -> list[str]:
    return [t if full else "" for t, full in zip(text(n, r), (r.random(n) < 0.1).tolist(), strict=True)]


def some_missing(values: list[str], share: float, r: np.random.Generator) -> list[str | None]:
    return [None if gone else v for v, gone in zip(values, (r.random(len(values)) < share).tolist(), strict=True)]


def missing_by_value(n: int, r: np.random.Generator) -> Array:
    """The larger a value, the likelier it is missing."""
    value = r.normal(size=n)
    return np.where(r.random(n) < 1 / (1 + np.exp(-2 * value)), np.nan, value)


CENTRES = np.random.default_rng(5).normal(size=(20, VECTOR)) * 3
FRESH: Mapping[str, Law] = {
    "Cauchy": Law("number", lambda n, r: r.standard_cauchy(n)),
    "lognormal, sd 3": Law("number", lambda n, r: r.lognormal(0, 3, n)),
    "whole Pareto 0.5": Law("number", lambda n, r: np.ceil(r.pareto(0.5, n))),
    "heaped ages": Law("number", heaped),
    "incomes": Law("number", incomes),
    "coin, a number": Law("number", lambda n, r: (r.random(n) < 0.5) * 1.0),
    "coin, a category": Law("category", lambda n, r: named(r.random(n) < 0.5)),
    "one in 1000": Law("number", lambda n, r: (r.random(n) < 0.001) * 7.0),
    "geometric 0.05": Law("number", lambda n, r: r.geometric(0.05, n) * 1.0),
    "geometric categories": Law("category", lambda n, r: named(r.geometric(0.05, n))),
    "three atoms": Law("number", lambda n, r: cells(n, r, (0.25, 0.2, 0.2), (-1, 0, 2.5), r.normal(size=n))),
    "proportions": Law("number", lambda n, r: cells(n, r, (0.2, 0.3), (0, 1), r.beta(2, 3, n))),
    "1000 integers": Law("number", lambda n, r: r.integers(0, 1000, n) * 1.0),
    "95 % zeros, counts": Law("number", lambda n, r: np.where(r.random(n) < 0.95, 0, r.poisson(4, n)) * 1.0),
    "a fifth zeros": Law("number", lambda n, r: cells(n, r, (0.2,), (0,), r.normal(size=n))),
    "800 equal categories": Law("category", lambda n, r: named(r.integers(0, 800, n))),
    "Zipf 1.05 of a million": Law("category", lambda n, r: named(np.minimum(r.zipf(1.05, n), 10**6))),
    "Zipf 1.5 of 1000": Law("category", lambda n, r: named(zipf(1000, n, r, 1.5))),
    "categories, 60 % missing": Law("category", lambda n, r: some_missing(named(zipf(30, n, r)), 0.6, r)),
    "missing by value": Law("number", missing_by_value),
    "far from zero": Law("number", lambda n, r: 1e12 + r.normal(size=n)),
    "days": Law("number", lambda n, r: 1.7e9 + r.integers(0, 365, n) * 86400.0),
    "two spreads": Law("number", lambda n, r: r.normal(size=n) * np.where(r.random(n) < 0.05, 100, 1)),
    "5 % infinite": Law("number", lambda n, r: cells(n, r, (0.05,), (np.inf,), r.normal(size=n))),
    "addresses": Law("text", urls),
    "texts, mostly empty": Law("text", some_empty),
    "vector, heavy tails": Law(
        "embedding",
        lambda n, r: (r.standard_t(2, (n, VECTOR)) * np.exp(r.normal(size=(n, 1)))).astype(np.float32),
    ),
    "vector, clusters": Law(
        "embedding", lambda n, r: (CENTRES[zipf(20, n, r)] + r.normal(size=(n, VECTOR))).astype(np.float32)
    ),
    "vector, 98 % zeros": Law(
        "embedding",
        lambda n, r: ((r.random((n, VECTOR)) < 0.02) * r.exponential(1, (n, VECTOR))).astype(np.float32),
    ),
}
"""Laws that were drawn up when all constants stood. "5 % infinite" showed a fault, which is mended."""


def far_mode(n: int, r: np.random.Generator) -> Array:
    """Three rows in a thousand are of a mode of their own, far away."""
    return np.where(r.random(n) < 0.003, r.normal(400, 1, n), r.normal(size=n))


def charm_prices(n: int, r: np.random.Generator) -> Array:
    """Whole amounts less a cent, but one in five, which is exact."""
    amount = r.lognormal(3, 0.9, n)
    return np.where(r.random(n) < 0.8, np.ceil(amount) - 0.01, amount.round(2))


def heaped_at_fives(n: int, r: np.random.Generator) -> Array:
    """Ages of which half end in 0 or 5, and the others avoid what is next to these."""
    age = np.clip(r.gamma(9, 5, n), 16, 99).round()
    return np.where(
        r.random(n) < 0.5, (age / 5).round() * 5, age + np.select([age % 10 == 1, age % 10 == 9], [1, -1], 0)
    )


def daily(n: int, r: np.random.Generator) -> Array:
    """Seconds of a day in two peaks."""
    return np.where(r.random(n) < 0.6, r.normal(36_000, 5400, n), r.normal(68_000, 7200, n)).round() % 86_400


def templates(n: int, r: np.random.Generator) -> list[str]:
    """Notices with a number or a name filled in."""
    forms = (
        "Order {} was sent to {}",
        "{}: payment by {} failed",
        "Reminder no. {} for {}",
        "Dear {1}, your code is {0}",
    )
    parts = zip(zipf(4, n, r).tolist(), r.integers(0, 10**5, n).tolist(), zipf(300, n, r).tolist(), strict=True)
    return [forms[form].format(number, f"customer{who}") for form, number, who in parts]


def missing_in_tails(n: int, r: np.random.Generator) -> Array:
    """Only extreme values are missing."""
    value = r.standard_t(3, n)
    return np.where((np.abs(value) > 2) & (r.random(n) < 0.8), np.nan, value)


FURTHER: Mapping[str, Law] = {
    "gamma, 90 % zeros": Law("number", lambda n, r: np.where(r.random(n) < 0.9, 0.0, r.gamma(0.5, 40, n))),
    "a far mode of 0.3 %": Law("number", far_mode),
    "Pareto 1.1": Law("number", lambda n, r: r.pareto(1.1, n) + 1),
    "Cauchy, squared": Law("number", lambda n, r: r.standard_cauchy(n) ** 2),
    "overdispersed counts": Law("number", lambda n, r: r.poisson(r.gamma(0.4, 12, n)) * 1.0),
    "prices that end in .99": Law("number", charm_prices),
    "ages heaped at fives": Law("number", heaped_at_fives),
    "censored at a limit": Law("number", lambda n, r: np.minimum(r.exponential(30, n), 45.0)),
    "constant but for 0.5 %": Law("number", lambda n, r: np.where(r.random(n) < 0.005, r.normal(size=n), 1.0)),
    "yes in 0.1 %": Law("category", lambda n, r: named(r.random(n) < 0.001)),
    "missing in the tails": Law("number", missing_in_tails),
    "seconds of a day": Law("number", daily),
    "Zipf 1.2 of 30,000": Law("category", lambda n, r: named(zipf(30_000, n, r, 1.2))),
    "two of three categories rare": Law("category", lambda n, r: named(np.searchsorted((0.985, 0.996), r.random(n)))),
    "notices from templates": Law("text", templates),
}
"""Laws of a later study, which were drawn up before it was run."""
