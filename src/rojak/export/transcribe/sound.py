"""Read recordings of any length as 16 kHz mono, and find the recordings that a user means.

Reads audio files; writes nothing.
"""

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rojak.audio import AV_FORMATS, MAX_SECONDS, SAMPLE_RATE, Samples, decode_audio
from rojak.data.sources import AUDIO_SUFFIXES
from rojak.errors import AudioError, InputError

SMALL_BYTES = 64 * 1024 * 1024
"""Up to here a file is decoded whole, exactly as training and evaluation decode it."""
SMALL_SECONDS = 1800.0


@dataclass(frozen=True)
class Recording:
    """An audio file and its name without suffix, relative to where it was looked for; outputs are named after that."""

    path: Path
    stem: str


def find_recordings(wanted: Sequence[str]) -> list[Recording]:
    """Give the recordings under files, folders (searched whole) and patterns such as `calls/**/*.mp3`, each once.

    Raises:
        InputError: Something named does not exist or holds no audio, or two recordings would share an output's name.
    """
    found: dict[Path, str] = {}
    for name in wanted:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
            if not inside:
                raise InputError(
                    f"{name}: no audio in this folder; recognised are {', '.join(sorted(AUDIO_SUFFIXES))}."
                )
            matches = {file: file.relative_to(path).as_posix() for file in inside}
        elif path.exists():
            matches = {path: path.name}
        else:
            files = sorted(Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207 - keeps the root
            matches = {file: file.name for file in files if file.is_file()}
            if not matches:
                raise InputError(f"{name}: no such file, folder or pattern; check the spelling of the path.")
        found |= {file: short for file, short in matches.items() if file not in found}
    return _name(found)


def _name(found: dict[Path, str]) -> list[Recording]:
    """Leave the suffix out of names where that tells recordings apart."""
    bare = [short[: -len(path.suffix)] if path.suffix else short for path, short in found.items()]
    times = Counter(bare)
    taken: dict[str, Path] = {}
    recordings = []
    for (path, short), stem in zip(found.items(), bare, strict=True):
        name = stem if times[stem] == 1 else short
        other = taken.setdefault(name, path)
        if other != path:
            raise InputError(f"{other} and {path} would have outputs of the same name; transcribe them one by one.")
        recordings.append(Recording(path, name))
    return recordings


def read_recording(path: Path) -> Samples:
    """Decode a recording to float32 (num_samples,) at 16 kHz; long ones without holding them at their own rate.

    Raises:
        AudioError: It cannot be decoded, or is longer than a day.
        OSError: Missing or not readable.
    """
    if path.stat().st_size <= SMALL_BYTES:
        waveform = decode_audio(path, max_seconds=SMALL_SECONDS)
        if not waveform.cut:
            return waveform.samples
    return _read_long(path)


def _read_long(path: Path) -> Samples:
    """Decode and resample piece by piece: 230 MB an hour, whatever the file's rate and channels."""
    import av

    blocks: list[Samples] = []
    num_samples = 0
    resampler: Any = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    try:
        with av.open(str(path), options={"format_whitelist": AV_FORMATS}) as container:
            if not container.streams.audio:
                raise AudioError(f"{path.name}: holds no audio stream.")
            for frame in container.decode(container.streams.audio[0]):
                for part in resampler.resample(frame):
                    blocks.append(part.to_ndarray().reshape(-1))
                    num_samples += len(blocks[-1])
                if num_samples > MAX_SECONDS * SAMPLE_RATE:
                    raise AudioError(f"{path.name}: longer than {MAX_SECONDS / 3600:g} h; cut it into parts.")
            blocks += [part.to_ndarray().reshape(-1) for part in resampler.resample(None)]
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{path.name}: cannot be decoded (FFmpeg: {reason}).") from None
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not np.isfinite(samples).all():
        raise AudioError(f"{path.name}: holds samples that are not numbers (NaN or infinite).")
    return samples
