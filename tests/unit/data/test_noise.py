import numpy as np
import pytest

from rojak.data import noise
from rojak.data.noise import SAMPLE_RATE


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def tone(seconds: float, hz: float = 300.0, level: float = 0.1) -> noise.Wave:
    time_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sqrt(2) * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def test_speech_power_leaves_pauses_out():
    speech = tone(1.0)
    silence = np.zeros(3 * SAMPLE_RATE, np.float32)
    assert noise.speech_power(np.concatenate([silence, speech, silence])) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.zeros(SAMPLE_RATE, np.float32)])
def test_speech_power_of_nothing_is_zero(wave):
    assert noise.speech_power(wave) == 0.0


@pytest.mark.parametrize("snr_db", [0.0, 7.5, 20.0])
@pytest.mark.parametrize("make", [noise.pink_noise, noise.mains_hum])
def test_mix_at_snr_hits_the_ratio_on_active_speech(make, snr_db, rng):
    speech = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), tone(1.0)])
    mixed = noise.mix_at_snr(speech, make(len(speech), rng), snr_db)
    added = mixed - speech
    assert 10 * np.log10(0.01 / np.mean(added**2)) == pytest.approx(snr_db, abs=0.1)


def test_mix_repeats_short_noise_and_cuts_long(rng):
    speech = tone(1.0)
    for num_samples in (100, 5 * SAMPLE_RATE):
        mixed = noise.mix_at_snr(speech, noise.pink_noise(num_samples, rng), 10.0)
        assert mixed.shape == speech.shape
        assert mixed.dtype == np.float32


def test_mix_with_silence_returns_a_copy_of_the_speech():
    speech = tone(0.5)
    mixed = noise.mix_at_snr(speech, np.zeros(0, np.float32), 5.0)
    np.testing.assert_array_equal(mixed, speech)
    assert mixed is not speech


def test_pink_noise_falls_three_decibels_an_octave(rng):
    spectrum = np.abs(np.fft.rfft(noise.pink_noise(1 << 18, rng))) ** 2
    hz = np.fft.rfftfreq(1 << 18, 1 / SAMPLE_RATE)
    bands = [spectrum[(hz >= low) & (hz < 2 * low)].mean() for low in (250, 500, 1000, 2000)]
    assert np.diff(10 * np.log10(bands)) == pytest.approx([-3.0] * 3, abs=0.4)


def test_hum_stands_on_multiples_of_fifty_hertz(rng):
    num_samples = 8 * SAMPLE_RATE
    power = np.abs(np.fft.rfft(noise.mains_hum(num_samples, rng))) ** 2
    hz = np.fft.rfftfreq(num_samples, 1 / SAMPLE_RATE)
    near_line = (np.abs(hz / 50 - np.round(hz / 50)) < 0.15) & (hz > 40) & (hz < 1060)
    assert power[near_line].sum() > 0.95 * power.sum()


def test_babble_is_loud_where_each_voice_is_and_depends_on_the_rng(rng):
    voices = [tone(0.7, 200), tone(0.4, 400, level=0.001), tone(0.9, 900)]
    crowd = noise.babble(voices, SAMPLE_RATE, rng)
    assert np.mean(crowd**2) == pytest.approx(1.0, rel=1e-3)
    power = np.abs(np.fft.rfft(crowd)) ** 2
    shares = [power[hz - 15 : hz + 15].sum() / power.sum() for hz in (200, 400, 900)]
    assert min(shares) > 0.2, "a quiet recording is brought to the level of the others"
    assert not np.array_equal(crowd, noise.babble(voices, SAMPLE_RATE, rng))


def test_babble_of_nobody_is_silent(rng):
    assert not noise.babble([], 100, rng).any()


def test_room_keeps_the_place_of_a_sound_and_adds_a_tail(rng):
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[2000] = 1.0
    wet = noise.reverberate(click, noise.room_response(rng))
    assert wet.shape == click.shape
    assert int(np.argmax(np.abs(wet))) == 2000
    assert np.abs(wet[:2000]).max() < 1e-5
    assert np.sum(wet[2400:4000] ** 2) > 1e-4, "no late reverberation"


def test_room_response_has_unit_energy_and_the_asked_decay(rng):
    response = noise.room_response(rng, decay_s=(0.5, 0.5))
    assert len(response) == SAMPLE_RATE // 2
    assert np.sum(response**2) == pytest.approx(1.0, rel=1e-5)
    early, late = np.sum(response[400:1200] ** 2), np.sum(response[4400:5200] ** 2)
    assert 10 * np.log10(early / late) == pytest.approx(60 * 0.25 / 0.5, abs=3.0)


def test_same_rng_same_noise():
    for make in (noise.pink_noise, noise.mains_hum):
        first, second = (make(4000, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
