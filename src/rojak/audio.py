"""Decode, encode and measure recordings: any common file in, 16 kHz mono float32 or 16-bit FLAC out.

Reads WAV, FLAC, MP3, OGG through libsndfile and the rest (M4A, WebM …) through PyAV. Knows neither records nor torch.
Every limit is enforced on what is really read, never on what a header claims.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from rojak.errors import AudioError

SAMPLE_RATE = 16_000
"""Samples a second everywhere in Rojak: Whisper's own rate."""

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Files above this size are not read into memory; 30 s of 192-kHz stereo float are 46 MB."""

MAX_SECONDS = 24 * 3600.0
MAX_RATE = 768_000
MAX_CHANNELS = 32
BLOCK_FRAMES = 65_536

AV_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,ogg,wav,flac,amr,asf,aiff,caf,w64,au"
"""Containers that PyAV may open. Playlists (HLS, concat) are left out because they open other files and addresses."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Waveform:
    """A decoded recording.

    Attributes:
        samples: float32 of shape (num_samples,), mono at `SAMPLE_RATE`, nominally within ±1.
        original_rate: Samples a second in the file.
        original_channels: Channels in the file, before the mix to mono.
        cut: True when the file goes on after the `max_seconds` that were read.
        claimed_s: Seconds that the header claims, None when it claims nothing. May be a lie.
    """

    samples: Samples
    original_rate: int
    original_channels: int
    cut: bool = False
    claimed_s: float | None = None

    @property
    def duration_s(self) -> float:
        """Seconds of decoded sound."""
        return len(self.samples) / SAMPLE_RATE


def read_audio_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read a whole file, refusing one that is larger than `max_bytes`.

    Raises:
        AudioError: The file is too large. `OSError` (missing, not readable) passes through.
    """
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise AudioError(f"{path.name}: larger than {max_bytes / 2**20:.0f} MiB; cut it into single utterances.")
    return data


def decode_audio(source: Path | bytes, *, max_seconds: float = MAX_SECONDS, name: str | None = None) -> Waveform:
    """Decode a recording to 16 kHz mono float32.

    Args:
        source: A file, or the bytes of one.
        max_seconds: Stop reading after this much sound and set `Waveform.cut`.
        name: What error messages call the recording; by default the file's name.

    Raises:
        AudioError: Nothing decodes it, or it holds values that are no numbers.
        OSError: The file is missing or not readable.
    """
    if isinstance(source, Path):
        name = name or source.name
        source = read_audio_bytes(source)
    name = name or "audio"
    if not source:
        raise AudioError(f"{name}: the file is empty (0 bytes).")
    try:
        channels, rate, cut, claimed_s = _read_with_soundfile(source, max_seconds)
    except soundfile.LibsndfileError as error:
        channels, rate, cut, claimed_s = _read_with_av(source, max_seconds, name, str(error.error_string))
    mono = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise AudioError(f"{name}: holds samples that are not numbers (NaN or infinite).")
    if rate != SAMPLE_RATE and len(mono):
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return Waveform(np.ascontiguousarray(mono), rate, channels.shape[1], cut, claimed_s)


def _read_with_soundfile(data: bytes, max_seconds: float) -> tuple[Samples, int, bool, float | None]:
    """Read (frames, channels) block by block, so that a header that claims hours allocates nothing."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        rate, num_channels = file.samplerate, file.channels
        if not 0 < rate <= MAX_RATE or num_channels > MAX_CHANNELS:
            raise AudioError(f"claims {rate} Hz and {num_channels} channels, at most {MAX_RATE} and {MAX_CHANNELS} go.")
        wanted = int(max_seconds * rate)
        blocks: list[Samples] = []
        num_frames = 0
        while num_frames <= wanted:
            block = file.read(min(BLOCK_FRAMES, wanted + 1 - num_frames), dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block)
            num_frames += len(block)
        claimed_s = file.frames / rate if 0 < file.frames < 2**62 else None
    frames = np.concatenate(blocks) if blocks else np.zeros((0, num_channels), np.float32)
    return frames[:wanted], rate, num_frames > wanted, claimed_s


