"""Rows in groups: whole groups change sides, so that what their rows share is no drift."""

import numpy as np
import pytest

from headrace_functions.statistics.sample import RowSample, lowest
from headrace_functions.views import Array
from headrace_jobs.columns import Numbers
from headrace_jobs.detectors.blocks import Blocks
from headrace_jobs.statistics.repeats import group_priorities


def side(groups: int, shared: float, each: int, random: np.random.Generator, move: float = 0.0) -> tuple[Array, Array]:
    """Groups of rows, and values that have ``shared`` of their variance in common with those of their group."""
    sizes = np.full(groups, each) if each else 1 + np.minimum(random.pareto(1.2, groups), 60).astype(int)
    of = np.repeat(np.arange(groups), sizes)
    level = np.sqrt(shared) * random.normal(size=groups)[of] + np.sqrt(1 - shared) * random.normal(size=len(of))
    return of * 1.0, level + move


def p_of(groups: tuple[int, int], shared: float, each: int, seed: int, move: float = 0.0) -> tuple[float, float]:
    """p-values of a number and of a category."""
    random = np.random.default_rng([seed, *groups])
    (a, x), (b, y) = side(groups[0], shared, each, random), side(groups[1], shared, each, random, move)
    blocks = Blocks.of(a, b)
    assert blocks is not None
    words = [np.array(["low", "mid", "high"], object)[np.digitize(v, [-0.5, 0.8])] for v in (x, y)]
    return blocks.tested(x, y).p, blocks.tested(*words).p


@pytest.mark.parametrize("groups", [(60, 60), (50, 500), (300, 40)])
@pytest.mark.parametrize(("shared", "each"), [(0.0, 5), (0.5, 5), (1.0, 8), (0.6, 0)])
def test_groups_of_one_law_are_seldom_told_apart_whatever_their_rows_share(
    groups: tuple[int, int], shared: float, each: int
) -> None:
    """At 5 %, of 60 runs 3 are expected; 9 or more have a probability of 0.2 %."""
    found = np.array([p_of(groups, shared, each, seed) for seed in range(60)])

    assert (found <= 0.05).sum(axis=0).max() < 9


def test_rows_that_share_little_lose_little_by_their_groups() -> None:
    """Five independent rows of a customer are worth five: a shift is found that one row of each would not show."""
    found = [p_of((100, 100), 0.0, 5, seed, move=0.4)[0] for seed in range(10)]

    assert max(found) < 0.001


@pytest.mark.parametrize(("shared", "low", "high"), [(0.0, 0.75, 1.0), (1.0, 0.15, 0.21)])
def test_effective_rows_follow_from_what_rows_share(shared: float, low: float, high: float) -> None:
    random = np.random.default_rng(4)
    (a, x), (b, y) = side(400, shared, 5, random), side(400, shared, 5, random)
    blocks = Blocks.of(a, b)
    assert blocks is not None

    assert all(low <= share <= high for share in blocks.tested(x, y).scale)


def test_values_that_are_missing_for_whole_groups_are_no_drift_and_those_of_another_share_are() -> None:
    random = np.random.default_rng(5)
    found = []
    for share in (0.3, 0.7):
        (a, x), (b, y) = side(200, 0.2, 5, random), side(200, 0.2, 5, random)
        x = np.where(random.random(200)[a.astype(int)] < 0.3, np.nan, x)
        y = np.where(random.random(200)[b.astype(int)] < share, np.nan, y)
        blocks = Blocks.of(a, b)
        assert blocks is not None
        found.append(blocks.tested(x, y).missing)

    assert found[0] > 0.05
    assert found[1] < 0.001


def test_few_groups_say_nothing() -> None:
    assert Blocks.of(np.arange(29.0), np.arange(100.0)) is None


def test_constant_and_missing_values_are_no_drift() -> None:
    blocks = Blocks.of(np.arange(40.0), np.arange(40.0))
    assert blocks is not None

    for value in (1.0, np.nan):
        assert blocks.tested(np.full(40, value), np.full(40, value)).p == 1.0


def test_a_sample_of_groups_has_whole_groups_whichever_way_its_parts_are_merged() -> None:
    of = np.random.default_rng(6).integers(0, 100, 2000) * 1.0
    priority = group_priorities(Numbers(of))
    parts = [RowSample(500, priority[rows], {"of": of[rows]}) for rows in (slice(0, 900), slice(900, None))]

    kept = parts[0].merge(parts[1]).columns["of"]

    assert sorted(kept) == sorted(of[lowest(priority, 500)])
    whole = [(kept == group).sum() == (of == group).sum() for group in np.unique(kept)]
    assert whole.count(False) <= 1
