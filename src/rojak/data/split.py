"""Find duplicates and divide clips into train, validation and test, no speaker in two. Reads and writes no files."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from rojak.data.checks import Fault
from rojak.records import SPLITS, Split

MAX_SWAPPED_SPEAKERS = 500
"""With more speakers than this, placing them one by one is balanced enough."""

MAX_SWAPS = 200

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What duplicates, splits and statistics need to know of a clip; small, because one is kept for every clip.

    `cut_from` is the recording of which it is a piece. `text` is kept only where long recordings are cut, to count the
    label tokens of the pieces.
    """

    audio_id: str
    duration: float
    speaker_id: str | None = None
    cut_from: str | None = None
    language: str | None = None
    quality_score: int | None = None
    split: Split | None = None
    is_mixed: bool = False
    has_particles: bool = False
    sound_hash: bytes = b""
    sentence_hash: bytes = b""
    audio_filepath: str = ""
    where: str = ""
    text: str = ""


def find_duplicates(clips: Sequence[ClipFacts]) -> dict[int, Fault]:
    """Find clips whose sound is there already, and those that would leak from the given evaluation splits into others.

    Of equal clips the one in test stays, then validation, then train, then the first of the corpus, so that cleaning
    does not shrink what is measured on.

    Returns:
        Position of every clip to refuse, with the fault.
    """
    rank = {"test": 0, "validation": 1}
    order = sorted(range(len(clips)), key=lambda i: (rank.get(clips[i].split or "", 2), i))
    sounds: dict[bytes, ClipFacts] = {}
    sentences: dict[tuple[str, bytes], ClipFacts] = {}
    faults: dict[int, Fault] = {}
    for index in order:
        clip = clips[index]
        same = sounds.setdefault(clip.sound_hash, clip) if clip.sound_hash else clip
        if same is not clip:
            detail = f"The same sound as {same.audio_id!r}" + (f" in {same.split}." if same.split else ".")
            faults[index] = Fault("duplicate_audio" if same.split == clip.split else "audio_in_two_splits", detail)
            continue
        if clip.speaker_id and clip.split and clip.sentence_hash:
            same = sentences.setdefault((clip.speaker_id, clip.sentence_hash), clip)
            if same.split != clip.split:
                detail = f"Speaker {clip.speaker_id!r} says the same in {same.audio_id!r} in {same.split}."
                faults[index] = Fault("sentence_in_two_splits", detail)
    return faults


def assign_splits(
    clips: Sequence[ClipFacts], *, validation_share: float, test_share: float, seed: int
) -> tuple[list[Split], list[str]]:
    """Give every clip a split: kept where the corpus gave one, otherwise speaker-disjoint and balanced.

    Where a corpus gives `train` and no `validation`, which training cannot do without, what is missing is divided off
    from its clips of `train`.

    Speakers are placed from the longest to the shortest into the split that most lacks what they bring: hours, hours of
    each language, of mixed sentences, of sentences with particles, and of each quality; then they are exchanged as long
    as that helps. With a speaker for each split no wanted one stays empty. Without speakers, pieces of one recording
    count as one, and any other clip as a speaker of its own. With too few speakers, sentences are divided instead.
    Notes tell of it.

    Args:
        clips: In the corpus's order, which does not matter for who goes where.
        validation_share: Share of the hours, 0 for none.
        test_share: Likewise.
        seed: Breaks ties between speakers of equal hours.

    Returns:
        One split a clip, and sentences about what the user should know.
    """
    if not clips:
        return [], []
    wanted: dict[Split, float] = {"validation": validation_share, "test": test_share}
    if any(clip.split for clip in clips):
        given: list[Split] = [clip.split or "train" for clip in clips]
        notes = _notes_on_given(clips, given)
        missing = {split: share for split, share in wanted.items() if split not in given and share > 0}
        if "validation" not in missing:
            return given, notes
        rest = [index for index, split in enumerate(given) if split == "train"]
        if rest and missing:
            divided, more = _divide([clips[index] for index in rest], missing, seed)
            for index, split in zip(rest, divided, strict=True):
                given[index] = split
            notes += [f"The corpus gives no {' and no '.join(missing)}: divided off from its train.", *more]
        return given, notes
    return _divide(clips, wanted, seed)


