from dataclasses import replace

import numpy as np
import pytest

from rojak.audio import Waveform
from rojak.data.checks import (
    REASONS,
    active_level_db,
    check_length,
    check_num_tokens,
    check_script,
    check_sound,
    check_speaking_rate,
    check_text,
    count_syllables,
)
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
    ("seconds", "claimed_s", "stated_s", "cut", "expected"),
    [
        (1.0, None, None, False, None),
        (1.0, 1.05, None, False, None),
        (0.2, 0.2, None, False, None),
        (0.19, 0.19, None, False, "too_short"),
        (0.0, None, None, False, "too_short"),
        (30.0, 30.0, None, False, None),
        (30.0, 45.0, None, True, "too_long"),
        (30.0, None, None, True, "too_long"),
        (8.0, 17.3, None, False, "truncated"),
        (1.0, None, 1.29, False, None),
        (1.0, None, 1.31, False, "duration_mismatch"),
        (20.0, None, 18.1, False, None),
        (20.0, None, 17.9, False, "duration_mismatch"),
    ],
)
def test_length(seconds, claimed_s, stated_s, cut, expected):
    wave = Waveform(np.ones(round(seconds * 16_000), np.float32), 16_000, 1, cut, claimed_s)
    assert reason(check_length(wave, stated_s, SETTINGS)) == expected


@pytest.mark.parametrize(
    ("change", "snr_db", "expected"),
    [
        ({}, 20.0, None),
        ({}, None, None),
        ({"original_rate": 8000}, 20.0, None),
        ({"original_rate": 7999}, 20.0, "low_rate"),
        ({"clipped_share": 0.009}, 20.0, None),
        ({"clipped_share": 0.011}, 20.0, "clipped"),
        ({}, -0.1, "low_snr"),
        ({}, 0.0, None),
    ],
)
def test_sound(make_speech, change, snr_db, expected):
    wave = replace(Waveform(make_speech(1.0), 16_000, 1), **change)
    assert reason(check_sound(wave, snr_db, SETTINGS)) == expected


@pytest.mark.parametrize(
    ("gain_db", "expected"), [(0, None), (-40, None), (-60, "nearly_silent"), (-200, "nearly_silent")]
)
def test_level(make_speech, gain_db, expected):
    samples = (make_speech(1.0) * 10 ** (gain_db / 20)).astype(np.float32)
    assert reason(check_sound(Waveform(samples, 16_000, 1), 20.0, SETTINGS)) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(1.9, None), (2.0, "low_snr")])
def test_an_estimated_snr_is_not_trusted_in_short_clips(make_speech, seconds, expected):
    wave = Waveform(make_speech(seconds), 16_000, 1)
    assert reason(check_sound(wave, -5.0, SETTINGS, is_estimate=True)) == expected
    assert reason(check_sound(wave, -5.0, SETTINGS)) == "low_snr"


def test_level_is_relative_to_full_scale():
    assert active_level_db(np.ones(16_000, np.float32)) == pytest.approx(0.0)
    assert active_level_db(np.full(16_000, 0.1, np.float32)) == pytest.approx(-20.0)
    assert active_level_db(np.zeros(100, np.float32)) == -np.inf


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("saya nak beli 水果 பழம் lah", None),
        ("nama dia Ди dan dia suka makan sangat sangat", None),
        ("привет как дела", "unexpected_script"),
        ("ساي سوك ماكن", "unexpected_script"),
        ("7 8 9", None),
    ],
)
def test_script(text, expected):
    assert reason(check_script(text, SETTINGS)) == expected


def test_scripts_can_be_allowed():
    assert check_script("ساي سوك ماكن", PrepareSettings(scripts=("LATIN", "ARABIC"))) is None


@pytest.mark.parametrize(
    ("text", "syllables"),
    [
        ("saya nak makan lah", 6),
        ("hmm", 1),
        ("这样能够", 4),
        ("வணக்கம் நண்பா", 5),
        ("[ah] <noise> ya", 2),
        ("12", 3),
        ("", 0),
    ],
)
def test_syllables(text, syllables):
    assert count_syllables(text) == pytest.approx(syllables, abs=1)


@pytest.mark.parametrize(
    ("text", "seconds", "expected"),
    [
        ("saya nak makan lah", 1.0, None),
        ("saya nak makan lah", 0.4, "too_fast"),
        ("lah", 3.0, None),
        ("lah", 4.0, "too_slow"),
        ("这样能够相对保障产品的质量", 3.6, None),
        ("这样能够相对保障产品的质量", 1.0, "too_fast"),
    ],
)
def test_speaking_rate(text, seconds, expected):
    assert reason(check_speaking_rate(text, seconds, SETTINGS)) == expected
