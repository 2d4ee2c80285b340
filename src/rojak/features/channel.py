"""Bands and codecs that speech goes through: the telephone, mobile telephones, lossy files.

Takes and gives float32 mono 16 kHz arrays of the same length; encodes in memory and reads no files.
"""

import io
from collections.abc import Callable

import numpy as np
import soundfile
import soxr

from rojak.audio import SAMPLE_RATE, Samples

TELEPHONE_RATE = 8_000
TELEPHONE_BAND_HZ = (300.0, 3400.0)
MU = 255.0
_LOWEST_QUALITY = 0.95
"""Of libsndfile's scale, on which 1 is the smallest file."""


def telephone(samples: Samples) -> Samples:
    """Send speech over a fixed line: 300–3400 Hz, 8 kHz, 8 bits by the mu-law (ITU-T G.711)."""
    narrow = _band(soxr.resample(samples, SAMPLE_RATE, TELEPHONE_RATE))
    companded = np.sign(narrow) * np.log1p(MU * np.minimum(np.abs(narrow), 1.0)) / np.log1p(MU)
    coded = np.round(companded * 127) / 127
    expanded = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(MU)) / MU
    return _fit(soxr.resample(expanded.astype(np.float32), TELEPHONE_RATE, SAMPLE_RATE), len(samples))


def gsm(samples: Samples) -> Samples:
    """Send speech over a mobile telephone: 300–3400 Hz, 8 kHz, GSM 06.10 full rate at 13 kbit/s."""
    narrow = _band(soxr.resample(samples, SAMPLE_RATE, TELEPHONE_RATE))
    heard = _through(narrow, TELEPHONE_RATE, "WAV", "GSM610")
    return _fit(soxr.resample(heard, TELEPHONE_RATE, SAMPLE_RATE), len(samples))


def mp3(samples: Samples) -> Samples:
    """Keep speech as a small MP3."""
    return _fit(_through(samples, SAMPLE_RATE, "MP3", "MPEG_LAYER_III"), len(samples))


def ogg(samples: Samples) -> Samples:
    """Keep speech as a small Ogg Vorbis file."""
    return _fit(_through(samples, SAMPLE_RATE, "OGG", "VORBIS"), len(samples))


CHANNELS: dict[str, Callable[[Samples], Samples]] = {"telephone": telephone, "gsm": gsm, "mp3": mp3, "ogg": ogg}


def _band(narrow: Samples) -> Samples:
    spectrum = np.fft.rfft(narrow)
    hertz = np.fft.rfftfreq(len(narrow), 1 / TELEPHONE_RATE)
    spectrum[(hertz < TELEPHONE_BAND_HZ[0]) | (hertz > TELEPHONE_BAND_HZ[1])] = 0.0
    return np.fft.irfft(spectrum, len(narrow)).astype(np.float32)


def _through(samples: Samples, rate: int, container: str, codec: str) -> Samples:
    """Encode and decode; what is beyond full scale is brought back to its level after."""
    peak = max(float(np.abs(samples).max(initial=0.0)), 1.0)
    buffer = io.BytesIO()
    quality = {} if codec == "GSM610" else {"compression_level": _LOWEST_QUALITY}
    soundfile.write(buffer, samples / peak, rate, format=container, subtype=codec, **quality)
    buffer.seek(0)
    heard, _ = soundfile.read(buffer, dtype="float32")
    return np.asarray(heard * np.float32(peak), dtype=np.float32)


def _fit(samples: Samples, num_samples: int) -> Samples:
    """Cut what a codec added at the end, or fill what it lost with silence."""
    return np.pad(samples[:num_samples], (0, max(0, num_samples - len(samples)))).astype(np.float32)
