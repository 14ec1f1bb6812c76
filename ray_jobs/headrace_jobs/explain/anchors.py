"""Anchors: a short rule under which the answer hardly ever changes (Ribeiro, Singh and Guestrin 2018).

A rule is a conjunction of predicates that the row fulfils: a category, a half-line of a number, a word of a text, or that a value is
missing. Its *precision* is how often
rows that fulfil it have the row's answer, its *coverage* the share of background rows that fulfil it. Rows that fulfil a rule are
drawn from the background and perturbed: each feature outside the rule has, one time in ten, the value of another such row. So they
keep what features have to do with each other; drawn one by one they would be rows that nobody sends.

The search is a beam: rules grow by a predicate, and the best ones of each length are told apart by KL-LUCB (Kaufmann and
Kalyanakrishnan 2013). Answers to the background, asked once for all explanations, start every rule's count, so that few rows have to
be asked for each. The rule that is returned is measured anew, on perturbed rows of the half of the background that the search has not seen.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headrace_functions.views import Array

TARGET = 0.95
EVEN = 0.5
MIN_HALVES = 100  # rows of a background that is halved
DELTA = 0.1
"""One minus the confidence of each bound."""
BEAM = 3
LONGEST = 6
ROUNDS = 1  # of asking, for each length of a rule
BATCH = 50  # perturbed rows for a rule in a round
HELD_OUT = 200
"""Perturbed rows on which the rule is measured in the end."""
CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the background where half-lines end."""
MIXED = 0.1
STEPS = 20  # halvings of the interval in which a bound lies
MOST_LOOKED_AT = 400  # different words of a text
MOST_WORDS = 40  # of a text that become predicates
_WORD = re.compile(r"\w+")
GAP = 0.05  # of the bounds of two rules that need not be told apart

