"""Divide clips into train, validation and test so that no speaker is in two of them. Reads and writes no files."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rojak.records import SPLITS, Split


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What splitting and statistics need to know of a clip; small, because one is kept for every clip of a corpus."""

    audio_id: str
    duration: float
    speaker_id: str | None = None
    language: str | None = None
    quality_score: int | None = None
    split: Split | None = None
    sound_hash: bytes = b""


def assign_splits(
    clips: Sequence[ClipFacts], *, validation_share: float, test_share: float, seed: int
) -> tuple[list[Split], list[str]]:
    """Give every clip a split: kept where the corpus gave one, otherwise speaker-disjoint by hours.

    Speakers are placed from the longest to the shortest into the split that lacks most hours; with three speakers or
    more no wanted split stays empty. A clip without a speaker counts as a speaker of its own. With fewer speakers the
    clips themselves are divided and a note says so.

    Args:
        clips: In the corpus's order, which does not matter for who goes where.
        validation_share: Share of the hours, 0 for none.
        test_share: Likewise.
        seed: Breaks ties between speakers of equal hours.

    Returns:
        One split a clip, and sentences about what the user should know.
    """
    if any(clip.split for clip in clips):
        given: list[Split] = [clip.split or "train" for clip in clips]
        return given, _notes_on_given(clips, given)
    speakers = [f"s:{c.speaker_id}" if c.speaker_id else f"c:{c.audio_id}" for c in clips]
    notes = []
    if len(set(speakers)) < 3:
        notes.append(f"{len(set(speakers))} speaker(s) cannot be divided into three: the splits share speakers.")
        speakers = [clip.audio_id for clip in clips]
    hours: dict[str, float] = defaultdict(float)
    for speaker, clip in zip(speakers, clips, strict=True):
        hours[speaker] += clip.duration
    shares: dict[Split, float] = {
        "train": 1 - validation_share - test_share,
        "validation": validation_share,
        "test": test_share,
    }
    placed = _place(hours, {split: share for split, share in shares.items() if share > 0}, seed)
    return [placed[speaker] for speaker in speakers], notes


def _place(hours: dict[str, float], shares: dict[Split, float], seed: int) -> dict[str, Split]:
    total = sum(hours.values())
    lacking = {split: share * total for split, share in shares.items()}
    empty = set(lacking)
    placed: dict[str, Split] = {}
    order = sorted(hours, key=lambda s: (-round(hours[s], 3), hashlib.blake2b(f"{seed}|{s}".encode()).digest()))
    for number, speaker in enumerate(order):
        must_fill = len(order) - number <= len(empty)
        choices = [split for split in SPLITS if split in (empty if must_fill else lacking)]
        split = max(choices, key=lambda s: lacking[s])
        placed[speaker] = split
        lacking[split] -= hours[speaker]
        empty.discard(split)
    return placed


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
