import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from rojak import audio
from rojak.audio import (
    SAMPLE_RATE,
    decode_audio,
    decode_flac,
    encode_flac,
    estimate_snr,
    is_prepared_flac,
    read_audio_bytes,
    to_pcm16,
)
from rojak.errors import AudioError

count = audio._Limit.count


def tone(seconds: float = 1.0, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def dominant_hertz(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples))


def encode_with_av(path: Path, codec: str, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        samples = tone(1.0, rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1), (48_000, 2)])
def test_formats_rates_and_channels_all_become_16_khz_mono(tmp_path, suffix, rate, channels):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, np.stack([tone(rate=rate)] * channels, axis=1), rate)
    wave = decode_audio(path)
    assert wave.samples.dtype == np.float32
    assert wave.samples.ndim == 1
    assert (wave.original_rate, wave.original_channels) == (rate, channels)
    assert wave.duration_s == pytest.approx(1.0, abs=0.06)
    assert dominant_hertz(wave.samples) == pytest.approx(440, abs=2)
    assert np.abs(wave.samples).max() == pytest.approx(0.5, abs=0.1)
    assert not wave.cut


def test_m4a_goes_through_pyav(tmp_path):
    path = tmp_path / "a.m4a"
    encode_with_av(path, "aac", 44_100)
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(path)
    wave = decode_audio(path)
    assert dominant_hertz(wave.samples) == pytest.approx(440, abs=2)
    assert wave.original_rate == 44_100
    assert wave.duration_s == pytest.approx(1.0, abs=0.06)
    short = decode_audio(path, max_seconds=0.5)
    assert short.cut
    assert short.duration_s == pytest.approx(0.5, abs=0.001)


