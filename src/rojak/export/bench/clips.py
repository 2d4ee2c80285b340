"""The sound that every system of a benchmark hears: sets of clips by length, cut from prepared data.

Reads prepared shards, or makes a little synthetic speech where none are given; writes nothing that stays.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rojak.audio import SAMPLE_RATE, Samples
from rojak.data.dataset import Dataset, prompt_language
from rojak.errors import InputError
from rojak.records import SPLITS

GAP_S = 0.4
"""Silence between utterances that are laid end to end."""
SINGLE_S = 8.0
"""Up to this length a clip is one utterance, beyond it several."""
MADE_HOURS = 0.05


@dataclass(frozen=True)
class BenchClip:
    """A clip and what is said in it; None where it was cut within words."""

    samples: Samples = field(repr=False)
    reference: str | None

    @property
    def duration_s(self) -> float:
        """Seconds of sound."""
        return len(self.samples) / SAMPLE_RATE


def num_clips(length_s: float, most: int) -> int:
    """Give how many clips of a length are heard: `most` short ones, fewer long ones, one of ten minutes."""
    return max(1, min(most, round(most * 15 / length_s)))


def make_clips(
    data_dir: Path | None, lengths_s: Sequence[float], most: int, seed: int, language: str
) -> dict[float, list[BenchClip]]:
    """Make a set of clips of about each length.

    Args:
        data_dir: Folder written by `rojak prepare`; None makes three minutes of synthetic speech.
        lengths_s: Wanted lengths; clips of whole utterances are up to a tenth shorter.
        most: Clips of each short length.
        seed: Which utterances.
        language: Only utterances mainly in this language, which is prompted, where there are any: a wrong prompt makes
            models ramble, and then rambling is measured.

    Raises:
        InputError: The data holds nothing.
    """
    if data_dir is not None:
        return _cut(data_dir, lengths_s, most, seed, language)
    from rojak.data.prepare import prepare
    from rojak.data.synthesize import synthesize

    with tempfile.TemporaryDirectory(prefix="rojak-bench-") as folder:
        synthesize(Path(folder) / "corpus", MADE_HOURS, seed, show_progress=False)
        prepare(Path(folder) / "corpus", Path(folder) / "data")
        return _cut(Path(folder) / "data", lengths_s, most, seed, language)


def _cut(
    data_dir: Path, lengths_s: Sequence[float], most: int, seed: int, language: str
) -> dict[float, list[BenchClip]]:
    data = Dataset(data_dir, tuple(split for split in SPLITS if any((data_dir / "data").glob(f"{split}-*"))))
    if not len(data):
        raise InputError(f"{data_dir} holds no clips; give a folder written by `rojak prepare`.")
    rng = np.random.default_rng(seed)
    spoken = [i for i, u in enumerate(data.utterances) if prompt_language(u, "matrix") == language]
    chosen = spoken or list(range(len(data)))
    sets = {}
    for length_s in lengths_s:
        count = num_clips(length_s, most)
        if length_s <= SINGLE_S:
            sets[length_s] = [_single(data, i, length_s) for i in _nearest(data, chosen, length_s, count)]
        else:
            sets[length_s] = [_joined(data, chosen, length_s, rng) for _ in range(count)]
    return sets


def _nearest(data: Dataset, chosen: Sequence[int], length_s: float, count: int) -> list[int]:
    """Give the utterances whose lengths are nearest, again from the front where there are too few."""
    order = sorted(chosen, key=lambda i: abs(data.utterances[i].duration - length_s))
    return [order[number % len(order)] for number in range(count)]


def _single(data: Dataset, index: int, length_s: float) -> BenchClip:
    samples, utterance = data.read_audio(index), data.utterances[index]
    if utterance.duration <= 1.25 * length_s:
        return BenchClip(samples, utterance.text)
    start = round((utterance.duration - length_s) / 2 * SAMPLE_RATE)
    return BenchClip(samples[start : start + round(length_s * SAMPLE_RATE)], None)


def _joined(data: Dataset, chosen: Sequence[int], length_s: float, rng: np.random.Generator) -> BenchClip:
    """Lay whole utterances end to end as long as they fit; short data is repeated in another order."""
    pieces: list[Samples] = []
    texts: list[str] = []
    total_s = 0.0
    gap = np.zeros(round(GAP_S * SAMPLE_RATE), np.float32)
    has_room = True
    while has_room and total_s < 0.9 * length_s:
        has_room = False
        for index in map(int, rng.permutation(chosen)):
            utterance = data.utterances[index]
            if total_s + utterance.duration <= length_s:
                pieces += [data.read_audio(index), gap]
                texts.append(utterance.text)
                total_s += utterance.duration + GAP_S
                has_room = True
    if not pieces:
        raise InputError(f"No utterance of the data is shorter than {length_s:g} s; give other data or lengths.")
    return BenchClip(np.concatenate(pieces[:-1]), " ".join(texts))
