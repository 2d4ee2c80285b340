"""How certain a number is: bootstrap over speakers, and the matched-pairs test of two systems.

Works on tables of counts (clusters × counts), knows nothing of text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CHUNK_ENTRIES = 2_000_000  # Resampling weights held at a time: 16 MB.


def sum_by_cluster(counts: Floats, clusters: Sequence[int] | npt.NDArray[np.int64]) -> Floats:
    """Sum the rows of utterances `(utterances, counts)` into those of their speakers `(clusters, counts)`."""
    index = np.asarray(clusters, dtype=np.int64)
    sums = np.zeros((int(index.max(initial=-1)) + 1, counts.shape[1]))
    np.add.at(sums, index, counts)
    return sums


def bootstrap_sums(clusters: Floats, resamples: int, seed: int) -> Floats:
    """Draw as many clusters as there are, with replacement, `resamples` times, and sum their counts.

    The draws depend on the number of clusters and the seed alone, so two systems scored on the same utterances are
    resampled together. Source: Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR", ICASSP 2004;
    by speaker because errors of one speaker go together: Liu and Peng, "Statistical testing on ASR performance via
    blockwise bootstrap", Interspeech 2020.

    Args:
        clusters: `(clusters, counts)`.
        resamples: Number of resamples.
        seed: Of the draws.

    Returns:
        `(resamples, counts)`.
    """
    rng = np.random.default_rng(seed)
    num = len(clusters)
    sums = np.empty((resamples, clusters.shape[1]))
    step = max(1, _CHUNK_ENTRIES // max(1, num))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        draws = rng.integers(num, size=(size, num)) + np.arange(size)[:, None] * num
        weights = np.bincount(draws.ravel(), minlength=size * num).reshape(size, num)
        sums[start : start + size] = weights.astype(np.float64) @ clusters
    return sums


def percentile_interval(values: Floats, confidence: float = 0.95) -> tuple[float, float] | None:
    """Give the middle share of resampled values; None if a resample had nothing to count (NaN) more often than not."""
    valid = values[~np.isnan(values)]
    if len(valid) * 2 <= len(values):
        return None
    low, high = np.quantile(valid, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def probability_less(first: Floats, second: Floats) -> float:
    """Share of resamples in which the first value is below the second, ties counted half."""
    valid = ~(np.isnan(first) | np.isnan(second))
    if not valid.any():
        return math.nan
    first, second = first[valid], second[valid]
    return float((first < second).mean() + (first == second).mean() / 2)


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """Outcome of `matched_pairs`: number of segments, mean difference of errors a segment, z and two-sided p.

    z and p are None when fewer than two segments hold an error or all differ by the same amount.
    """

    segments: int
    mean_difference: float
    z: float | None
    p: float | None


def matched_pairs(first: Sequence[int], second: Sequence[int]) -> MatchedPairs:
    """MAPSSWE: the matched-pairs sentence-segment word error test.

    z = mean(d) / (sd(d) / √n) over the n segments, d the first system's errors less the second's; p from the normal
    distribution. Source: Gillick and Cox, ICASSP 1989; segments as in NIST sctk.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    n = len(difference)
    mean = float(difference.mean()) if n else 0.0
    deviation = float(difference.std(ddof=1)) if n > 1 else 0.0
    if deviation == 0.0:
        return MatchedPairs(n, mean, None, None)
    z = mean / (deviation / math.sqrt(n))
    return MatchedPairs(n, mean, z, math.erfc(abs(z) / math.sqrt(2)))


def error_segments(first_ops: str, second_ops: str) -> list[tuple[int, int]]:
    """Cut one utterance into MAPSSWE segments: stretches with errors, parted by two words right in both systems.

    Args:
        first_ops: Alignment of the reference with the first system's words (`rojak.evaluate.align.align`).
        second_ops: The same reference with the second system's.

    Returns:
        (errors of the first, errors of the second) of each segment.
    """
    ours, theirs = _errors_by_word(first_ops), _errors_by_word(second_ops)
    assert len(ours) == len(theirs), "both alignments must have the same reference"
    segments: list[tuple[int, int]] = []
    open_first = open_second = good = 0
    # Entry 2k counts insertions before reference word k, entry 2k + 1 is the word itself; only words can be "right".
    for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a or b:
            open_first, open_second, good = open_first + a, open_second + b, 0
        elif place % 2:
            good += 1
            if good == 2 and (open_first or open_second):
                segments.append((open_first, open_second))
                open_first = open_second = 0
    if open_first or open_second:
        segments.append((open_first, open_second))
    return segments


def _errors_by_word(ops: str) -> list[int]:
    errors = [0]
    for op in ops:
        if op == "I":
            errors[-1] += 1
        else:
            errors += [int(op != "="), 0]
    return errors
