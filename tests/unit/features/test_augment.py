import numpy as np
import pytest
import torch

from rojak.config.schema import AugmentConfig
from rojak.data.noise import speech_power
from rojak.features.augment import augment, draw_speed, make_noise, mask_features, sample_rng

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
    speed = draw_speed(config, sample_rng(1, 0, "a"))
    assert len(run(config)) == pytest.approx(len(speech()) / speed, abs=2)
    assert 0.8 <= speed <= 1.25


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
    masked = mask_features(mel, config, seed=5)
    torch.testing.assert_close(masked, mask_features(mel, config, seed=5))
    for before, after in zip(mel, masked, strict=True):
        changed = before != after
        full_columns = changed.all(dim=0).sum()
        full_rows = changed.all(dim=1).sum()
        assert 1 <= full_columns <= 50
        assert 1 <= full_rows <= 10
        assert changed.sum() == full_columns * 80 + full_rows * 300 - full_columns * full_rows
    assert mask_features(mel, AugmentConfig(), seed=5) is mel
