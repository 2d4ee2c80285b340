"""Lay the clips of one optimiser step into encoder windows and micro-batches.

Whisper looks at 30 s whatever the clip's length, so a 4-second clip costs seven times what it holds. Three ways out:

    pad    every clip alone in 30 s, as everybody does; the reference
    trim   every clip alone, the window cut to its length
    pack   clips end to end in windows of at most `pack_seconds` (30), the same speaker first

`mixed` trims a share of the clips and packs the rest. Which clips a step sees is not decided here, and the loss is a
mean over the step's label tokens, so how windows are cut into micro-batches changes speed and memory, never the result.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rojak.config.schema import WindowsConfig
from rojak.features.mel import WINDOW_SECONDS

GRID_S = 0.32
"""Trimmed windows end on this grid (16 encoder positions), so that few different shapes occur."""
OVERHEAD_S = 8.0
"""Cost of one more micro-batch in padded audio seconds; weighs launches against padding when a step is cut."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What the planner knows of an utterance: its place in the data, seconds, speaker and label tokens."""

    index: int
    duration: float
    speaker_id: str
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Window:
    """Clips laid end to end from second 0, and the seconds that the encoder sees; without clips, one without speech.

    `timestamps` asks for times in the labels, `previous_text` for the text of an earlier clip before them; `sound_seed`
    decides what a window without speech sounds like.
    """

    clips: tuple[Clip, ...]
    length_s: float
    timestamps: bool = False
    previous_text: bool = False
    sound_seed: int = 0

    @property
    def speech_s(self) -> float:
        """Seconds of the window that hold a clip."""
        return sum(clip.duration for clip in self.clips)


def padded_seconds(batch: Sequence[Window]) -> float:
    """Seconds that the encoder computes for a micro-batch: every window as long as the longest."""
    return len(batch) * max(window.length_s for window in batch)


def plan_step(
    clips: Sequence[Clip],
    config: WindowsConfig,
    max_batch_s: float,
    max_tokens: int,
    rng: np.random.Generator,
    num_processes: int = 1,
) -> list[list[Window]]:
    """Cut the clips of one optimiser step into micro-batches of windows.

    Args:
        clips: The step's clips; each appears in exactly one window.
        config: Mode and shares.
        max_batch_s: Limit on `padded_seconds` of a micro-batch; a single window may exceed it.
        max_tokens: Limit on the label tokens of a packed window.
        rng: Decides which clips are packed, which windows keep timestamps, and which have no speech.
        num_processes: Processes among which the step will be divided; micro-batches get small enough to go round.
    """
    order = [clips[i] for i in rng.permutation(len(clips))]
    trim_share = {"pad": 1.0, "trim": 1.0, "pack": 0.0, "mixed": config.trim_share}[config.mode]
    num_alone = round(trim_share * len(order))
    alone = [_alone(clip, full=config.mode == "pad") for clip in order[:num_alone]]
    packed = [
        Window(group, on_grid(sum(c.duration for c in group)), bool(rng.random() < config.timestamp_share))
        for group in _pack(order[num_alone:], config.pack_seconds, max_tokens)
    ]
    if config.previous_text_share:
        alone, packed = (_with_previous_text(part, config.previous_text_share, rng) for part in (alone, packed))
    if config.nonspeech_share:
        rate = config.nonspeech_share / (1 - config.nonspeech_share)
        for _ in range(int(rng.poisson(rate * (len(alone) + len(packed))))):
            own, full = (alone, config.mode == "pad") if rng.random() < trim_share else (packed, True)
            own.append(_without_speech(rng, full=full))
    if num_processes > 1:
        longest = max(window.length_s for window in (*alone, *packed))
        total_s = sum(window.length_s for window in (*alone, *packed))
        max_batch_s = min(max_batch_s, max(longest, 1.1 * total_s / num_processes))
    return _cut(alone, max_batch_s) + _cut(packed, max_batch_s)


