"""Measure the scorer beside jiwer on the same pairs, and the bootstrap.

    python benchmarks/scorer.py

Reads nothing; prints Markdown. jiwer computes WER alone; Rojak computes every measure of `docs/metrics.md`.
"""

import time

import jiwer
import numpy as np

from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.evaluate.stats import bootstrap_sums

REFERENCE = "Saya nak pergi kedai lah, you know, 我要买水果 boleh kan? நான் போறேன் okay"
NUM_UTTERANCES = 5000
NUM_COUNTS = 44


def main() -> None:
    """Run both sides once and print utterances a minute and their ratio."""
    rows = [
        Prediction(
            audio_id=str(i), reference=REFERENCE, hypothesis=REFERENCE.replace("kedai", f"w{i}").replace("买", "")
        )
        for i in range(NUM_UTTERANCES)
    ]
    started = time.perf_counter()
    score_predictions(rows, ScoreOptions(resamples=0))
    ours = time.perf_counter() - started
    started = time.perf_counter()
    jiwer.process_words([row.reference for row in rows], [row.hypothesis for row in rows])
    theirs = time.perf_counter() - started
    started = time.perf_counter()
    bootstrap_sums(np.random.default_rng(0).random((NUM_UTTERANCES, NUM_COUNTS)), 10_000, seed=0)
    bootstrap = time.perf_counter() - started
    print("| what | utterances a minute |\n|---|---|")
    print(f"| Rojak, every measure | {60 * NUM_UTTERANCES / ours:,.0f} |")
    print(f"| jiwer, WER alone | {60 * NUM_UTTERANCES / theirs:,.0f} |")
    print(f"\nRojak / jiwer: {theirs / ours:.2f}. 10 000 resamples of {NUM_UTTERANCES} utterances: {bootstrap:.1f} s.")


if __name__ == "__main__":
    main()
