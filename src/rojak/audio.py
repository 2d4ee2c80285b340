"""Decode, encode and measure recordings: any common file in, 16 kHz mono float32 or 16-bit FLAC out.

Reads WAV, FLAC, MP3, OGG through libsndfile and the rest (M4A, WebM …) through PyAV. Knows neither records nor torch.
Every limit is enforced on what is really read, never on what a header claims.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

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
        cut: True when the recording goes on after the `max_seconds` that were read.
        claimed_s: Seconds that the header (or the wanted piece) should have, None when unknown. May be a lie.
        clipped_share: Share of the samples in the file that are flattened at its loudest value.
    """

    samples: Samples
    original_rate: int
    original_channels: int
    cut: bool = False
    claimed_s: float | None = None
    clipped_share: float = 0.0

    @property
    def duration_s(self) -> float:
        """Seconds of decoded sound."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class _Frames:
    """What a decoder gives: sound of shape (frames, channels) at the file's own rate."""

    values: Samples
    rate: int
    cut: bool
    claimed_s: float | None


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


def decode_audio(
    source: Path | bytes,
    *,
    max_seconds: float = MAX_SECONDS,
    start_s: float = 0.0,
    length_s: float | None = None,
    name: str | None = None,
    max_decoded_bytes: int | None = None,
) -> Waveform:
    """Decode a recording, or a piece of it, to 16 kHz mono float32.

    Args:
        source: A file, or the bytes of one.
        max_seconds: Stop reading after this much sound and set `Waveform.cut`.
        start_s: Where a piece begins.
        length_s: Length of the piece; None reads to the end. A piece is read from a large file without the rest.
        name: What error messages call the recording; by default the file's name.
        max_decoded_bytes: Most memory for its sound at its own rate and channels; a small file can hold very much.

    Raises:
        AudioError: Nothing decodes it, it is larger than allowed, or it holds values that are no numbers.
        OSError: The file is missing or not readable.
    """
    name = name or (source.name if isinstance(source, Path) else "audio")
    if isinstance(source, Path) and length_s is None:
        source = read_audio_bytes(source)
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        if not file.read(1):
            raise AudioError(f"{name}: the file is empty (0 bytes).")
        file.seek(0)
        wanted_s = min(max_seconds, length_s or max_seconds)
        frames = _decode(file, start_s, wanted_s, _Limit(name, max_decoded_bytes))
    mono = frames.values[:, 0] if frames.values.shape[1] == 1 else frames.values.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise AudioError(f"{name}: holds samples that are not numbers (NaN or infinite).")
    if frames.rate != SAMPLE_RATE and len(mono):
        mono = soxr.resample(mono, frames.rate, SAMPLE_RATE, quality="HQ")
    return Waveform(
        np.ascontiguousarray(mono),
        frames.rate,
        frames.values.shape[1],
        frames.cut if length_s is None else length_s > max_seconds,
        frames.claimed_s if length_s is None else length_s,
        clipped_share(frames.values),
    )


class _Limit:
    """Holds a decoder to what may be read of the recording `name`, block by block."""

    def __init__(self, name: str, max_bytes: int | None) -> None:
        self.name, self.max_bytes, self._bytes = name, max_bytes, 0

    def check_claims(self, rate: int, num_channels: int) -> None:
        if not 0 < rate <= MAX_RATE or not 0 < num_channels <= MAX_CHANNELS:
            claims = f"claims {rate} Hz and {num_channels} channels"
            raise AudioError(f"{self.name}: {claims}, at most {MAX_RATE} Hz and {MAX_CHANNELS} are read.")

    def count(self, block: Samples) -> Samples:
        self._bytes += block.nbytes
        if self.max_bytes is not None and self._bytes > self.max_bytes:
            size = f"{self.max_bytes / 2**20:.0f} MiB"
            raise AudioError(f"{self.name}: holds more than {size} of sound once decoded; resample it or cut it.")
        return block