Model = Callable[[Array], Array]
"""Whether each row of ``(n, d)`` objects has the answer that is explained, bool ``(n,)``."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """``feature`` is a column of the matrix; ``relation`` is ``=``, ``<=``, ``>``, ``contains`` (a word) or ``is missing`` (no value)."""

    feature: int
    relation: str
    value: Any


@dataclass(frozen=True, slots=True)
class Anchor:
    """``precision`` with its lower bound is of ``held_out`` perturbed rows."""

    predicates: tuple[Predicate, ...]
    precision: float
    precision_low: float
    coverage: float
    held_out: int
    asked: int


@dataclass(frozen=True, slots=True)
class Background:
    """Rows ``(b, d)`` of objects and the model's answers to them, ``same`` as the row's or not; made once a row is known."""

    rows: Array
    same: Array


@dataclass(frozen=True, slots=True)
class _Rule:
    predicates: tuple[int, ...]
    mask: Array
    count: int
    hits: int

    @property
    def mean(self) -> float:
        return self.hits / self.count if self.count else 0.0

    def low(self, confidence: float) -> float:
        return bounds(self.hits, self.count, confidence)[0]


@dataclass(slots=True)
class _Search:
    model: Model
    background: Background
    rest: Array
    """Rows that only the final measure looks at."""
    predicates: Sequence[Predicate]
    masks: Array
    random: np.random.Generator
    asked: int = 0
    probed: dict[tuple[int, ...], int] = field(default_factory=dict)
    """Hits among the ``HELD_OUT`` rows of a rule that was likely to be asked about next: a question costs more than its rows."""

    def grow(self, beam: Sequence[_Rule]) -> list[_Rule]:
        """Every rule of the beam with one more predicate, counted on the background; a feature has one predicate each way."""
        found: dict[tuple[int, ...], _Rule] = {}
        for rule in beam:
            taken = {_taken(self.predicates[p]) for p in rule.predicates}
            for place, predicate in enumerate(self.predicates):
                key = tuple(sorted((*rule.predicates, place)))
                if _taken(predicate) in taken or key in found:
                    continue
                mask = rule.mask & self.masks[place]
                count = int(mask.sum())
                if count:
                    found[key] = _Rule(key, mask, count, int(self.background.same[mask].sum()))
        return list(found.values())

    def best(self, rules: list[_Rule]) -> list[_Rule]:
        """The ``BEAM`` rules of highest precision: the worst of them and the best of the others are asked until they are apart."""
        confidence = np.log(max(len(rules), 2) / DELTA)
        for _ in range(ROUNDS):
            rules = sorted(rules, key=lambda r: (-r.mean, -r.count, r.predicates))
            inside, outside = rules[:BEAM], rules[BEAM:]
            if not outside:
                break
            weak = min(inside, key=lambda r: r.low(confidence))
            highs = uppers(np.array([r.hits for r in outside]), np.array([r.count for r in outside]), confidence)
            strong = outside[int(highs.argmax())]
            if float(highs.max()) - weak.low(confidence) < GAP or weak.low(confidence) >= TARGET:
                break
            measured = self.measure([weak, strong], BATCH, likely(inside))
            rules = [measured.get(r.predicates, r) for r in rules]
        return sorted(rules, key=lambda r: (-r.mean, -r.count, r.predicates))[:BEAM]

    def measure(self, rules: Sequence[_Rule], rows: int, probe: _Rule | None = None) -> dict[tuple[int, ...], _Rule]:
        """The rules with ``rows`` more perturbed rows each, asked together, and with them the held-out rows of ``probe``."""
        parts = [self.perturbed(rule, rows) for rule in rules]
        if probe is not None:
            parts.append(self.held_out(probe))
        answers = self._ask(np.concatenate(parts))
        if probe is not None:
            self.probed[probe.predicates] = int(answers[len(rules) * rows :].sum())
        same = answers[: len(rules) * rows].reshape(len(rules), rows)
        return {
            rule.predicates: replace(rule, count=rule.count + rows, hits=rule.hits + int(hits.sum()))
            for rule, hits in zip(rules, same, strict=True)
        }

    def precision(self, rule: _Rule) -> int:
        """Hits among the ``HELD_OUT`` rows of a rule."""
        known = self.probed.get(rule.predicates)
        return int(self._ask(self.held_out(rule)).sum()) if known is None else known

    def held_out(self, rule: _Rule) -> Array:
        """Perturbed rows of the half that the search has not seen; of the other where none of it fulfils the rule."""
        inside = self.covered(rule)
        rows = self.rest[inside] if inside.any() else self.background.rows[rule.mask]
        return mixed(rows, self.features(rule), HELD_OUT, self.random)

    def covered(self, rule: _Rule) -> Array:
        """Which rows of the half that the search has not seen fulfil the rule."""
        fulfilled = [fulfils(self.predicates[p], self.rest[:, self.predicates[p].feature]) for p in rule.predicates]
        return np.asarray(np.logical_and.reduce(fulfilled) if fulfilled else np.ones(len(self.rest), bool))

    def _ask(self, rows: Array) -> Array:
        self.asked += len(rows)
        return self.model(rows)

    def perturbed(self, rule: _Rule, count: int) -> Array:
        return mixed(self.background.rows[rule.mask], self.features(rule), count, self.random)

    def features(self, rule: _Rule) -> set[int]:
        return {self.predicates[p].feature for p in rule.predicates}


def mixed(rows: Array, kept: set[int], count: int, random: np.random.Generator) -> Array:
    """``count`` of the rows, each feature but the ``kept`` ones one time in ten that of another row."""
    drawn = rows[random.integers(0, len(rows), count)]
    others = rows[random.integers(0, len(rows), count)]
    other = random.random(drawn.shape) < MIXED
    other[:, sorted(kept)] = False
    return np.where(other, others, drawn)


def anchor(model: Model, row: Array, background: Background, seed: int = 0) -> Anchor:
    """The shortest rule of the search whose precision is at least ``TARGET`` by its lower bound, of those the one that covers
    most; where there is none, the most precise rule found."""
    random = np.random.default_rng(seed)
    seen, rest = halves(background, random)
    columns = _columns(row, seen.rows)
    predicates = predicates_of(row, columns)
    masks = np.array([fulfils(p, columns[p.feature]) for p in predicates]).reshape(len(predicates), len(seen.rows))
    search = _Search(model, seen, rest, predicates, masks, random)
    everything = np.ones(len(seen.rows), bool)
    beam = [_Rule((), everything, len(everything), int(seen.same.sum()))]
    best = beam[0]
    for _ in range(LONGEST + 1):
        measured = _accepted(search, beam)
        if measured is not None:
            return measured
        best = max([best, *beam], key=lambda r: (r.mean, r.count))
        grown = search.grow(beam)
        if not grown:
            break
        beam = search.best(grown)
    return _held_out(search, best)


def halves(background: Background, random: np.random.Generator) -> tuple[Background, Array]:
    """What the search sees, and the rows that only the final measure looks at; of few rows all are both."""
    if len(background.rows) < MIN_HALVES:
        return background, background.rows
    known = random.random(len(background.rows)) < EVEN
    return Background(background.rows[known], background.same[known]), background.rows[~known]


def measured(model: Model, predicates: Sequence[Predicate], rest: Array, asked: int, seed: int = 0) -> Anchor:
    """A rule that was found in another way, measured on ``rest`` as those of the search are; ``asked`` rows were asked to find it."""
    everything = Background(rest, np.zeros(len(rest), bool))
    masks = np.array([fulfils(p, rest[:, p.feature]) for p in predicates]).reshape(len(predicates), len(rest))
    search = _Search(model, everything, rest, predicates, masks, np.random.default_rng(seed), asked)
    whole = _Rule(tuple(range(len(predicates))), np.ones(len(rest), bool), len(rest), 0)
    return _held_out(search, whole)


def _accepted(search: _Search, beam: Sequence[_Rule]) -> Anchor | None:
    """The rule of the beam that covers most among those that look precise enough, if rows not seen before say so too."""
    for rule in sorted(filter(promising, beam), key=lambda r: -int(r.mask.sum())):
        found = _held_out(search, rule)
        if found.precision >= TARGET:
            return found
    return None


def promising(rule: _Rule) -> bool:
    """Whether a rule looks precise enough to be measured on rows not seen before."""
    return rule.low(float(np.log(1 / DELTA))) >= TARGET - GAP and rule.mean >= TARGET


def likely(rules: Sequence[_Rule]) -> _Rule | None:
    """The rule that would be measured first if nothing more were known."""
    return max(filter(promising, rules), key=lambda r: int(r.mask.sum()), default=None)


def _held_out(search: _Search, rule: _Rule) -> Anchor:
    chosen = tuple(search.predicates[p] for p in rule.predicates)
    hits = search.precision(rule)
    low = bounds(hits, HELD_OUT, float(np.log(1 / DELTA)))[0]
    coverage = float(search.covered(rule).mean())
    return Anchor(chosen, hits / HELD_OUT, low, coverage, HELD_OUT, search.asked)


def _taken(predicate: Predicate) -> tuple[Any, ...]:
    """What a rule has once: a bound each way of a number, but as many words of a text as help."""
    word = (predicate.value,) if predicate.relation == "contains" else ()
    return (predicate.feature, predicate.relation, *word)


def _columns(row: Array, rows: Array) -> list[Array]:
    """The columns of ``rows``, those of numbers as such: turned once, for many predicates look at each."""
    words = str | bool | bytes | None
    return [
        rows[:, place] if isinstance(value, words) else rows[:, place].astype(np.float64)
        for place, value in enumerate(row.tolist())
    ]


def predicates_of(row: Array, columns: Sequence[Array]) -> list[Predicate]:
    """What the row fulfils and some other rows do not: categories, words, half-lines that end at quantiles, and that a value is missing."""
    found: list[Predicate] = []
    for feature, value in enumerate(row.tolist()):
        column = columns[feature]
        possible = [p for p in _conditions(feature, value, column) if 0 < fulfils(p, column).mean() < 1]
        found += possible if possible or not isinstance(value, str) else _words(feature, value, column)
    return found


def _conditions(feature: int, value: Any, column: Array) -> list[Predicate]:
    if _is_missing(value):
        return [Predicate(feature, "is missing", None)]
    if isinstance(value, str | bool | bytes):
        return [Predicate(feature, "=", value)]
    numbers = column.astype(np.float64)
    known = numbers[np.isfinite(numbers)]
    cuts = np.unique(np.quantile(known, CUTS)).tolist() if len(known) else []
    return [Predicate(feature, "<=" if value <= cut else ">", cut) for cut in cuts]


def _words(feature: int, text: str, column: Array) -> list[Predicate]:
    """The words of a text that no other row has as a whole; those of most rows first where there are many."""
    predicates = [Predicate(feature, "contains", word) for word in dict.fromkeys(_WORD.findall(text))]
    shares = {p: float(fulfils(p, column).mean()) for p in predicates[:MOST_LOOKED_AT]}
    possible = sorted((p for p, share in shares.items() if 0 < share < 1), key=lambda p: -shares[p])
    return possible[:MOST_WORDS]


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def fulfils(predicate: Predicate, column: Array) -> Array:
    """Which values of a column of objects fulfil it; a missing one fulfils nothing but that it is missing."""
    if predicate.relation == "is missing":
        return np.fromiter(map(_is_missing, column.tolist()), bool, len(column))
    if predicate.relation == "contains":
        return np.fromiter((predicate.value in _WORD.findall(v or "") for v in column.tolist()), bool, len(column))
    if predicate.relation == "=":
        return np.asarray(column == predicate.value, bool)
    numbers = column.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(numbers <= predicate.value if predicate.relation == "<=" else numbers > predicate.value)


def bounds(hits: int, count: int, confidence: float) -> tuple[float, float]:
    """The smallest and largest probability whose Kullback–Leibler divergence from the observed share is within ``confidence / count``."""
    if not count:
        return 0.0, 1.0
    share, limit = hits / count, confidence / count
    return _edge(share, 0.0, limit), _edge(share, 1.0, limit)


def uppers(hits: Array, counts: Array, confidence: float) -> Array:
    """The larger of ``bounds`` of many rules at once ``(n,)``: hundreds of rules are compared for each length."""
    share, limit = hits / counts, confidence / counts
    inside, outside = share.copy(), np.ones(len(share))
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.where(share > 0, share * np.log(share / middle), 0.0)
            rest = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - middle)), 0.0)
        near = own + rest <= limit
        inside, outside = np.where(near, middle, inside), np.where(near, outside, middle)
    return np.asarray(np.where(share == 1, 1.0, inside))


def _edge(share: float, end: float, limit: float) -> float:
    inside, outside = share, end
    if divergence(share, end) <= limit:
        return end
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        if divergence(share, middle) <= limit:
            inside = middle
        else:
            outside = middle
    return inside


def divergence(p: float, q: float) -> float:
    """Kullback–Leibler divergence of two Bernoulli distributions, in nats."""
    total = 0.0
    for own, other in ((p, q), (1 - p, 1 - q)):
        if own > 0:
            if other <= 0:
                return math.inf
            total += own * math.log(own / other)
    return total
