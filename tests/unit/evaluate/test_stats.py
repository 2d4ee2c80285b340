import math

import numpy as np
import pytest

from rojak.evaluate.stats import (
    MatchedPairs,
    bootstrap_sums,
    error_segments,
    matched_pairs,
    percentile_interval,
    probability_less,
    sum_by_cluster,
)


def test_utterances_are_summed_into_their_speakers() -> None:
    counts = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    assert sum_by_cluster(counts, [0, 1, 0]).tolist() == [[5.0, 50.0], [2.0, 20.0]]


def test_every_resample_draws_as_many_speakers_as_there_are() -> None:
    clusters = np.eye(7)
    sums = bootstrap_sums(clusters, 2000, seed=3)
    assert (sums.sum(axis=1) == 7).all()
    assert sums.mean(axis=0) == pytest.approx(np.ones(7), abs=0.1)
    assert sums.var() == pytest.approx(6 / 7, abs=0.05)  # multinomial: n·p·(1 − p)
    assert (bootstrap_sums(clusters, 2000, seed=3) == sums).all()
    assert (bootstrap_sums(clusters, 2000, seed=4) != sums).any()


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        errors = rng.binomial(20, 0.3, size=60)
        clusters = np.stack([errors, np.full(60, 20.0)], axis=1)
        sums = bootstrap_sums(clusters, 500, seed=trial)
        interval = percentile_interval(sums[:, 0] / sums[:, 1])
        assert interval is not None
        covered += interval[0] <= 0.3 <= interval[1]
    assert 0.90 <= covered / 200 <= 0.99


def test_interval_needs_values_in_most_resamples() -> None:
    assert percentile_interval(np.array([1.0, np.nan, np.nan])) is None
    assert percentile_interval(np.array([1.0, 1.0, np.nan])) == (1.0, 1.0)
    assert percentile_interval(np.arange(101.0), confidence=0.9) == pytest.approx((5.0, 95.0))


def test_probability_counts_ties_half() -> None:
    assert probability_less(np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(0.5)
    assert math.isnan(probability_less(np.array([np.nan]), np.array([1.0])))


@pytest.mark.parametrize(
    ("first", "second", "segments"),
    [
        ("====", "====", []),
        ("=S==", "====", [(1, 0)]),
        ("S=S=", "====", [(2, 0)]),  # one right word between does not part
        ("S==S", "====", [(1, 0), (1, 0)]),
        ("S===", "===S", [(1, 0), (0, 1)]),
        ("S===", "==S=", [(1, 1)]),  # right in the first, but wrong in the second
        ("=I=D", "=S=", [(2, 1)]),
        ("II==S", "===", [(2, 0), (1, 0)]),
    ],
)
def test_segments(first: str, second: str, segments: list[tuple[int, int]]) -> None:
    assert error_segments(first, second) == segments


def test_matched_pairs_by_hand() -> None:
    # d = 1, 0, 2, 1: mean 1, sd √(2/3), z = 1 / (√(2/3) / 2) = √6, p = 2·(1 − Φ(2.4495)) = 0.0143
    found = matched_pairs([2, 1, 3, 1], [1, 1, 1, 0])
    assert found.segments == 4
    assert found.mean_difference == 1
    assert found.z == pytest.approx(math.sqrt(6))
    assert found.p == pytest.approx(0.014306, abs=1e-6)


@pytest.mark.parametrize("errors", [[], [3], [2, 2]])
def test_matched_pairs_without_variation_say_nothing(errors: list[int]) -> None:
    assert matched_pairs(errors, [0] * len(errors)) == MatchedPairs(
        len(errors), float(errors[0]) if errors else 0.0, None, None
    )