def _read_with_av(
    data: bytes, max_seconds: float, name: str, first_error: str
) -> tuple[Samples, int, bool, float | None]:
    """Read (frames, channels) through FFmpeg's libraries, for what libsndfile does not know or gives up on."""
    import av

    try:
        with av.open(io.BytesIO(data), options={"format_whitelist": AV_FORMATS}) as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: holds no audio stream.")
            stream = container.streams.audio[0]
            rate, num_channels = int(stream.rate), int(stream.codec_context.channels)
            if not 0 < rate <= MAX_RATE or not 0 < num_channels <= MAX_CHANNELS:
                raise AudioError(f"{name}: claims {rate} Hz and {num_channels} channels.")
            claimed_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
            resampler: Any = av.AudioResampler(format="flt", layout=stream.codec_context.layout, rate=rate)
            wanted = int(max_seconds * rate)
            blocks: list[Samples] = []
            num_frames = 0
            try:
                for frame in container.decode(stream):
                    for part in resampler.resample(frame):
                        blocks.append(part.to_ndarray().reshape(-1, num_channels))
                        num_frames += len(blocks[-1])
                    if num_frames > wanted:
                        break
            except av.error.FFmpegError:
                if not blocks or claimed_s is None:  # otherwise the claim tells that the file ends early
                    raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{name}: cannot be decoded (libsndfile: {first_error} FFmpeg: {reason}).") from None
    if not blocks:
        raise AudioError(f"{name}: holds no sound that can be decoded.")
    return np.concatenate(blocks)[:wanted], rate, num_frames > wanted, claimed_s


def to_pcm16(samples: Samples) -> npt.NDArray[np.int16]:
    """Round float samples to 16 bits, limiting at full scale; exact for samples that came from 16-bit files."""
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)


def encode_flac(samples: Samples) -> bytes:
    """Encode mono samples at `SAMPLE_RATE` as 16-bit FLAC; equal samples give equal bytes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, to_pcm16(samples), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> Samples:
    """Decode what `encode_flac` wrote: the fast way for trusted, prepared audio. Gives float32 (num_samples,)."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return np.asarray(samples, dtype=np.float32)


def is_prepared_flac(data: bytes, num_samples: int) -> bool:
    """Say whether bytes are already 16-bit mono FLAC at `SAMPLE_RATE` without bulky tags, so they may be kept."""
    if data[:4] != b"fLaC" or len(data) > 2 * num_samples + 8192:
        return False
    info = soundfile.info(io.BytesIO(data))
    kept = (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
    return bool(kept and info.frames == num_samples)


SNR_RANGE_DB = (-10.0, 60.0)
FRAME, HOP = 512, 256
SMOOTHED_FRAMES = 6
NOISE_QUANTILE_Z = -1.2816
"""Standard normal value of the 10 % quantile."""

_WINDOW = np.hanning(FRAME).astype(np.float32)
_MEL_EDGES_HZ = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 25) / 2595) - 1)
_BAND_EDGES = np.unique(np.clip(np.round(_MEL_EDGES_HZ / 8000 * (FRAME // 2)).astype(int), 1, FRAME // 2))


def _quantile_bias() -> npt.NDArray[np.float64]:
    """How far the 10 % quantile of smoothed noise power lies under its mean, for each band, shape (bands - 1,).

    Power of noise summed over k independent bins is gamma distributed with shape k; its quantile by Wilson and Hilferty
    (1931). A Hann window makes neighbouring bins count 0.55 each (fitted to white noise).
    """
    shape = SMOOTHED_FRAMES * np.maximum(1.0, 0.55 * np.diff(_BAND_EDGES))
    return np.asarray((1 - 1 / (9 * shape) + NOISE_QUANTILE_Z / (3 * np.sqrt(shape))) ** 3)


_BIAS = _quantile_bias()


def estimate_snr(samples: Samples) -> float | None:
    """Estimate the speech-to-noise ratio in dB: mean power of speech-active frames over the power of the noise.

    The noise is the sum over 24 mel bands of the 10 % quantile of each band's power over time (Martin's minimum
    statistics, 2001, in short): speech leaves every band now and then, even in recordings without pauses. Active frames
    lie within 25 dB of the loud ones and above the noise. On 16 real clips with noise added at 5 to 15 dB the mean
    error was between -1 and +2 dB for white and pink noise (standard deviation 1 dB), up to +4 dB for babble at 5 dB.

    Args:
        samples: float32 (num_samples,) at `SAMPLE_RATE`.

    Returns:
        dB within `SNR_RANGE_DB`; None for clips under a quarter of a second or without any sound.
    """
    if len(samples) < SAMPLE_RATE // 4:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * _WINDOW, axis=1)) ** 2
    bands = np.add.reduceat(power, _BAND_EDGES[:-1], axis=1)[:, : len(_BIAS)]
    total = bands.sum(axis=1)
    if not total.any():
        return None
    sums = np.cumsum(np.vstack([np.zeros((1, bands.shape[1])), bands]), axis=0)
    smoothed = (sums[SMOOTHED_FRAMES:] - sums[:-SMOOTHED_FRAMES]) / SMOOTHED_FRAMES
    noise = float((np.quantile(np.maximum(smoothed, 0.0), 0.1, axis=0) / _BIAS).sum())
    active = total[total > max(float(np.quantile(total, 0.95)) * 10**-2.5, 1.2 * noise)]
    if not len(active):
        return SNR_RANGE_DB[0]
    ratio = float(active.mean()) / max(noise, 1e-12) - 1.0
    return float(np.clip(10 * np.log10(max(ratio, 1e-9)), *SNR_RANGE_DB))