def test_stereo_is_averaged(tmp_path):
    left, right = tone(hertz=440), tone(hertz=1000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_allclose(decode_audio(tmp_path / "a.wav").samples, (left + right) / 2, atol=1e-6)


def test_reading_stops_at_max_seconds(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(3.0), SAMPLE_RATE)
    wave = decode_audio(tmp_path / "a.wav", max_seconds=1.0)
    assert wave.cut
    assert len(wave.samples) == SAMPLE_RATE
    assert wave.claimed_s == pytest.approx(3.0)
    assert not decode_audio(tmp_path / "a.wav", max_seconds=3.0).cut


@pytest.mark.parametrize("claimed_s", [20.0, 4_000_000.0])
def test_a_header_that_lies_about_the_length_is_seen_through(claimed_s):
    data = bytearray(encode_flac(tone()))
    num_samples = int(claimed_s * SAMPLE_RATE)
    data[21] = (data[21] & 0xF0) | (num_samples >> 32)  # STREAMINFO holds the number of samples in 36 bits
    data[22:26] = (num_samples & 0xFFFFFFFF).to_bytes(4, "big")
    wave = decode_audio(bytes(data), max_seconds=30)
    assert wave.duration_s == pytest.approx(1.0)
    assert wave.claimed_s == pytest.approx(claimed_s)


def test_a_file_that_ends_early_shows_in_its_claim():
    data = encode_flac(np.random.default_rng(0).standard_normal(32_000).astype(np.float32) / 8)
    wave = decode_audio(data[: len(data) // 2])
    assert wave.duration_s < 1.2
    assert wave.claimed_s == pytest.approx(2.0)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\xff\xfb\x90\x00" * 40, b"not audio at all" * 100])
def test_what_is_no_audio_is_an_audio_error(data):
    with pytest.raises(AudioError):
        decode_audio(data)


def test_a_playlist_does_not_open_other_files(tmp_path):
    soundfile.write(tmp_path / "secret.wav", tone(), SAMPLE_RATE)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n"
    with pytest.raises(AudioError):
        decode_audio(playlist.encode())


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    samples = tone()
    samples[100] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        decode_audio(tmp_path / "a.wav")


def test_large_files_are_not_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x" * 1000)
    with pytest.raises(AudioError, match="larger"):
        read_audio_bytes(tmp_path / "a.wav", max_bytes=999)
    assert len(read_audio_bytes(tmp_path / "a.wav", max_bytes=1000)) == 1000


def test_a_small_file_that_holds_much_is_not_decoded_whole(tmp_path, monkeypatch):
    silence = np.zeros((4 * SAMPLE_RATE, 8), np.float32)
    soundfile.write(tmp_path / "a.flac", silence, SAMPLE_RATE)
    assert (tmp_path / "a.flac").stat().st_size < silence.nbytes / 50
    blocks = []
    monkeypatch.setattr(audio._Limit, "count", lambda limit, block: blocks.append(block.nbytes) or count(limit, block))
    with pytest.raises(AudioError, match=r"a\.flac: holds more than 1 MiB of sound once decoded"):
        decode_audio(tmp_path / "a.flac", max_decoded_bytes=2**20)
    assert sum(blocks) <= 2**20 + audio.BLOCK_FRAMES * 8 * 4
    assert decode_audio(tmp_path / "a.flac", max_decoded_bytes=silence.nbytes).duration_s == 4
    encode_with_av(tmp_path / "a.m4a", "aac", 44_100)
    with pytest.raises(AudioError, match="holds more than 0 MiB"):
        decode_audio(tmp_path / "a.m4a", max_decoded_bytes=2**16)


def test_flac_round_trip_is_exact_for_16_bit_sound():
    pcm = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    samples = pcm.astype(np.float32) / 32768
    data = encode_flac(samples)
    assert encode_flac(samples) == data
    np.testing.assert_array_equal(to_pcm16(decode_flac(data)), pcm)
    assert to_pcm16(np.array([2.0, -2.0], np.float32)).tolist() == [32767, -32768]


def test_only_flac_of_our_own_kind_is_kept(tmp_path):
    assert is_prepared_flac(encode_flac(tone()), SAMPLE_RATE)
    assert not is_prepared_flac(encode_flac(tone()), SAMPLE_RATE - 1)
    for rate, subtype, samples in [
        (44_100, "PCM_16", tone()),
        (16_000, "PCM_24", tone()),
        (16_000, "PCM_16", np.stack([tone()] * 2, axis=1)),
    ]:
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format="FLAC", subtype=subtype)
        assert not is_prepared_flac(buffer.getvalue(), len(samples))
    assert not is_prepared_flac(b"fLaC" + bytes(60), SAMPLE_RATE), "what libsndfile cannot read"
    soundfile.write(tmp_path / "a.wav", tone(), SAMPLE_RATE)
    assert not is_prepared_flac((tmp_path / "a.wav").read_bytes(), SAMPLE_RATE)


def voice(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Harmonics of a gliding pitch through a changing spectral tilt, in syllables, with hardly a pause."""
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 140 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    bands = [np.sin(k * phase) / k * (1.2 + np.sin(2 * np.pi * rng.uniform(2, 5) * t + k)) for k in range(1, 25)]
    syllables = np.clip(0.3 + np.sin(2 * np.pi * 3.3 * t + rng.uniform(0, 6)), 0, None)
    return np.asarray(sum(bands) * syllables, dtype=np.float32)


def noise(kind: str, num: int, rng: np.random.Generator) -> np.ndarray:
    white = rng.standard_normal(num)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), num)


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("true_db", [5, 10, 15, 20, 25])
def test_snr_estimate_is_within_3_db_and_1_5_on_average(kind, true_db):
    errors = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        speech, added = voice(5.0, rng), noise(kind, 5 * SAMPLE_RATE, rng)
        frame_power = (speech.reshape(-1, 200) ** 2).mean(axis=1)
        active = frame_power[frame_power > np.quantile(frame_power, 0.95) * 10**-2.5].mean()
        added = added * np.sqrt(active / (added**2).mean() / 10 ** (true_db / 10))
        estimate = estimate_snr((speech + added).astype(np.float32))
        assert estimate is not None
        errors.append(estimate - true_db)
    assert np.abs(errors).max() < 3.0, errors
    assert abs(np.mean(errors)) < 1.5, errors


def test_snr_of_the_extremes():
    rng = np.random.default_rng(0)
    assert estimate_snr(np.zeros(16_000, np.float32)) is None
    assert estimate_snr(tone(0.99)) is None
    low, high = audio.SNR_RANGE_DB
    hiss = estimate_snr(rng.standard_normal(80_000).astype(np.float32))
    assert hiss is not None and low <= hiss < 3
    with_pause = np.concatenate([voice(2.0, rng), np.zeros(32_000, np.float32)])
    assert estimate_snr(with_pause) == high
