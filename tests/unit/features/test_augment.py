from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from rojak.config.schema import AugmentConfig
from rojak.data.noise import speech_power
from rojak.errors import InputError
from rojak.features.augment import augment, draw_speed, make_noise, mask_features, sample_rng
from rojak.features.channel import CHANNELS

RATE = 16000


def speech(seconds: float = 3.0) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * 3 * t) > -0.5)).astype(np.float32)


def voices(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    return [rng.normal(0, 0.1, RATE).astype(np.float32) for _ in range(count)]


def run(config: AugmentConfig, seed: int = 1, epoch: int = 0, audio_id: str = "a") -> np.ndarray:
    return augment(speech(), config, sample_rng(seed, epoch, audio_id), voices)


def test_nothing_asked_for_changes_nothing() -> None:
    np.testing.assert_array_equal(run(AugmentConfig()), speech())


NOISY = AugmentConfig(noise_share=1.0, reverb_share=0.5, speed=(0.9, 1.1), gain_db=(-6, 6))


def test_the_same_seed_epoch_and_id_give_the_same_sound() -> None:
    np.testing.assert_array_equal(run(NOISY), run(NOISY))
    assert not any(
        np.array_equal(run(NOISY)[:20000], other[:20000])
        for other in (run(NOISY, seed=2), run(NOISY, epoch=1), run(NOISY, audio_id="b"))
    )


@pytest.mark.parametrize("kind", ["babble", "pink", "hum"])
@pytest.mark.parametrize("snr_db", [0.0, 12.0, 20.0])
def test_noise_is_mixed_at_the_ratio_asked_for(kind: str, snr_db: float) -> None:
    config = AugmentConfig(noise_share=1.0, noise_snr_db=(snr_db, snr_db), noise_kinds=(kind,))
    clean, noisy = speech(), run(config)
    scale = float(np.dot(noisy, clean) / np.dot(clean, clean)) if np.abs(noisy).max() > 0.99 else 1.0
    noise = noisy / scale - clean
    measured = 10 * np.log10(speech_power(clean) / np.mean(noise.astype(np.float64) ** 2))
    assert measured == pytest.approx(snr_db, abs=0.5)


def test_speed_changes_the_length_by_the_factor_the_planner_draws() -> None:
    config = AugmentConfig(speed=(0.8, 1.25))
    speed = draw_speed(config, sample_rng(1, 0, "a"), 3.0)
    assert len(run(config)) == pytest.approx(len(speech()) / speed, abs=2)
    assert 0.8 <= speed <= 1.25


def test_nothing_is_slowed_down_beyond_the_window() -> None:
    config = AugmentConfig(speed=(0.8, 0.9))
    for duration_s in (24.0, 26.0, 29.5, 30.0):
        speed = draw_speed(config, sample_rng(1, 0, "a"), duration_s)
        assert duration_s / speed <= 30.0 + 1e-9
    assert draw_speed(config, sample_rng(1, 0, "a"), 20.0) < 0.9
    long = np.tile(speech(), 60)[: round(29.5 * 16_000)]
    heard = augment(long, config, sample_rng(1, 0, "a"), voices)
    assert len(heard) == pytest.approx(30 * 16_000, abs=2)


def test_share_is_kept() -> None:
    config = AugmentConfig(noise_share=0.3, noise_kinds=("pink",))
    changed = sum(not np.array_equal(run(config, audio_id=f"{i}"), speech()) for i in range(200))
    assert 40 <= changed <= 80


def test_babble_without_other_speakers_is_pink_noise() -> None:
    rng = np.random.default_rng(1)
    assert len(make_noise("babble", 1000, rng, lambda _rng, _count: [])) == 1000


def test_masks_hide_what_they_should_and_no_more() -> None:
    mel = torch.randn(2, 80, 300)
    config = AugmentConfig(time_masks=1, time_mask_seconds=0.5, frequency_masks=1, frequency_mask_bins=10)
    masked = mask_features(mel, config, (5, 6), (300, 300))
    torch.testing.assert_close(masked[1:], mask_features(mel[1:], config, (6,), (300,)))
    for before, after in zip(mel, masked, strict=True):
        changed = before != after
        full_columns = changed.all(dim=0).sum()
        full_rows = changed.all(dim=1).sum()
        assert 1 <= full_columns <= 50
        assert 1 <= full_rows <= 10
        assert changed.sum() == full_columns * 80 + full_rows * 300 - full_columns * full_rows
    assert mask_features(mel, AugmentConfig(), (5, 6), (300, 300)) is mel


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")


@pytest.fixture
def noises(tmp_path: Path) -> str:
    """Recordings shorter and longer than the clip, of other rates, one mostly silence."""
    rng = np.random.default_rng(3)
    write(tmp_path / "noise" / "street" / "short.wav", 0.1 * rng.standard_normal(RATE // 2))
    write(tmp_path / "noise" / "long.wav", 0.02 * rng.standard_normal(44_100 * 5), 44_100)
    bark = np.concatenate([np.zeros(RATE), 0.3 * rng.standard_normal(RATE // 4), np.zeros(RATE)])
    write(tmp_path / "noise" / "bark.wav", bark)
    return str(tmp_path / "noise")


@pytest.mark.parametrize("snr_db", [0.0, 12.0, 20.0])
def test_recorded_noise_is_mixed_at_the_ratio_asked_for(noises: str, snr_db: float) -> None:
    config = AugmentConfig(
        noise_share=1.0, noise_snr_db=(snr_db, snr_db), noise_kinds=("recorded",), noise_dirs=(noises,)
    )
    clean = 0.3 * speech()
    for number in range(8):
        noisy = augment(clean, config, sample_rng(1, 0, f"{number}"), voices)
        noise = noisy - clean
        measured = 10 * np.log10(speech_power(clean) / np.mean(noise.astype(np.float64) ** 2))
        assert measured == pytest.approx(snr_db, abs=0.5)


def test_folders_that_cannot_serve_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "silent" / "a.wav", np.zeros(RATE))
    for name, problem in (("none", "is no folder"), ("empty", "holds no recordings"), ("silent", "is silent")):
        config = AugmentConfig(noise_share=1, noise_kinds=("recorded",), noise_dirs=(str(tmp_path / name),))
        with pytest.raises(InputError, match=problem):
            run(config)
    with pytest.raises(ValueError, match="go together"):
        AugmentConfig(noise_dirs=("x",))


def test_a_recorded_room_keeps_the_place_and_the_energy_of_sounds(tmp_path: Path) -> None:
    response = np.zeros(RATE)
    response[400], response[3000] = 0.5, 0.1  # 25 ms of delay before the direct sound
    write(tmp_path / "rooms" / "hall.wav", response)
    config = AugmentConfig(reverb_share=1.0, room_dirs=(str(tmp_path / "rooms"),))
    click = np.zeros(RATE, np.float32)
    click[1000] = 0.5
    heard = augment(click, config, sample_rng(1, 0, "a"), voices)
    assert int(np.argmax(np.abs(heard))) == 1000
    assert np.sum(heard**2) == pytest.approx(np.sum(click**2), rel=1e-3)
    assert int(np.argmax(np.abs(heard[1100:]))) + 1100 == 3600


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_keeps_length_place_and_level(name: str) -> None:
    clean = speech(2.03)
    heard = CHANNELS[name](clean)
    assert heard.shape == clean.shape and heard.dtype == np.float32
    np.testing.assert_array_equal(heard, CHANNELS[name](clean))
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE) * np.hanning(8000)
    clip = np.concatenate([np.zeros(4000), tone, np.zeros(4000)]).astype(np.float32)
    after = CHANNELS[name](clip)
    lag = int(np.argmax(np.correlate(after, clip, "same"))) - len(clip) // 2
    assert abs(lag) <= 40
    assert np.sum(after**2) == pytest.approx(np.sum(clip**2), rel=0.25)
    assert len(CHANNELS[name](clean * 5)) == len(clean)


@pytest.mark.parametrize("name", ["telephone", "gsm"])
def test_a_telephone_has_its_band(name: str) -> None:
    hiss = np.random.default_rng(1).normal(0, 0.1, RATE * 2).astype(np.float32)
    power = np.abs(np.fft.rfft(CHANNELS[name](hiss))) ** 2
    hertz = np.fft.rfftfreq(RATE * 2, 1 / RATE)
    inside = power[(hertz > 400) & (hertz < 3300)].mean()
    assert power[hertz > 4000].mean() < 1e-3 * inside
    assert power[hertz < 200].mean() < 0.05 * inside


def test_a_share_is_left_clean_and_the_planner_knows() -> None:
    config = AugmentConfig(clean_share=0.4, noise_share=1.0, noise_kinds=("pink",), speed=(0.9, 0.95))
    clean = 0
    for number in range(200):
        heard = run(config, audio_id=f"{number}")
        speed = draw_speed(config, sample_rng(1, 0, f"{number}"), 3.0)
        assert len(heard) == pytest.approx(len(speech()) / speed, abs=2)
        clean += np.array_equal(heard, speech())
    assert 60 <= clean <= 100


SHARED_NOISE = Path(__file__).parents[4] / "shared" / "noise"


@pytest.mark.skipif(not SHARED_NOISE.exists(), reason=f"{SHARED_NOISE} is not there")
def test_real_noises_and_rooms() -> None:
    config = AugmentConfig(
        noise_share=1.0,
        noise_snr_db=(10, 10),
        noise_kinds=("recorded",),
        noise_dirs=(str(SHARED_NOISE),),
        reverb_share=0.0,
    )
    clean = 0.03 * speech()  # loud clicks stay below full scale, where nothing is limited
    for number in range(40):
        noise = augment(clean, config, sample_rng(1, 0, f"{number}"), voices) - clean
        measured = 10 * np.log10(speech_power(clean) / np.mean(noise.astype(np.float64) ** 2))
        assert measured == pytest.approx(10, abs=0.5)
    rooms = AugmentConfig(reverb_share=1.0, room_dirs=(str(SHARED_NOISE / "rir"),))
    assert len(run(rooms)) == len(speech())
