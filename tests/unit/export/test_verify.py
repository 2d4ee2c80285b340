"""The verdict: which differences are let through, and when a model may be trimmed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from rojak.export.runtime import Decoded, HeardWord, Kind, RuntimeOptions
from rojak.export.verify import Clip, Verdict, verify

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
        return [
            Decoded(text, (len(text),), -0.1, "ms", (HeardWord("satu", self.shift_s, 1.0, 0.9),), 0.1) for text in texts
        ]


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