def _decode(file: BinaryIO, start_s: float, wanted_s: float, limit: _Limit) -> _Frames:
    try:
        return _decode_with_soundfile(file, start_s, wanted_s, limit)
    except soundfile.LibsndfileError as error:
        # The texts of codes 2 and 7 speak of files that do not exist, which nobody asked for.
        reason = "no format that it knows." if error.code in (2, 7) else str(error.error_string)
        file.seek(0)
        return _decode_with_av(file, start_s, wanted_s, _Limit(limit.name, limit.max_bytes), reason)


class _Clamped:
    """A file on which seeking before the start goes to the start.

    Broken headers make libsndfile ask for that inside a callback, where Python can only print the error.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read, self.tell = file.read, file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(max(0, offset) if whence == 0 else offset, whence)


def _decode_with_soundfile(file: BinaryIO, start_s: float, wanted_s: float, limit: _Limit) -> _Frames:
    """Read block by block, so that a header that claims hours allocates nothing."""
    with soundfile.SoundFile(_Clamped(file)) as sound:
        rate = sound.samplerate
        limit.check_claims(rate, sound.channels)
        claimed_s = sound.frames / rate if 0 < sound.frames < 2**62 else None
        if start_s:
            sound.seek(min(round(start_s * rate), sound.frames))
        wanted = round(wanted_s * rate)
        blocks = [np.zeros((0, sound.channels), np.float32)]
        num_frames = 0
        while num_frames <= wanted:
            block = sound.read(min(BLOCK_FRAMES, wanted + 1 - num_frames), dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(limit.count(block))
            num_frames += len(block)
    return _Frames(np.concatenate(blocks)[:wanted], rate, num_frames > wanted, claimed_s)


def _decode_with_av(file: BinaryIO, start_s: float, wanted_s: float, limit: _Limit, first_error: str) -> _Frames:
    """Read through FFmpeg's libraries, for what libsndfile does not know or gives up on."""
    import av

    name = limit.name
    try:
        with av.open(file, options={"format_whitelist": AV_FORMATS}) as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: holds no audio stream.")
            stream: Any = container.streams.audio[0]
            if stream.codec_context is None:
                raise AudioError(f"{name}: its audio has a codec that nothing here decodes.")
            rate, num_channels = int(stream.rate or 0), int(stream.codec_context.channels)
            limit.check_claims(rate, num_channels)
            claimed_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
            first, last = round(start_s * rate), round((start_s + wanted_s) * rate) + 1
            at, blocks = 0, [np.zeros((0, num_channels), np.float32)]
            resampler: Any = av.AudioResampler(format="flt", layout=stream.codec_context.layout, rate=rate)
            try:
                for frame in container.decode(stream):
                    for part in resampler.resample(frame):
                        values = part.to_ndarray().reshape(-1, num_channels)
                        blocks.append(limit.count(values[max(0, first - at) : max(0, last - at)]))
                        at += len(values)
                    if at >= last:
                        break
            except av.error.FFmpegError:
                if not at or claimed_s is None:  # otherwise the claim tells that the file ends early
                    raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{name}: cannot be decoded (libsndfile: {first_error} FFmpeg: {reason}).") from None
    if not at:
        raise AudioError(f"{name}: holds no sound that can be decoded.")
    values = np.concatenate(blocks)
    return _Frames(values[: last - 1 - first], rate, len(values) > last - 1 - first, claimed_s)


def clipped_share(channels: Samples) -> float:
    """Give the share of samples that are flattened at the loudest value: runs of three or more, or beyond full scale.

    Args:
        channels: float32 (frames, channels) at the file's own rate; resampling would round the corners.
    """
    if not len(channels):
        return 0.0
    loud = np.abs(channels)
    peak = float(loud.max())
    if peak < 1e-3 or not np.isfinite(peak):
        return 0.0
    flat = loud >= 0.9995 * peak
    runs = flat[:-2] & flat[1:-1] & flat[2:] if len(flat) > 2 else flat[:0]
    beyond = (loud >= 1.0).mean() if peak > 1.0 else 0.0
    return float(max(runs.sum() / flat.size, beyond))


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
    try:
        info = soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError:  # of a kind that only FFmpeg reads, such as 32 bits
        return False
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
        dB within `SNR_RANGE_DB`; None for clips under a second, which may hold no moment without speech in any band,
        and for clips without any sound.
    """
    if len(samples) < SAMPLE_RATE:
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
