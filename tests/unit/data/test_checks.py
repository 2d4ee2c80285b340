import numpy as np
import pytest

from rojak.audio import Waveform
from rojak.data.checks import REASONS, check_num_tokens, check_text, check_waveform
from rojak.data.settings import PrepareSettings

SETTINGS = PrepareSettings()


def reason(fault):
    assert fault is None or fault.reason in REASONS
    return fault and fault.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no_transcript"),
        (7, "bad_record"),
        ("", "empty_text"),
        (" \n", "empty_text"),
        ("<noise>", "only_markers"),
        ("[laughter] (er) <unk> ...", "only_markers"),
        ("!?", "only_markers"),
        ("[ah] makan", None),
        ("7", None),
        ("水果", None),
        ("பழம்", None),
    ],
)
def test_text(text, expected):
    assert reason(check_text(text)) == expected


@pytest.mark.parametrize(("num_tokens", "expected"), [(None, None), (448, None), (449, "too_many_tokens")])
def test_tokens(num_tokens, expected):
    assert reason(check_num_tokens(num_tokens, SETTINGS)) == expected


@pytest.mark.parametrize(
    ("seconds", "claimed_s", "cut", "expected"),
    [
        (1.0, None, False, None),
        (1.0, 1.05, False, None),
        (0.2, 0.2, False, None),
        (0.19, 0.19, False, "too_short"),
        (0.0, None, False, "too_short"),
        (30.0, 30.0, False, None),
        (30.0, 45.0, True, "too_long"),
        (30.0, None, True, "too_long"),
        (8.0, 17.3, False, "truncated"),
    ],
)
def test_waveform(seconds, claimed_s, cut, expected):
    wave = Waveform(np.ones(round(seconds * 16_000), np.float32), 16_000, 1, cut, claimed_s)
    assert reason(check_waveform(wave, SETTINGS)) == expected