def _divide(clips: Sequence[ClipFacts], wanted: dict[Split, float], seed: int) -> tuple[list[Split], list[str]]:
    """Divide clips by speaker into the wanted splits and train, which gets the rest."""
    # A nameless piece goes with a speaker who is named in the same recording: it may be that one.
    named = sorted((clip.cut_from, clip.speaker_id) for clip in clips if clip.cut_from and clip.speaker_id)
    owners = dict(named)
    heard = [clip.speaker_id or owners.get(clip.cut_from or "") for clip in clips]
    speakers = [f"s:{who}" if who else f"c:{c.cut_from or c.audio_id}" for c, who in zip(clips, heard, strict=True)]
    notes = []
    nameless = sum(not clip.speaker_id for clip in clips)
    parts = 1 + sum(share > 0 for share in wanted.values())
    if len(set(speakers)) < parts:
        notes.append(f"{len(set(speakers))} speaker(s) cannot be divided into {parts} splits: they share speakers.")
        speakers = [clip.sentence_hash.hex() or clip.audio_id for clip in clips]
    elif nameless:
        notes.append(f"{nameless} clip(s) name no speaker_id, so the splits may share speakers.")
    shares: dict[Split, float] = {"train": 1 - sum(wanted.values()), **wanted}
    seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for speaker, clip in zip(speakers, clips, strict=True):
        for stratum in _strata(clip):
            seconds[speaker][stratum] += clip.duration
    placed = _place(seconds, {split: share for split, share in shares.items() if share > 0}, seed)
    return [placed[speaker] for speaker in speakers], notes


def _strata(clip: ClipFacts) -> list[str]:
    """What a clip counts towards; "" is the hours themselves."""
    strata = ["", f"language {clip.language}", f"quality {clip.quality_score}"]
    return strata + ["mixed"] * clip.is_mixed + ["particles"] * clip.has_particles


def _place(seconds: dict[str, dict[str, float]], shares: dict[Split, float], seed: int) -> dict[str, Split]:
    """Place speakers so that the sum of squared deviations from the wanted seconds, relative to a stratum's, is small.

    Hours count as much as all other strata together. Adding v to a split that lacks l changes its deviation by
    v² - 2·v·l, and v² is the same for every split; so each speaker goes where Σ v·l is largest.
    """
    splits = [split for split in SPLITS if split in shares]
    speakers = sorted(
        seconds, key=lambda s: (-round(seconds[s][""], 3), hashlib.blake2b(f"{seed}|{s}".encode()).digest())
    )
    strata = sorted({name for brought in seconds.values() for name in brought})
    brings = np.array([[seconds[speaker].get(name, 0.0) for name in strata] for speaker in speakers])
    brings /= brings.sum(axis=0)
    brings[:, strata.index("")] *= np.sqrt(max(1, len(strata) - 1))
    lacks = np.outer([shares[split] for split in splits], brings.sum(axis=0))  # (splits, strata)
    chosen = np.zeros(len(speakers), int)
    empty = set(range(len(splits)))
    for row, brought in enumerate(brings):
        must_fill = len(speakers) - row <= len(empty)
        choices = sorted(empty) if must_fill else list(range(len(splits)))
        chosen[row] = max(choices, key=lambda s: float(lacks[s] @ brought))
        lacks[chosen[row]] -= brought
        empty.discard(int(chosen[row]))
    if len(speakers) <= MAX_SWAPPED_SPEAKERS:
        _swap(brings, chosen, lacks)
    return {speaker: splits[number] for speaker, number in zip(speakers, chosen, strict=True)}


def _swap(brings: Floats, chosen: npt.NDArray[np.int_], lacks: Floats) -> None:
    """Exchange speakers of two splits as long as that lowers the deviation; changes `chosen` and `lacks` in place.

    Args:
        brings: (speakers, strata), what each brings.
        chosen: (speakers,), the split of each.
        lacks: (splits, strata), what each split lacks; negative where it has too much.
    """
    for _ in range(MAX_SWAPS):
        best = (-1e-9, 0, 0)
        for one, other in combinations(range(len(lacks)), 2):
            here, there = np.flatnonzero(chosen == one), np.flatnonzero(chosen == other)
            if not len(here) or not len(there):
                continue  # with two clips, one of three splits stays empty
            gain = brings[there][None] - brings[here][:, None]  # what `one` gains and `other` loses
            change = 2 * (gain * (gain - (lacks[one] - lacks[other]))).sum(axis=2)
            place = np.unravel_index(np.argmin(change), change.shape)
            if change[place] < best[0]:
                best = (float(change[place]), int(here[place[0]]), int(there[place[1]]))
        if not best[0] < -1e-9:
            return
        _, first, second = best
        gain = brings[second] - brings[first]
        lacks[chosen[first]] -= gain
        lacks[chosen[second]] += gain
        chosen[first], chosen[second] = chosen[second], chosen[first]


def _notes_on_given(clips: Sequence[ClipFacts], splits: Sequence[Split]) -> list[str]:
    notes = []
    missing = sum(clip.split is None for clip in clips)
    if missing:
        notes.append(f"{missing} clip(s) without a split went to train, because others have one.")
    places: dict[str, set[Split]] = defaultdict(set)
    for clip, split in zip(clips, splits, strict=True):
        if clip.speaker_id:
            places[clip.speaker_id].add(split)
    shared = sorted(speaker for speaker, found in places.items() if len(found) > 1)
    if shared:
        shown = ", ".join(shared[:5]) + (" …" if len(shared) > 5 else "")
        notes.append(f"{len(shared)} speaker(s) are in more than one of the given splits: {shown}.")
    return notes
