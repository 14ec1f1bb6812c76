"""Anchors: a short rule under which the answer hardly ever changes (Ribeiro, Singh and Guestrin 2018).

A rule is a conjunction of predicates that the row fulfils: a category, a half-line of a number, a word of a text, or that a value is
missing. Its *precision* is how often
rows that fulfil it have the row's answer, its *coverage* the share of background rows that fulfil it. Rows that fulfil a rule are
drawn from the background and perturbed: each feature outside the rule has, one time in ten, the value of another such row. So they
keep what features have to do with each other; drawn one by one they would be rows that nobody sends.

The search is a beam: rules grow by a predicate, and the best ones of each length are told apart by KL-LUCB (Kaufmann and
Kalyanakrishnan 2013). Answers to the background, asked once for all explanations, start every rule's count, so that few rows have to
be asked for each. A rule that looks precise enough is measured anew, on real rows that the search has not seen: those of the other half of the
background, whose answers are known, and more rows of the training data that fulfil it. Its precision is that of these rows and of perturbed ones; the bound
that is stated is of independent rows alone, and over all rules that were measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.explain.bounds import bounds, lower, uppers
from headrace_jobs.explain.predicates import Predicate, columns_of, fulfils, predicates_of, taken, under

TARGET = 0.95
BUDGET = 5000
"""Rows to ask, the background among them: enough for all rows of the study (``tests/benchmarks/anchors.py``)."""
EVEN = 0.5
MIN_HALVES = 100  # rows of a background that is halved
DELTA = 0.1
"""One minus the confidence of each bound."""
BEAM = 3
LONGEST = 6
ROUNDS = 1  # of asking, for each length of a rule
BATCH = 50  # perturbed rows for a rule in a round
HELD_OUT = 200
"""Rows on which a rule is measured that the search has not seen, of real ones as many as there are, the rest perturbed."""
CERTAIN = 0.05
"""One minus the confidence of the bound that is stated."""
SOUND = 0.90
"""A rule is taken from this lower bound on, or else as the best one so far."""
MEASURES = 6
"""Rules that are measured at most: each one more makes it likelier that one seems good by chance."""
MIXED = 0.1
GAP = 0.05  # of the bounds of two rules that need not be told apart

Model = Callable[[Array], Array]
"""Whether each row of ``(n, d)`` objects has the answer that is explained, bool ``(n,)``."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """``precision`` is of ``held_out`` rows that the search has not seen, ``real`` of which are no perturbed ones.

    ``precision_low`` is its lower 95 % bound by so many independent rows.
    """

    predicates: tuple[Predicate, ...]
    precision: float
    precision_low: float
    coverage: float
    held_out: int
    real: int
    asked: int
    spent: bool = False
    """Whether the budget ended the search."""


@dataclass(frozen=True, slots=True)
class Background:
    """Rows ``(b, d)`` of objects and the model's answers to them, ``same`` as the row's or not; made once a row is known.

    ``more`` ``(m, d)`` are rows of the same kind whose answers are not known.
    """

    rows: Array
    same: Array
    more: Array | None = None


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
    rest: Background
    """Rows that only the final measure looks at."""
    predicates: Sequence[Predicate]
    masks: Array
    random: np.random.Generator
    budget: int
    asked: int = 0
    probed: dict[tuple[int, ...], Array] = field(default_factory=dict)
    """Answers to the held-out rows of a rule that was likely to be asked about next: a question costs more than its rows."""
    measured: dict[tuple[int, ...], Anchor] = field(default_factory=dict)

    @property
    def spent(self) -> bool:
        """Whether no more can be asked than the rows that a rule is measured on in the end."""
        return self.asked + 2 * BATCH + 2 * HELD_OUT > self.budget

    def grow(self, beam: Sequence[_Rule]) -> list[_Rule]:
        """Every rule of the beam with one more predicate, counted on the background; a feature has one predicate each way."""
        found: dict[tuple[int, ...], _Rule] = {}
        for rule in beam:
            met = {taken(self.predicates[p]) for p in rule.predicates}
            for place, predicate in enumerate(self.predicates):
                key = tuple(sorted((*rule.predicates, place)))
                if taken(predicate) in met or key in found:
                    continue
                mask = rule.mask & self.masks[place]
                count = int(mask.sum())
                if count:
                    found[key] = _Rule(key, mask, count, int(self.background.same[mask].sum()))
        return list(found.values())

    def best(self, rules: list[_Rule]) -> list[_Rule]:
        """The ``BEAM`` rules of highest precision: the worst of them and the best of the others are asked until they are apart."""
        confidence = np.log(max(len(rules), 2) / DELTA)
        for _ in range(0 if self.spent else ROUNDS):
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
            parts.append(self.held_out(probe)[1])
        answers = self._ask(np.concatenate(parts))
        if probe is not None:
            self.probed[probe.predicates] = answers[len(rules) * rows :]
        same = answers[: len(rules) * rows].reshape(len(rules), rows)
        return {
            rule.predicates: replace(rule, count=rule.count + rows, hits=rule.hits + int(hits.sum()))
            for rule, hits in zip(rules, same, strict=True)
        }

    def final(self, rule: _Rule) -> Anchor:
        """The rule as it does on rows that the search has not seen; of what the budget leaves of them."""
        known = self.measured.get(rule.predicates)
        return known if known is not None else self._final(rule)

    def _final(self, rule: _Rule) -> Anchor:
        inside = self.covered(rule)
        free = self.rest.same[inside]
        real, rows = self.held_out(rule)
        rows = rows[: max(self.budget - self.asked, 0)]
        answers = self.probed.pop(rule.predicates, None)
        if answers is None:
            answers = self._ask(rows) if len(rows) else np.zeros(0, bool)
        real = min(real, len(answers))
        hits, count = int(free.sum() + answers[:real].sum()), len(free) + real
        share = (hits + int(answers[real:].sum())) / max(len(free) + len(answers), 1)
        tried = len(self.measured) + 1
        low = min(lower(hits, count, CERTAIN / tried), share)
        coverage = float(inside.mean()) if len(inside) else 0.0
        chosen = tuple(self.predicates[p] for p in rule.predicates)
        found = Anchor(chosen, share, low, coverage, len(free) + len(answers), count, self.asked, self.spent)
        self.measured[rule.predicates] = found
        return found

    def held_out(self, rule: _Rule) -> tuple[int, Array]:
        """How many of the rows are real ones, and rows under the rule whose answers are not known: real ones, then perturbed ones."""
        real = self.rest.rows[self.covered(rule)]
        more = self.rest.more
        others = more[under([self.predicates[p] for p in rule.predicates], more)] if more is not None else real[:0]
        others = others[: max(HELD_OUT - len(real), 0)]
        known = np.concatenate((real, others)) if len(real) + len(others) else self.background.rows[rule.mask]
        count = max(HELD_OUT - len(real) - len(others), BATCH)
        return len(others), np.concatenate((others, mixed(known, self.features(rule), count, self.random)))

    def covered(self, rule: _Rule) -> Array:
        """Which rows of the half that the search has not seen fulfil the rule."""
        return under([self.predicates[p] for p in rule.predicates], self.rest.rows)

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


def anchor(model: Model, row: Array, background: Background, seed: int = 0, budget: int = BUDGET) -> Anchor:
    """The shortest rule of the search whose precision is at least ``TARGET`` and certainly ``SOUND``, of those the one that covers
    most; where there is none, or ``budget`` rows have been asked, the most certain one that was found."""
    random = np.random.default_rng(seed)
    seen, rest = halves(background, random)
    columns = columns_of(row, seen.rows)
    predicates = predicates_of(row, columns)
    masks = np.array([fulfils(p, columns[p.feature]) for p in predicates]).reshape(len(predicates), len(seen.rows))
    search = _Search(model, seen, rest, predicates, masks, random, budget)
    everything = np.ones(len(seen.rows), bool)
    beam = [_Rule((), everything, len(everything), int(seen.same.sum()))]
    best = beam
    for _ in range(LONGEST + 1):
        measured = _accepted(search, beam)
        if measured is not None:
            return measured
        best = _surest([*best, *beam])
        grown = search.grow(beam)
        if not grown or search.spent or len(search.measured) >= MEASURES:
            break
        beam = search.best(grown)
    found = [*search.measured.values(), search.final(_surest([*best, *beam])[0])]
    return replace(max(found, key=lambda a: (a.precision_low, a.coverage)), asked=search.asked, spent=search.spent)


def _surest(rules: Sequence[_Rule]) -> list[_Rule]:
    """The rules, the one of the largest lower bound first."""
    confidence = float(np.log(1 / DELTA))
    return sorted(rules, key=lambda r: (-r.low(confidence), -r.count))[:BEAM]


def halves(background: Background, random: np.random.Generator) -> tuple[Background, Background]:
    """What the search sees, and the rows that only the final measure looks at; of few rows all are both."""
    if len(background.rows) < MIN_HALVES:
        return background, background
    known = random.random(len(background.rows)) < EVEN
    rest = Background(background.rows[~known], background.same[~known], background.more)
    return Background(background.rows[known], background.same[known]), rest


def measured(model: Model, predicates: Sequence[Predicate], rest: Background, asked: int, seed: int = 0) -> Anchor:
    """A rule that was found in another way, measured on ``rest`` as those of the search are; ``asked`` rows were asked to find it."""
    masks = np.array([fulfils(p, rest.rows[:, p.feature]) for p in predicates]).reshape(len(predicates), len(rest.rows))
    search = _Search(model, rest, rest, predicates, masks, np.random.default_rng(seed), asked + 2 * HELD_OUT, asked)
    whole = _Rule(tuple(range(len(predicates))), np.ones(len(rest.rows), bool), len(rest.rows), 0)
    return replace(search.final(whole), asked=search.asked, spent=False)


def _accepted(search: _Search, beam: Sequence[_Rule]) -> Anchor | None:
    """The rule of the beam that covers most among those that look precise enough, if rows not seen before say so too."""
    for rule in sorted(filter(promising, beam), key=lambda r: -int(r.mask.sum())):
        if len(search.measured) >= MEASURES or (search.measured and search.spent):
            return None
        found = search.final(rule)
        if found.precision >= TARGET and found.precision_low >= SOUND:
            return found
    return None


def promising(rule: _Rule) -> bool:
    """Whether a rule looks precise enough to be measured on rows not seen before."""
    return rule.low(float(np.log(1 / DELTA))) >= TARGET - GAP and rule.mean >= TARGET


def likely(rules: Sequence[_Rule]) -> _Rule | None:
    """The rule that would be measured first if nothing more were known."""
    return max(filter(promising, rules), key=lambda r: int(r.mask.sum()), default=None)