def deal(micro_batches: Sequence[Sequence[Window]], count: int) -> list[list[int]]:
    """Deal a step's micro-batches to `count` processes, the longest first to the one with least to do (Graham, 1969).

    Returns:
        The numbers of each process's micro-batches; a process may get none.
    """
    hands: list[list[int]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for number in sorted(range(len(micro_batches)), key=lambda n: -padded_seconds(micro_batches[n])):
        least = loads.index(min(loads))
        hands[least].append(number)
        loads[least] += padded_seconds(micro_batches[number])
    return [sorted(hand) for hand in hands]


def _with_previous_text(windows: Sequence[Window], share: float, rng: np.random.Generator) -> list[Window]:
    return [replace(window, previous_text=bool(rng.random() < share)) for window in windows]


def _without_speech(rng: np.random.Generator, *, full: bool) -> Window:
    length_s = WINDOW_SECONDS if full else on_grid(float(rng.uniform(1.0, 10.0)))
    return Window((), length_s, sound_seed=int(rng.integers(2**31)))


def on_grid(seconds: float) -> float:
    """Give the length of a window that holds so many seconds."""
    return min(WINDOW_SECONDS, math.ceil(round(seconds / GRID_S, 6)) * GRID_S)


def _alone(clip: Clip, *, full: bool) -> Window:
    return Window((clip,), WINDOW_SECONDS if full else on_grid(clip.duration))


def _pack(clips: Sequence[Clip], max_s: float, max_tokens: int) -> list[tuple[Clip, ...]]:
    """Fill windows with clips of one speaker, then put what is left of several speakers together."""
    by_speaker: dict[str, list[tuple[Clip, ...]]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker_id, []).append((clip,))
    filled = [group for own in by_speaker.values() for group in _first_fit(own, max_s, max_tokens)]
    return _first_fit(filled, max_s, max_tokens)


def _first_fit(groups: Sequence[tuple[Clip, ...]], max_s: float, max_tokens: int) -> list[tuple[Clip, ...]]:
    """First-fit decreasing bin packing (Johnson, 1973) of groups of clips into windows."""
    windows: list[tuple[Clip, ...]] = []
    for group in sorted(groups, key=lambda group: -sum(clip.duration for clip in group)):
        for number, window in enumerate(windows):
            if _fits((*window, *group), max_s, max_tokens):
                windows[number] = (*window, *group)
                break
        else:
            windows.append(group)
    return windows


def _fits(clips: Sequence[Clip], max_s: float, max_tokens: int) -> bool:
    # Two timestamp tokens a clip may come on top of its text.
    tokens = sum(clip.num_tokens + 2 for clip in clips)
    return sum(clip.duration for clip in clips) <= max_s and tokens <= max_tokens


def _cut(windows: Sequence[Window], max_batch_s: float) -> list[list[Window]]:
    """Put windows of like length into groups, each as long as its longest, and cut the groups into micro-batches.

    The groups are those with the least padding plus overhead (dynamic programming over lengths, exact). They follow
    from the step's windows alone: how finely they are cut then, for memory or several processes, changes no sample.
    """
    counts = Counter(window.length_s for window in windows)
    lengths = sorted(counts)
    best = [0.0] + [math.inf] * len(lengths)
    start_of = [0] * (len(lengths) + 1)
    for end in range(1, len(lengths) + 1):
        members = 0
        for start in range(end - 1, -1, -1):
            members += counts[lengths[start]]
            cost = best[start] + members * lengths[end - 1] + OVERHEAD_S
            if cost < best[end]:
                best[end], start_of[end] = cost, start
    batches: list[list[Window]] = []
    end = len(lengths)
    while end:
        start, longest = start_of[end], lengths[end - 1]
        group = [replace(w, length_s=longest) for w in windows if lengths[start] <= w.length_s <= longest]
        pieces = math.ceil(len(group) / max(1, int(max_batch_s // longest)))
        batches += [group[len(group) * i // pieces : len(group) * (i + 1) // pieces] for i in range(pieces)][::-1]
        end = start
    return batches[::-1]
