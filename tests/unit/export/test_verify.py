"""The verdict: which differences are let through, and when a model may be trimmed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from rojak.export.runtime import Decoded, Kind, RuntimeOptions
from rojak.export.verify import Clip, Verdict, measure_loss, verify
from rojak.records import HeardWord

CLIPS = [Clip(f"c{number}", np.zeros(16000, np.float32), f"satu dua tiga word{number}", "ms") for number in range(100)]


@dataclass
class Said:
    """A runtime that says what it is told to."""

    texts: dict[str, list[str]]
    shift_s: float = 0.0
    name: str = "said"
    kind: Kind = "ct2"
    num_mels: int = 80
    trim_safe: bool = False
    languages: tuple[str, ...] = ("ms",)

    def transcribe(self, audio: Sequence, language: object = None, options: RuntimeOptions | None = None) -> list:
        texts = self.texts[(options or RuntimeOptions()).context]
        words = (HeardWord(word="satu", language="ms", start=self.shift_s, end=1.0),)
        return [Decoded(text, (len(text),), -0.1, "ms", words, 0.1) for text in texts]


def right() -> list[str]:
    return [clip.reference for clip in CLIPS]


def wrong(count: int) -> list[str]:
    """One word of four is wrong in so many clips: 0.25 points of WER each."""
    return [text.replace("satu", "lima") if place < count else text for place, text in enumerate(right())]


def judge(full: int, dtype: str, trim: int = 0) -> Verdict:
    a = Said({"full": right(), "trim": right()})
    b = Said({"full": wrong(full), "trim": wrong(trim)}, shift_s=0.25)
    return verify(a, b, dtype, CLIPS, "made up")


@pytest.mark.parametrize(
    ("dtype", "differing", "passed"),
    [("float32", 0, True), ("f16", 1, True), ("float16", 2, False), ("int8", 2, True), ("q5_0", 3, False)],
)
def test_floats_are_held_to_the_text_and_integers_to_the_error_rate(dtype: str, differing: int, passed: bool) -> None:
    verdict = judge(differing, dtype)
    assert verdict.passed is passed
    assert verdict.same_text == 1 - differing / 100
    assert verdict.wer_a == 0
    assert verdict.wer_b == pytest.approx(differing / 4)
    assert len(verdict.examples) == differing
    assert verdict.same_tokens == 1
    assert verdict.word_time_difference_s == pytest.approx(0.25)
    assert verdict.as_dict()["passed"] is passed


@pytest.mark.parametrize(("full", "trim", "safe"), [(0, 1, True), (0, 2, False), (5, 0, True)])
def test_trimming_may_cost_three_tenths_of_a_point(full: int, trim: int, safe: bool) -> None:
    assert judge(full, "int8", trim).trim_safe is safe


def test_too_few_clips_are_called_too_few() -> None:
    equal = judge(0, "int8")
    assert (equal.wer_loss.points, equal.wer_loss.low) == (0, 0)
    assert equal.wer_loss.high == pytest.approx(0.75), "400 words: one in 3 % of the clips may differ unseen"
    assert equal.passed
    assert not equal.certain
    assert (
        "100 clips are too few to be sure that the error rate of said is at most 0.5 points worse" in equal.doubts()[0]
    )
    assert "about 230 would do" in equal.doubts()[0]
    assert judge(0, "f16").certain, "equal text is no estimate"
    bad = judge(20, "int8", trim=40)
    assert (bad.passed, bad.certain) == (False, True)
    assert 2 < bad.wer_loss.low < bad.wer_loss.points == 5 < bad.wer_loss.high < 8
    assert bad.trim_certain
    assert bad.doubts() == []
    clear = measure_loss(np.tile([0.0, 10.0], (500, 1)), np.tile([0.0, 10.0], (500, 1)))
    assert clear.is_certain(0.3)
    assert clear.clips_wanted(0.3, 500) is None


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        before, worse = rng.poisson(1.0, 150), rng.random(150) < 0.1
        counts = [np.column_stack([errors, np.full(150, 8)]).astype(float) for errors in (before, before + worse)]
        loss = measure_loss(*counts)
        held += loss.low <= 100 * 0.1 / 8 <= loss.high
    assert held >= 52
